//! The kinds of `resource.k8s.io` (dynamic resource allocation).

use std::collections::HashSet;

use clock::Clock;
use object::{Value, field};

use crate::simple::Simple;
use crate::strategy::{Strategy, keep_metadata, keep_spec};
use crate::table::{AGE, Column, NAME, Table, age, cells, name, since_or};
use crate::{defaults, validation};

/// DeviceClass
pub(crate) static DEVICE_CLASSES: Simple = Simple {
    returns_deleted: true,
    validate: validation::validate_device_class,
    validate_update: Some(validation::validate_device_class_update),
    table: Table::NAME_AND_AGE,
    ..Simple::COUNTED
};

/// ResourceClaimTemplate
pub(crate) static RESOURCE_CLAIM_TEMPLATES: Simple = Simple {
    returns_deleted: true,
    default: |template| {
        if let Some(claim) = template.at_mut("spec") {
            defaults::default_resource_claim(claim);
        }
    },
    validate: validation::validate_resource_claim_template,
    validate_update: Some(validation::validate_resource_claim_template_update),
    table: Table::NAME_AND_AGE,
    ..Simple::PLAIN
};

/// ResourceSlice
pub(crate) static RESOURCE_SLICES: Simple = Simple {
    returns_deleted: true,
    default: defaults::default_resource_slice,
    selectable: &["spec.nodeName", "spec.driver"],
    set_times: |slice, _, clock| date_taints(slice, clock),
    validate: validation::validate_resource_slice,
    validate_update: Some(validation::validate_resource_slice_update),
    warnings: |slice, _| {
        let driver = slice.str_at("spec.driver");
        let is_shouting = driver.chars().any(char::is_uppercase);
        let warning = format!(
            "spec.driver: driver names should be lowercase; {} contains uppercase characters",
            object::quote(driver)
        );
        is_shouting.then_some(warning).into_iter().collect()
    },
    table: Table {
        columns: &[
            NAME,
            Column::text("Node", "The node that has the devices."),
            Column::text("Driver", "The driver of the devices."),
            Column::text("Pool", "The pool that the devices belong to."),
            AGE,
        ],
        row: |object, clock| {
            let spec = object.get("spec");
            let (node, driver, pool) =
                (spec.str_at("nodeName"), spec.str_at("driver"), spec.str_at("pool.name"));
            cells![name(object), node, driver, pool, age(object, clock)]
        },
    },
    ..Simple::COUNTED
};

/// A taint without a time is as old as the write that brings it.
fn date_taints(slice: &mut Value, clock: &Clock) {
    let devices = slice.at_mut("spec.devices").into_iter().flat_map(Value::items_mut);
    for taint in devices.filter_map(|device| device.get_mut("taints")).flat_map(Value::items_mut) {
        taint.set_default("timeAdded", clock.now_seconds().to_string());
    }
}

/// ResourceClaim
pub(crate) struct ResourceClaims;

impl Strategy for ResourceClaims {
    fn default(&self, object: &mut Value) {
        defaults::default_resource_claim(object);
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_resource_claim(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_resource_claim_update(object, old)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_resource_claim_status_update(object, old)
    }

    /// Devices that the change releases lose their status.
    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_spec(object, old);
        keep_metadata(object, old);
        let mut freed = allocated(old);
        for device in allocated(object) {
            freed.remove(&device);
        }
        let status = object.entry("status");
        let Some(devices) = status.get_mut("devices").and_then(Value::as_list_mut) else { return };
        devices.retain(|device| !freed.contains(&device_id(device)));
        if devices.is_empty() {
            status.remove("devices");
        }
    }

    fn has_status(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("State", "Whether the claim has devices, and whether someone uses them."),
                AGE,
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let is_deleted = !object.at("metadata.deletionTimestamp").is_null();
        let is_allocated = !object.at("status.allocation").is_null();
        let is_reserved = is_allocated && !object.at("status.reservedFor").is_empty();
        let states = [
            (is_deleted, "deleted"),
            (!is_allocated && !is_deleted, "pending"),
            (is_allocated, "allocated"),
            (is_reserved, "reserved"),
        ];
        let states: Vec<&str> = states.iter().filter(|(holds, _)| *holds).map(|(_, state)| *state).collect();
        cells![name(object), states.join(","), age(object, clock)]
    }
}

/// A device by driver, pool and name.
type DeviceId = [String; 3];

fn device_id(device: &Value) -> DeviceId {
    ["driver", "pool", "device"].map(|member| device.str_at(member).to_owned())
}

fn allocated(claim: &Value) -> HashSet<DeviceId> {
    claim.at("status.allocation.devices.results").items().map(device_id).collect()
}

/// DeviceTaintRule
pub(crate) struct DeviceTaintRules;

impl Strategy for DeviceTaintRules {
    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_device_taint_rule(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_device_taint_rule_update(object, old)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_device_taint_rule_status_update(object, old)
    }

    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_spec(object, old);
        keep_metadata(object, old);
    }

    /// A taint whose effect changes counts as added now, unless the client says when.
    fn set_times(&self, object: &mut Value, old: &Value, clock: &Clock) {
        let (taint, before) = (object.at("spec.taint"), old.at("spec.taint"));
        let is_new = taint.get("timeAdded").is_null() && old.is_null();
        let is_changed = !old.is_null()
            && taint.get("effect") != before.get("effect")
            && taint.get("timeAdded") == before.get("timeAdded");
        if is_new || is_changed {
            let now = Value::from(clock.now_seconds().to_string());
            object.set_path(&["spec", "taint", "timeAdded"], now);
        }
    }

    fn has_status(&self) -> bool {
        true
    }

    fn updates_unconditionally(&self) -> bool {
        false
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("Key", "The taint's key."),
                Column::text("Value", "The taint's value."),
                Column::text("Effect", "What the taint does to claims that do not tolerate it."),
                Column::text("TimeAdded", "The time since the taint was added."),
                AGE,
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let taint = object.at("spec.taint");
        let (key, value, effect) = (taint.str_at("key"), taint.str_at("value"), taint.str_at("effect"));
        let added = since_or(taint.get("timeAdded"), clock, "");
        cells![name(object), key, value, effect, added, age(object, clock)]
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::{ago, check_row, named};

    #[test]
    fn tables() {
        check_row(&DEVICE_CLASSES, &named("d", value!({})), "d | 3h");
        check_row(&RESOURCE_CLAIM_TEMPLATES, &named("t", value!({})), "t | 3h");
        let slice = value!({"spec": {"nodeName": "n", "driver": "gpu", "pool": {"name": "p"}}});
        check_row(&RESOURCE_SLICES, &named("s", slice), "s | n | gpu | p | 3h");
        let taint = value!({"spec": {"taint": {"key": "k", "effect": "NoExecute", "timeAdded": (ago(60))}}});
        check_row(&DeviceTaintRules, &named("r", taint), "r | k |  | NoExecute | 60s | 3h");
    }

    #[test]
    fn states_of_claims() {
        let deletion = || value!({"deletionTimestamp": (ago(1))});
        let cases = [
            (value!({}), "c | pending | 3h"),
            (value!({"metadata": (deletion())}), "c | deleted | 3h"),
            (value!({"status": {"allocation": {}}}), "c | allocated | 3h"),
            (
                value!({"metadata": (deletion()), "status": {"allocation": {}, "reservedFor": [{}]}}),
                "c | deleted,allocated,reserved | 3h",
            ),
        ];
        for (claim, row) in cases {
            check_row(&ResourceClaims, &named("c", claim), row);
        }
    }

    #[test]
    fn taints_have_times() {
        let clock = Clock::seeded(1, jiff::Timestamp::from_second(1_704_110_400).unwrap());
        let slice =
            |taint: Value| value!({"spec": {"devices": [{"name": "a"}, {"name": "b", "taints": [taint]}]}});
        let time = |taint: Value| {
            let mut slice = slice(taint);
            RESOURCE_SLICES.set_times(&mut slice, &Value::Null, &clock);
            let device = slice.at("spec.devices").items().last().unwrap().clone();
            device.get("taints").items().next().unwrap().str_at("timeAdded").to_owned()
        };
        assert_eq!(time(value!({"key": "k"})), "2024-01-01T12:00:00Z");
        assert_eq!(time(value!({"timeAdded": "2023-01-01T00:00:00Z"})), "2023-01-01T00:00:00Z");
        let mut rule = value!({"spec": {"taint": {"key": "k"}}});
        DeviceTaintRules.set_times(&mut rule, &Value::Null, &clock);
        assert_eq!(rule.str_at("spec.taint.timeAdded"), "2024-01-01T12:00:00Z");
    }

    #[test]
    fn drivers_are_written_small() {
        let of = |driver: &str| RESOURCE_SLICES.warnings(&value!({"spec": {"driver": driver}}), None);
        assert!(of("gpu.example.com").is_empty());
        assert_eq!(
            of("GPU.example.com"),
            [
                r#"spec.driver: driver names should be lowercase; "GPU.example.com" contains uppercase characters"#
            ]
        );
    }

    #[test]
    fn devices_given_back_lose_their_status() {
        let device = |name: &str| value!({"driver": "d", "pool": "p", "device": name});
        let status = |results: Vec<Value>| {
            value!({
                "allocation": {"devices": {"results": results}},
                "devices": [(device("a")), (device("b"))]
            })
        };
        let old = value!({"metadata": {}, "status": (status(vec![device("a"), device("b")]))});
        let mut new = value!({"metadata": {}, "status": (status(vec![device("b")]))});
        ResourceClaims.prepare_status_update(&mut new, &old);
        assert_eq!(new.at("status.devices"), &Value::from(vec![device("b")]));
    }
}
