//! The rules of `metadata`, which are the same for every kind
//! (`k8s.io/apimachinery/pkg/api/validation/objectmeta.go`).

use std::collections::HashSet;

use object::field::{Error, Errors, Path};
use object::{Value, names, quote};

use crate::NameRule;

#[cfg(test)]
mod tests;

/// How many bytes all annotations of an object may have together, keys and values.
const ANNOTATIONS_BYTES_MAX: usize = 256 << 10;
/// How long the name of a subresource in `managedFields` may be.
const SUBRESOURCE_BYTES_MAX: usize = 256;
/// How long the name of a field manager may be.
const FIELD_MANAGER_BYTES_MAX: usize = 128;
const IMMUTABLE: &str = "field is immutable";
const NEGATIVE: &str = "must be greater than or equal to 0";

/// Checks the metadata of a new object, whose name has been generated if necessary. `path` is that of the metadata.
pub fn validate_metadata(metadata: &Value, namespaced: bool, rule: NameRule, path: &Path<'_>) -> Errors {
    let mut errors = Errors::new();
    let prefix = metadata.str_at("generateName");
    if !prefix.is_empty() {
        errors.invalid_each(&path.child("generateName"), prefix, rule.check(prefix, true));
    }
    match metadata.str_at("name") {
        "" => errors.required(&path.child("name"), "name or generateName is required"),
        name => errors.invalid_each(&path.child("name"), name, rule.check(name, false)),
    }
    match (namespaced, metadata.str_at("namespace")) {
        (true, "") => errors.required(&path.child("namespace"), ""),
        (true, name) => {
            errors.invalid_each(&path.child("namespace"), name, names::is_dns1123_label(name));
        }
        (false, "") => {}
        (false, _) => errors.forbidden(&path.child("namespace"), "not allowed on this type"),
    }
    validate_generation(metadata, path, &mut errors);
    validate_labels(metadata.get("labels"), &path.child("labels"), &mut errors);
    validate_annotations(metadata.get("annotations"), &path.child("annotations"), &mut errors);
    validate_owners(metadata.get("ownerReferences"), &path.child("ownerReferences"), &mut errors);
    validate_finalizers(metadata.get("finalizers"), &path.child("finalizers"), &mut errors);
    validate_managed_fields(metadata.get("managedFields"), &path.child("managedFields"), &mut errors);
    errors
}

/// Checks a change of metadata. `path` is that of the metadata.
pub fn validate_metadata_update(metadata: &Value, old: &Value, path: &Path<'_>) -> Errors {
    let mut errors = Errors::new();
    if !old.get("deletionTimestamp").is_null() {
        no_new_finalizers(metadata, old, &path.child("finalizers"), &mut errors);
    }
    if metadata.str_at("resourceVersion").is_empty() {
        errors.invalid(&path.child("resourceVersion"), "", "must be specified for an update");
    }
    validate_generation(metadata, path, &mut errors);
    let generation = metadata.get("generation").as_i64().unwrap_or(0);
    if generation < old.get("generation").as_i64().unwrap_or(0) {
        errors.invalid(&path.child("generation"), generation, "must not be decremented");
    }
    for name in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        if metadata.get(name) != old.get(name) {
            errors.invalid(&path.child(name), metadata.get(name).clone(), IMMUTABLE);
        }
    }
    validate_labels(metadata.get("labels"), &path.child("labels"), &mut errors);
    validate_annotations(metadata.get("annotations"), &path.child("annotations"), &mut errors);
    validate_owners(metadata.get("ownerReferences"), &path.child("ownerReferences"), &mut errors);
    validate_finalizers(metadata.get("finalizers"), &path.child("finalizers"), &mut errors);
    validate_managed_fields(metadata.get("managedFields"), &path.child("managedFields"), &mut errors);
    errors
}

fn validate_generation(metadata: &Value, path: &Path<'_>, errors: &mut Errors) {
    let generation = metadata.get("generation").as_i64().unwrap_or(0);
    if generation < 0 {
        errors.invalid(&path.child("generation"), generation, NEGATIVE);
    }
}

fn no_new_finalizers(metadata: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let before: HashSet<Option<&str>> = old.get("finalizers").items().map(Value::as_str).collect();
    let mut extra: Vec<String> = metadata
        .get("finalizers")
        .items()
        .filter(|finalizer| !before.contains(&finalizer.as_str()))
        .filter_map(|finalizer| finalizer.as_str().map(quote))
        .collect();
    extra.sort();
    extra.dedup();
    if !extra.is_empty() {
        let found = extra.join(", ");
        errors.forbidden(
            path,
            format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{found}}}"
            ),
        );
    }
}

/// Checks a map of labels at `path`.
/// Checks the labels of an object.
pub fn validate_labels(labels: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (key, value) in labels.entries() {
        errors.invalid_each(path, key, names::is_qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        errors.invalid_each(path, value, names::is_valid_label_value(value));
    }
}

/// Checks a map of annotations at `path`. Keys are label keys in any case.
/// Checks the annotations of an object.
pub fn validate_annotations(annotations: &Value, path: &Path<'_>, errors: &mut Errors) {
    let mut bytes = 0;
    for (key, value) in annotations.entries() {
        errors.invalid_each(path, key, names::is_qualified_name(&key.to_lowercase()));
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.push(Error::too_long(path, ANNOTATIONS_BYTES_MAX));
    }
}

fn validate_owners(owners: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (mut first_controller, mut several): (Option<String>, Option<Error>) = (None, None);
    for (index, owner) in owners.items().enumerate() {
        let item = path.index(index);
        let api_version = owner.str_at("apiVersion");
        let version = api_version.split_once('/').map_or(api_version, |(_, version)| version);
        if !api_version.is_empty() && (version.is_empty() || api_version.matches('/').count() > 1) {
            let message = "must be <group>/<version> or <version>";
            errors.invalid(&item.child("apiVersion"), api_version, message);
        }
        for member in ["apiVersion", "kind", "name", "uid"] {
            if owner.str_at(member).is_empty() {
                errors.required(&item.child(member), "must not be empty");
            }
        }
        if api_version == "v1" && owner.str_at("kind") == "Event" {
            errors.invalid(&item, owner.clone(), "/v1, Kind=Event is disallowed from being an owner");
        }
        if owner.get("controller").as_bool() != Some(true) {
            continue;
        }
        let controller = format!("{}/{}", owner.str_at("kind"), owner.str_at("name"));
        match &first_controller {
            None => first_controller = Some(controller),
            Some(first) => errors.push_with(|| {
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {controller}"
                );
                // Every one of them shows the whole list.
                several.get_or_insert_with(|| Error::invalid(path, owners.clone(), "")).clone().with_detail(why)
            }),
        }
    }
}

fn validate_finalizers(finalizers: &Value, path: &Path<'_>, errors: &mut Errors) {
    let has = |name: &str| finalizers.items().any(|finalizer| finalizer.as_str() == Some(name));
    for finalizer in finalizers.items().filter_map(Value::as_str) {
        errors.invalid_each(path, finalizer, names::is_qualified_name(finalizer));
    }
    if has("orphan") && has("foregroundDeletion") {
        let message = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.invalid(path, finalizers.clone(), message);
    }
}

fn validate_managed_fields(entries: &Value, path: &Path<'_>, errors: &mut Errors) {
    for (index, entry) in entries.items().enumerate() {
        let path = path.index(index);
        match entry.str_at("operation") {
            "Apply" | "Update" => {}
            "" => errors.required(&path.child("operation"), "must not be empty"),
            other => errors.not_supported(&path.child("operation"), other, &["Apply", "Update"]),
        }
        let fields_type = entry.str_at("fieldsType");
        if !matches!(fields_type, "" | "FieldsV1") {
            errors.invalid(&path.child("fieldsType"), fields_type, "must be `FieldsV1`");
        }
        validate_field_manager(entry.str_at("manager"), &path.child("manager"), errors);
        if entry.str_at("subresource").len() > SUBRESOURCE_BYTES_MAX {
            errors.push(Error::too_long(&path.child("subresource"), SUBRESOURCE_BYTES_MAX));
        }
    }
}

fn validate_field_manager(manager: &str, path: &Path<'_>, errors: &mut Errors) {
    if manager.len() > FIELD_MANAGER_BYTES_MAX {
        errors.push(Error::too_long(path, FIELD_MANAGER_BYTES_MAX));
    }
    for (index, c) in manager.char_indices().filter(|(_, c)| !is_print(*c)) {
        let message = format!("invalid character U+{:04X} (at position {index})", u32::from(c));
        errors.invalid(path, manager, message);
    }
}

/// Go's `unicode.IsPrint`, except for unassigned characters: the space is the only white space that prints.
fn is_print(c: char) -> bool {
    c == ' ' || !(c.is_control() || c.is_whitespace())
}
