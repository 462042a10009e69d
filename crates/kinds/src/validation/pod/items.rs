//! Single files of volumes: items of ConfigMaps and Secrets, and files of the downward API.

use object::field::Errors;

use super::env::{validate_field_ref, validate_resource_ref};
use super::paths::{file_mode, local_path};
use crate::validation::field::Field;

/// The pod fields that a file may refer to, sorted.
const FILE_FIELDS: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

pub(super) fn validate_key_to_path(errors: &mut Errors, item: &Field<'_, '_>) {
    item.child("key").check_present(errors);
    let path = item.child("path");
    path.check_present(errors);
    local_path(errors, &path);
    file_mode(errors, &item.child("mode"));
}

pub(super) fn validate_downward_file(errors: &mut Errors, file: &Field<'_, '_>) {
    let path = file.child("path");
    path.check_present(errors);
    local_path(errors, &path);
    let (field, resource) = (file.child("fieldRef"), file.child("resourceFieldRef"));
    if field.is_set() {
        validate_field_ref(errors, &field, &FILE_FIELDS);
        if resource.is_set() {
            let why = "fieldRef and resourceFieldRef can not be specified simultaneously";
            errors.invalid(&file.path, "resource", why);
        }
    } else if resource.is_set() {
        validate_resource_ref(errors, &resource, true);
    } else {
        file.required(errors, "one of fieldRef and resourceFieldRef is required");
    }
    file_mode(errors, &file.child("mode"));
}
