//! RuntimeClasses (`pkg/apis/node/validation`).

use object::field::Errors;
use object::{Value, names};

use super::field::Field;
use super::metadata::validate_labels;
use super::pod::validate_tolerations;
use super::resources::validate_overhead;

const CLASS: &str = "io.k8s.api.node.v1.RuntimeClass";

/// Checks a RuntimeClass, except its metadata.
pub fn validate_runtime_class(class: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(class, CLASS);
    let overhead = root.child("overhead");
    if overhead.is_set() {
        validate_overhead(&mut errors, &overhead, overhead.child("podFixed").value);
    }
    let scheduling = root.child("scheduling");
    let selector = scheduling.child("nodeSelector");
    validate_labels(selector.value, &selector.path, &mut errors);
    validate_tolerations(&mut errors, &scheduling.child("tolerations"));
    root.child("handler").check_required(&mut errors, names::is_dns1123_label);
    errors
}

/// Checks a change of a RuntimeClass, except its metadata: pods of the class do not change what runs them.
pub fn validate_runtime_class_update(class: &Value, old: &Value) -> Errors {
    let mut errors = validate_runtime_class(class);
    Field::root(class, CLASS).child("handler").check_constant(&mut errors, old.get("handler"));
    errors
}
