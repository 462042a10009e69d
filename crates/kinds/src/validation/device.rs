//! The kinds of `resource.k8s.io` (`pkg/apis/resource/validation`). Many rules are declared with the fields since 1.37
//! (`+k8s:` in `k8s.io/api/resource/v1`), whose errors look a little different.

use object::Value;
use object::field::{Errors, Path};
use object::names;

use super::field::{Field, same};
use super::metadata::{validate_annotations, validate_labels};

mod allocation;
mod capacity;
mod claim;
mod names_of_devices;
mod slice;
mod taint;

pub use allocation::validate_resource_claim_status_update;
pub use slice::{validate_resource_slice, validate_resource_slice_update};
pub use taint::{
    validate_device_taint_rule, validate_device_taint_rule_status_update, validate_device_taint_rule_update,
};

use claim::{validate_claim_spec, validate_configuration, validate_selectors};

const CLASS: &str = "io.k8s.api.resource.v1.DeviceClass";
const CLAIM: &str = "io.k8s.api.resource.v1.ResourceClaim";
const TEMPLATE: &str = "io.k8s.api.resource.v1.ResourceClaimTemplate";
/// How many selectors and configurations there may be.
const LIST_MAX: usize = 32;

/// Whether a list is short enough; adds the error if it is not. Longer ones are not looked at.
fn fits(errors: &mut Errors, list: &Field<'_, '_>, max: usize) -> bool {
    let fits = list.len() <= max;
    if !fits {
        errors.push_with(|| object::field::Error::too_many(&list.path, list.len(), max));
    }
    fits
}

/// Checks a DeviceClass, except its metadata.
pub fn validate_device_class(class: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_class_spec(&mut errors, class, &Value::Null);
    errors
}

/// Checks a change of a DeviceClass, except its metadata: selectors and configurations that stay as they are have been
/// checked.
pub fn validate_device_class_update(class: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_class_spec(&mut errors, class, old);
    errors
}

fn validate_class_spec(errors: &mut Errors, class: &Value, old: &Value) {
    let root = Field::root(class, CLASS);
    let spec = root.child("spec");
    let before = old.get("spec");
    let is_stored = |name: &str| !old.is_null() && same(spec.value.get(name), before.get(name));
    validate_selectors(errors, &spec.child("selectors"), is_stored("selectors"));
    let configurations = spec.child("config");
    if fits(errors, &configurations, LIST_MAX) {
        let stored = is_stored("config");
        configurations.items().for_each(|config| validate_configuration(errors, &config, stored));
    }
    let name = spec.child("extendedResourceName");
    if name.is_set() && !semantics::quota::is_extended(name.text()) {
        name.invalid(errors, "must be a valid extended resource name");
    }
}

/// Checks a ResourceClaim, except its metadata.
pub fn validate_resource_claim(claim: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_claim_spec(&mut errors, &Field::root(claim, CLAIM).child("spec"));
    errors
}

/// Checks a change of a ResourceClaim, except its metadata: it asks for the same for ever.
pub fn validate_resource_claim_update(claim: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    Field::root(claim, CLAIM).child("spec").check_constant(&mut errors, old.get("spec"));
    errors
}

/// Checks a ResourceClaimTemplate, except its metadata.
pub fn validate_resource_claim_template(template: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(template, TEMPLATE);
    let spec = root.child("spec");
    let metadata = spec.child("metadata");
    let [labels, annotations] = ["labels", "annotations"].map(|member| metadata.value.get(member));
    validate_annotations(annotations, &metadata.path.child("annotations"), &mut errors);
    validate_labels(labels, &metadata.path.child("labels"), &mut errors);
    validate_claim_spec(&mut errors, &spec.child("spec"));
    errors
}

/// Checks a change of a ResourceClaimTemplate, except its metadata: claims made of it are the same for ever.
pub fn validate_resource_claim_template_update(template: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    Field::root(template, TEMPLATE).child("spec").check_immutable(&mut errors, old.get("spec"));
    errors
}

/// Checks which steps a node leaves out: a driver that is not asked to prepare devices is not asked to release them.
fn validate_skipped(errors: &mut Errors, skipped: &Field<'_, '_>) {
    const KNOWN: [&str; 3] = ["*", "NodePrepareResources", "NodeUnprepareResources"];
    let mut seen = std::collections::HashSet::new();
    for operation in skipped.items() {
        if !KNOWN.contains(&operation.text()) {
            operation.not_supported(errors, &KNOWN);
        }
        if !seen.insert(operation.text()) {
            operation.duplicate(errors);
        }
    }
    let has = |name: &str| seen.contains(name);
    if has("NodePrepareResources") && !has("NodeUnprepareResources") && !has("*") {
        let why = "NodePrepareResources cannot be skipped unless NodeUnprepareResources is also skipped";
        skipped.invalid(errors, why);
    }
}

/// Checks the conditions that a device waits for, and those that end the waiting.
fn validate_binding_conditions(errors: &mut Errors, device: &Field<'_, '_>) {
    let (wanted, failed) = (device.child("bindingConditions"), device.child("bindingFailureConditions"));
    for list in [&wanted, &failed] {
        if fits(errors, list, 4) {
            list.items().for_each(|name| name.check(errors, names::is_qualified_name));
        }
    }
    let mut seen = std::collections::HashSet::new();
    wanted.items().filter(|name| !seen.insert(name.text())).for_each(|name| name.duplicate(errors));
    let mut failures = std::collections::HashSet::new();
    for name in failed.items() {
        if !failures.insert(name.text()) {
            name.duplicate(errors);
        }
        if seen.contains(name.text()) {
            name.invalid(errors, "bindingFailureConditions must not overlap with bindingConditions");
        }
    }
    if wanted.is_empty() && !failed.is_empty() {
        wanted.invalid(errors, "bindingConditions are required to use bindingFailureConditions");
    }
    if failed.is_empty() && !wanted.is_empty() {
        failed.invalid(errors, "bindingFailureConditions are required to use bindingConditions");
    }
}

/// Checks a value of labels.
fn validate_label_value(errors: &mut Errors, value: &Field<'_, '_>) {
    errors.invalid_each(&value.path, value.text(), names::is_valid_label_value(value.text()));
}

/// Checks parameters for a driver, or what it tells: an object of bounded size.
fn validate_raw(errors: &mut Errors, raw: &Field<'_, '_>, stored: bool, max: usize) {
    let path: &Path<'_> = &raw.path;
    match raw.value {
        Value::Null => errors.required(path, ""),
        value if !stored && object::json::to_vec(value).len() > max => {
            errors.push_with(|| object::field::Error::too_long(path, max));
        }
        Value::Map(_) => {}
        _ => errors.invalid(path, "<value omitted>", "must be a valid JSON object"),
    }
}
