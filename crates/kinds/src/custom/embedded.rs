//! Rules of objects inside of custom resources: their kind and metadata
//! (`apiextensions-apiserver/pkg/apiserver/schema/objectmeta`).

use object::field::{Errors, Path};
use object::structural::Structural;
use object::{Value, names};

use crate::strategy::NameRule;
use crate::validation::validate_metadata;

/// Checks the objects inside of an object.
pub(super) fn check(structural: &Structural, object: &Value, errors: &mut Errors) {
    structural.for_each_embedded(object, &mut |inner, path| check_one(inner, path, errors));
}

fn check_one(object: &Value, path: &Path<'_>, errors: &mut Errors) {
    for member in ["apiVersion", "kind"] {
        let at = path.child(member);
        match object.get(member) {
            Value::Null => errors.required(&at, ""),
            Value::String(text) if text.is_empty() => errors.invalid(&at, "", "must not be empty"),
            Value::String(text) => check_text(member, text, &at, errors),
            other => errors.invalid(&at, other.clone(), "must be a string"),
        }
    }
    let metadata = object.get("metadata");
    if metadata.as_map().is_some() {
        let mut metadata = metadata.clone();
        // It need not have one.
        if metadata.str_at("name").is_empty() {
            metadata.set("name", "fakename");
        }
        let namespaced = !metadata.str_at("namespace").is_empty();
        let at = path.child("metadata");
        errors.append(validate_metadata(&metadata, namespaced, NameRule::PathSegment, &at));
    }
}

fn check_text(member: &str, text: &str, path: &Path<'_>, errors: &mut Errors) {
    if member == "apiVersion" {
        if text.matches('/').count() > 1 {
            errors.invalid(path, text, format!("unexpected GroupVersion string: {text}"));
        }
        return;
    }
    let wrong = names::is_dns1035_label(&text.to_lowercase());
    if !wrong.is_empty() {
        let why = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
        errors.invalid(path, text, why);
    }
}
