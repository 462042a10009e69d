//! Taints of devices, tolerations of claims, and the rules that taint devices.

use object::Value;
use object::field::{Error, Errors};
use object::names;

use super::names_of_devices::{validate_driver, validate_pool};
use super::validate_label_value;
use crate::validation::conditions::validate_conditions;
use crate::validation::field::Field;

const RULE: &str = "io.k8s.api.resource.v1.DeviceTaintRule";
const EFFECTS: [&str; 3] = ["NoExecute", "NoSchedule", "None"];
/// How many conditions the status of a rule may have.
const CONDITIONS_MAX: usize = 8;

/// Checks a DeviceTaintRule, except its metadata.
pub fn validate_device_taint_rule(rule: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_spec(&mut errors, rule, None);
    errors
}

/// Checks a change of a DeviceTaintRule, except its metadata: an effect that stays may be one of later versions.
pub fn validate_device_taint_rule_update(rule: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_spec(&mut errors, rule, Some(old.str_at("spec.taint.effect")));
    errors
}

fn validate_spec(errors: &mut Errors, rule: &Value, effect: Option<&str>) {
    let root = Field::root(rule, RULE);
    let spec = root.child("spec");
    let selector = spec.child("deviceSelector");
    if selector.is_set() {
        let [driver, pool, device] = ["driver", "pool", "device"].map(|member| selector.child(member));
        if driver.is_set() {
            validate_driver(errors, &driver.path, driver.text());
        }
        if pool.is_set() {
            validate_pool(errors, &pool);
        }
        if device.is_set() {
            device.check(errors, names::is_dns1123_label);
        }
    }
    validate_taint(errors, &spec.child("taint"), effect);
}

/// Checks a change of a DeviceTaintRule's status, except its metadata.
pub fn validate_device_taint_rule_status_update(rule: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(rule, RULE);
    let status = root.child("status");
    let conditions = status.child("conditions");
    validate_conditions(&mut errors, &conditions);
    if conditions.len() > CONDITIONS_MAX {
        errors.push_with(|| Error::too_many(&conditions.path, conditions.len(), CONDITIONS_MAX));
    }
    errors
}

/// Checks a taint; the effect that it had before is not checked again.
pub(super) fn validate_taint(errors: &mut Errors, taint: &Field<'_, '_>, before: Option<&str>) {
    taint.child("key").check(errors, names::is_qualified_name);
    let (value, effect) = (taint.child("value"), taint.child("effect"));
    if !value.is_empty() {
        validate_label_value(errors, &value);
    }
    if before != Some(effect.text()) {
        effect.check_one_of(errors, &EFFECTS);
    }
}

/// Checks a toleration.
pub(super) fn validate_toleration(errors: &mut Errors, toleration: &Field<'_, '_>) {
    let [key, operator, value, effect] =
        ["key", "operator", "value", "effect"].map(|member| toleration.child(member));
    key.check_set(errors, names::is_qualified_name);
    match operator.text() {
        "Exists" if !value.is_empty() => value.invalid(errors, "must be empty for operator `Exists`"),
        "Exists" => {}
        "Equal" => validate_label_value(errors, &value),
        "" => operator.required(errors, ""),
        _ => operator.not_supported(errors, &["Equal", "Exists"]),
    }
    if !effect.is_empty() {
        effect.check_known(errors, &EFFECTS);
    }
}
