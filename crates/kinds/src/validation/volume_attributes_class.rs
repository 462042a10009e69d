//! VolumeAttributesClasses (`pkg/apis/storage/validation`).

use object::Value;
use object::field::Errors;

use super::field::{Field, same};
use super::storage_class::{validate_parameters, validate_provisioner};

const CLASS: &str = "io.k8s.api.storage.v1.VolumeAttributesClass";

/// Checks a VolumeAttributesClass, except its metadata.
pub fn validate_volume_attributes_class(class: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(class, CLASS);
    validate_provisioner(&mut errors, &root.child("driverName"));
    let parameters = root.child("parameters");
    validate_parameters(&mut errors, &parameters);
    if parameters.is_empty() {
        parameters.required(&mut errors, "must contain at least one key/value pair");
    }
    errors
}

/// Checks a change of a VolumeAttributesClass, except its metadata: the class of a volume stays what it is.
pub fn validate_volume_attributes_class_update(class: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(class, CLASS);
    for name in ["driverName", "parameters"] {
        let member = root.child(name);
        if !same(member.value, old.get(name)) {
            member.forbidden(&mut errors, format!("updates to {name} are forbidden."));
        }
    }
    errors.append(validate_volume_attributes_class(class));
    errors
}
