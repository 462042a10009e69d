//! Slices: which devices of a pool there are, where they are, and what they have.

use std::collections::HashSet;

use object::Value;
use object::field::{Error, Errors};
use object::names;

use super::capacity::{validate_capacities, validate_node_resources};
use super::names_of_devices::{validate_driver, validate_fully_qualified, validate_pool, validate_qualified};
use super::taint::validate_taint;
use super::{fits, validate_binding_conditions, validate_skipped};
use crate::validation::field::{Field, NOT_POSITIVE, same};
use crate::validation::pod::validate_node_selector;

const SLICE: &str = "io.k8s.api.resource.v1.ResourceSlice";
/// How many devices a slice may have, and how many if one of them has taints, counters or lists as attributes.
const DEVICES_MAX: usize = 128;
const ADVANCED_DEVICES_MAX: usize = 64;
const COUNTER_SETS_MAX: usize = 8;
const COUNTERS_MAX: usize = 32;
/// How many sets a device may use counters of.
const CONSUMED_SETS_MAX: usize = 2;
const ATTRIBUTES_AND_CAPACITIES_MAX: usize = 32;
const ATTRIBUTE_VALUES_MAX: usize = 48;
const ATTRIBUTE_BYTES_MAX: usize = 64;
const TAINTS_MAX: usize = 16;
const SCALARS: [&str; 4] = ["int", "bool", "string", "version"];
const LISTS: [&str; 4] = ["ints", "bools", "strings", "versions"];

/// Checks a ResourceSlice, except its metadata.
pub fn validate_resource_slice(slice: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_spec(&mut errors, slice, &Value::Null);
    errors
}

/// Checks a change of a ResourceSlice, except its metadata: it stays with its driver, its pool and its node.
pub fn validate_resource_slice_update(slice: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_spec(&mut errors, slice, old.get("spec"));
    errors
}

fn validate_spec(errors: &mut Errors, slice: &Value, old: &Value) {
    let root = Field::root(slice, SLICE);
    let spec = root.child("spec");
    let (driver, pool, node) = (spec.child("driver"), spec.child("pool"), spec.child("nodeName"));
    validate_driver(errors, &driver.path, driver.text());
    let name = pool.child("name");
    validate_pool(errors, &name);
    let (count, generation) = (pool.child("resourceSliceCount"), pool.child("generation"));
    if count.number() <= 0 {
        errors.invalid(&count.path, count.number(), NOT_POSITIVE);
    }
    if generation.number() < 0 {
        generation.invalid(errors, "must be greater than or equal to zero");
    }
    if !old.is_null() {
        name.check_immutable(errors, old.at("pool.name"));
        driver.check_immutable(errors, old.get("driver"));
        node.check_immutable(errors, old.get("nodeName"));
    }
    validate_place(errors, &spec);
    let (counters, devices) = (spec.child("sharedCounters"), spec.child("devices"));
    if counters.is_set() && devices.is_set() {
        errors.invalid(&spec.path, "", "only one of `sharedCounters` or `devices` is allowed");
    }
    let max = if is_advanced(devices.value) { ADVANCED_DEVICES_MAX } else { DEVICES_MAX };
    if fits(errors, &devices, max) {
        let chooses = spec.child("perDeviceNodeSelection").is_true();
        for device in devices.items() {
            let name = device.value.str_at("name");
            let before = old.get("devices").items().find(|before| before.str_at("name") == name);
            validate_device(errors, &device, before, chooses);
        }
        check_differ(errors, &devices, "name", |item| Value::from(item.value.str_at("name")));
    }
    if fits(errors, &counters, COUNTER_SETS_MAX) {
        counters.items().for_each(|set| validate_counters(errors, &set, "name"));
        check_differ(errors, &counters, "name", |item| item.value.clone());
    }
    let kind = spec.child("partitionTypeAttribute");
    if kind.is_set() {
        validate_partition_type(errors, &spec, &kind);
    }
    validate_skipped(errors, &spec.child("skipNodeOperations"));
}

/// Items with the key of another one; `shown` is what the error tells of them.
fn check_differ(
    errors: &mut Errors,
    list: &Field<'_, '_>,
    key: &str,
    shown: impl Fn(&Field<'_, '_>) -> Value,
) {
    let mut seen = HashSet::new();
    for item in list.items().filter(|item| !seen.insert(item.value.str_at(key))) {
        errors.duplicate(&item.path, shown(&item));
    }
}

fn is_advanced(devices: &Value) -> bool {
    let has_lists = |device: &Value| {
        let mut attributes = device.get("attributes").entries();
        attributes.any(|(_, attribute)| LISTS.iter().any(|list| !attribute.get(list).is_null()))
    };
    let has = |device: &Value, list: &str| !device.get(list).is_empty();
    devices
        .items()
        .any(|device| has(device, "taints") || has(device, "consumesCounters") || has_lists(device))
}

/// Checks where the devices are: on a node, on some, on all, or each where it says itself.
fn validate_place(errors: &mut Errors, spec: &Field<'_, '_>) {
    let mut places = Vec::new();
    let (node, selector) = (spec.child("nodeName"), spec.child("nodeSelector"));
    if node.is_set() {
        match node.text() {
            "" => node.invalid(errors, "must be either unset or set to a non-empty string"),
            name => {
                places.push("`nodeName`");
                errors.invalid_each(&node.path, name, names::is_dns1123_subdomain(name));
            }
        }
    }
    if selector.is_set() {
        places.push("`nodeSelector`");
        validate_node_selector(errors, &selector);
        let terms = selector.child("nodeSelectorTerms");
        if terms.len() != 1 {
            terms.invalid(errors, "must have exactly one node selector term");
        }
    }
    for (member, shown) in
        [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")]
    {
        let flag = spec.child(member);
        if flag.is_false() {
            flag.invalid(errors, "must be either unset or set to true");
        } else if flag.is_set() {
            places.push(shown);
        }
    }
    let why = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    match places.len() {
        0 => spec.required(errors, why),
        1 => {}
        _ => errors.invalid(
            &spec.path,
            format!("{{{}}}", places.join(", ")),
            format!("{why}, but multiple fields are set"),
        ),
    }
}

fn validate_device(errors: &mut Errors, device: &Field<'_, '_>, old: Option<&Value>, chooses: bool) {
    device.child("name").check(errors, names::is_dns1123_label);
    let (attributes, capacity) = (device.child("attributes"), device.child("capacity"));
    let total = attributes.len() + capacity.len();
    let number = |count: usize| Value::from(i64::try_from(count).unwrap_or(i64::MAX));
    if total > ATTRIBUTES_AND_CAPACITIES_MAX {
        let why = format!(
            "the total number of attributes and capacities must not exceed {ATTRIBUTES_AND_CAPACITIES_MAX}"
        );
        errors.invalid(&device.path, number(total), why);
    }
    let values = attributes.value.entries().map(|(_, attribute)| {
        let listed: usize = LISTS.iter().map(|list| attribute.get(list).items().count()).sum();
        listed.max(1)
    });
    let values: usize = values.sum();
    if values > ATTRIBUTE_VALUES_MAX {
        let why = format!("the total number of attribute values must not exceed {ATTRIBUTE_VALUES_MAX}");
        errors.invalid(&device.path, number(values), why);
    }
    for (name, attribute) in attributes.entries() {
        validate_qualified(errors, &attributes.path, name);
        validate_attribute(errors, &attribute);
    }
    let is_kept = |member: &str| old.is_some_and(|old| same(old.get(member), device.value.get(member)));
    if !is_kept("capacity") {
        validate_capacities(errors, &capacity, device.child("allowMultipleAllocations").is_true());
    }
    let taints = device.child("taints");
    if !is_kept("taints") && fits(errors, &taints, TAINTS_MAX) {
        taints.items().for_each(|taint| validate_taint(errors, &taint, None));
    }
    let consumed = device.child("consumesCounters");
    if fits(errors, &consumed, CONSUMED_SETS_MAX) {
        consumed.items().for_each(|set| validate_counters(errors, &set, "counterSet"));
        check_differ(errors, &consumed, "counterSet", |item| item.value.clone());
    }
    validate_own_place(errors, device, chooses);
    validate_binding_conditions(errors, device);
    validate_node_resources(errors, &device.child("nodeAllocatableResources"), capacity.value);
}

/// Checks a set of counters, or which counters of a set a device uses.
fn validate_counters(errors: &mut Errors, set: &Field<'_, '_>, named: &str) {
    set.child(named).check_required(errors, names::is_dns1123_label);
    let counters = set.child("counters");
    if counters.is_empty() {
        counters.required(errors, "");
    } else if fits(errors, &counters, COUNTERS_MAX) {
        for (name, _) in counters.entries() {
            errors.invalid_each(&counters.path, name, names::is_dns1123_label(name));
        }
    }
}

/// Checks where a device is, which it says itself only if the slice leaves that to its devices.
fn validate_own_place(errors: &mut Errors, device: &Field<'_, '_>, chooses: bool) {
    let [node, selector, all] = ["nodeName", "nodeSelector", "allNodes"].map(|member| device.child(member));
    if !chooses {
        if node.is_set() || selector.is_set() || all.is_set() {
            let why = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
            errors.invalid(&device.path, Value::Null, why);
        }
        return;
    }
    let mut places = Vec::new();
    if node.is_set() {
        match node.text() {
            "" => node.invalid(errors, "must not be empty"),
            name => {
                places.push("`nodeName`");
                errors.invalid_each(&node.path, name, names::is_dns1123_subdomain(name));
            }
        }
    }
    if selector.is_set() {
        places.push("`nodeSelector`");
        validate_node_selector(errors, &selector);
    }
    if all.is_false() {
        all.invalid(errors, "must be either unset or set to true");
    } else if all.is_set() {
        places.push("`allNodes`");
    }
    let why = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    match places.len() {
        0 => device.required(errors, why),
        1 => {}
        _ => errors.invalid(&device.path, format!("{{{}}}", places.join(", ")), why),
    }
}

/// Checks an attribute, which has one value, or one list of values.
fn validate_attribute(errors: &mut Errors, attribute: &Field<'_, '_>) {
    let set: Vec<&str> = SCALARS
        .iter()
        .chain(&LISTS)
        .copied()
        .filter(|member| !attribute.value.get(member).is_null())
        .collect();
    for member in &set {
        let value = attribute.child(member);
        match *member {
            "string" => validate_text(errors, &value),
            "version" => validate_version(errors, &value),
            list if LISTS.contains(&list) && value.is_empty() => {
                value.invalid(errors, "must not be empty if specified");
            }
            "strings" => value.items().for_each(|text| validate_text(errors, &text)),
            "versions" => value.items().for_each(|version| validate_version(errors, &version)),
            _ => {}
        }
    }
    let all = "`int`, `bool`, `string`, `version`, `ints`, `bools`, `strings`, `versions`";
    match set.len() {
        0 => errors.invalid(&attribute.path, "", format!("must specify one of: {all}")),
        1 => {}
        _ => errors.invalid(
            &attribute.path,
            format!("{{{}}}", set.join(", ")),
            format!("must specify exactly one of: {all}"),
        ),
    }
}

fn validate_text(errors: &mut Errors, text: &Field<'_, '_>) {
    if text.text().len() > ATTRIBUTE_BYTES_MAX {
        errors.push_with(|| Error::too_long(&text.path, ATTRIBUTE_BYTES_MAX));
    }
}

fn validate_version(errors: &mut Errors, version: &Field<'_, '_>) {
    if !is_semantic_version(version.text()) {
        version.invalid(errors, "must be a string compatible with semver.org spec 2.0.0");
    }
    validate_text(errors, version);
}

/// Whether a text is `1.2.3`, perhaps with `-alpha.1` and `+build.1`.
fn is_semantic_version(text: &str) -> bool {
    let is_word =
        |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_number = |part: &str| {
        let has_zero_in_front = part.len() > 1 && part.starts_with('0');
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()) && !has_zero_in_front
    };
    let is_all_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let (text, build) = text.split_once('+').map_or((text, None), |(text, build)| (text, Some(build)));
    let (core, pre) = text.split_once('-').map_or((text, None), |(core, pre)| (core, Some(pre)));
    let parts: Vec<&str> = core.split('.').collect();
    let is_pre = |part: &str| is_word(part) && (!is_all_digits(part) || is_number(part));
    parts.len() == 3
        && parts.into_iter().all(is_number)
        && pre.is_none_or(|pre| pre.split('.').all(is_pre))
        && build.is_none_or(|build| build.split('.').all(is_word))
}

/// Checks the attribute that tells the partitions of a device apart: each device that uses counters has it, as a text.
fn validate_partition_type(errors: &mut Errors, spec: &Field<'_, '_>, kind: &Field<'_, '_>) {
    let uses = |device: &Value| !device.get("consumesCounters").is_empty();
    let devices = spec.child("devices");
    if !devices.value.items().any(uses) {
        return kind
            .invalid(errors, "may only be set on a slice which declares devices that consume counters");
    }
    let mut wrong = Errors::new();
    validate_fully_qualified(&mut wrong, &kind.path, kind.text());
    if !wrong.is_empty() {
        return errors.append(wrong);
    }
    let bare = kind.text().strip_prefix(spec.value.str_at("driver")).and_then(|rest| rest.strip_prefix('/'));
    for device in devices.items().filter(|device| uses(device.value)) {
        let attributes = device.child("attributes");
        let path = attributes.path.key(kind.text());
        let found = [Some(kind.text()), bare].into_iter().flatten().map(|name| attributes.value.get(name));
        match found.into_iter().find(|attribute| !attribute.is_null()) {
            None => {
                let why = "device consumes counters and `partitionTypeAttribute` names this attribute, so it must be set";
                errors.required(&path, why);
            }
            Some(attribute) if attribute.get("string").is_null() => {
                let why = "must be a string value because `partitionTypeAttribute` names this attribute";
                errors.invalid(&path, attribute.clone(), why);
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for good in ["1.2.3", "0.0.0", "1.2.3-alpha.1+build.007", "1.2.3+a-b", "1.2.3-0a"] {
            assert!(is_semantic_version(good), "{good}");
        }
        for bad in ["", "1.2", "1.2.3.4", "01.2.3", "1.2.3-", "1.2.3-01", "1.2.3+", "v1.2.3", "1.2.3-a..b"] {
            assert!(!is_semantic_version(bad), "{bad}");
        }
    }
}
