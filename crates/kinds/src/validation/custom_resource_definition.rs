//! CustomResourceDefinitions (`apiextensions-apiserver/pkg/apis/apiextensions/validation`).
//!
//! Upstream validates an internal form, and clients see its paths: what is the same in all versions stands at the level
//! of the spec there (`spec.validation`, `spec.subresources`, `spec.additionalPrinterColumns`).

use std::collections::BTreeSet;

use object::field::{Errors, Path};
use object::{Value, names, value};

use self::approval::Approval;
use super::field::{IMMUTABLE, same};

mod approval;
mod conversion;
mod version;

pub use approval::approval_condition;
pub use conversion::can_be_trusted as conversion_can_be_trusted;

/// A check of a name: what is wrong with it.
type Check = fn(&str) -> Vec<String>;

/// Checks a new definition, its metadata aside.
pub fn validate_custom_resource_definition(definition: &Value) -> Errors {
    let mut errors = Errors::new();
    let spec = definition.get("spec");
    let name = definition.str_at("metadata.name");
    if name != format!("{}.{}", spec.str_at("names.plural"), spec.str_at("group")) {
        let why = r#"must be spec.names.plural+"."+spec.group"#;
        errors.invalid(&Path::root("metadata").child("name"), name, why);
    }
    state(definition, &Value::Null, &mut errors);
    approval::check(definition, None, &mut errors);
    preserves(spec, &Value::Null, &mut errors);
    errors
}

/// Checks a change of a definition.
pub fn validate_custom_resource_definition_update(definition: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    state(definition, old, &mut errors);
    let (spec, old_spec) = (definition.get("spec"), old.get("spec"));
    let root = Path::root("spec");
    let names = root.child("names");
    let mut keep = |member: &str, path: &Path<'_>| {
        if !same(spec.at(member), old_spec.at(member)) {
            errors.invalid(path, spec.at(member).clone(), IMMUTABLE);
        }
    };
    let is_established =
        |other: &Value| other.str_at("type") == "Established" && other.str_at("status") == "True";
    if old.at("status.conditions").items().any(is_established) {
        // They decide about what is stored.
        keep("scope", &root.child("scope"));
        keep("names.kind", &names.child("kind"));
    }
    keep("group", &root.child("group"));
    keep("names.plural", &names.child("plural"));
    approval::check(definition, Some(Approval::of(old)), &mut errors);
    preserves(spec, old_spec, &mut errors);
    errors
}

/// Checks a change of a definition's status.
pub fn validate_custom_resource_definition_status_update(definition: &Value) -> Errors {
    let mut errors = Errors::new();
    check_names(
        definition.at("status.acceptedNames"),
        &Path::root("status").child("acceptedNames"),
        &mut errors,
    );
    errors
}

/// What holds for every state of a definition.
fn state(definition: &Value, old: &Value, errors: &mut Errors) {
    check_spec(definition.get("spec"), old.get("spec"), errors);
    conversion::check(definition, old, &Path::root("spec").child("conversion"), errors);
    let status = Path::root("status");
    check_names(definition.at("status.acceptedNames"), &status.child("acceptedNames"), errors);
    let stored = definition.at("status.storedVersions");
    stored_versions(stored, definition.at("spec.versions"), &status.child("storedVersions"), errors);
}

/// The versions in which objects may be stored must stay defined.
fn stored_versions(stored: &Value, versions: &Value, path: &Path<'_>, errors: &mut Errors) {
    if stored.is_empty() {
        return errors.invalid(path, stored.clone(), "must have at least one stored version");
    }
    let known: BTreeSet<&str> = stored.items().filter_map(Value::as_str).collect();
    for version in versions.items() {
        let name = version.str_at("name");
        if version.get("storage").as_bool() == Some(true) && !known.contains(name) {
            errors.invalid(path, stored.clone(), format!("must have the storage version {name}"));
        }
    }
    let defined: BTreeSet<&str> = versions.items().map(|version| version.str_at("name")).collect();
    for (index, name) in stored.items().filter_map(Value::as_str).enumerate() {
        if !defined.contains(name) {
            errors.invalid(
                &path.index(index),
                name,
                format!(
                    "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
                ),
            );
        }
    }
}

/// Unknown fields are pruned; exceptions are made in schemas.
fn preserves(spec: &Value, old: &Value, errors: &mut Errors) {
    let is_on = |spec: &Value| spec.get("preserveUnknownFields").as_bool() == Some(true);
    if is_on(spec) && !is_on(old) {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        errors.invalid(&Path::root("spec").child("preserveUnknownFields"), true, why);
    }
}

fn check_spec(spec: &Value, old: &Value, errors: &mut Errors) {
    let root = Path::root("spec");
    let group = spec.str_at("group");
    let wrong = names::is_dns1123_subdomain(group);
    if group.is_empty() {
        errors.required(&root.child("group"), "");
    } else if !wrong.is_empty() {
        errors.invalid(&root.child("group"), group, wrong.join(","));
    } else if !group.contains('.') {
        errors.invalid(&root.child("group"), group, "should be a domain with at least one dot");
    }
    match spec.str_at("scope") {
        "" => errors.required(&root.child("scope"), ""),
        "Cluster" | "Namespaced" => {}
        other => errors.not_supported(&root.child("scope"), other, &["Cluster", "Namespaced"]),
    }
    let versions = spec.get("versions");
    let at = root.child("versions");
    for (index, version) in versions.items().enumerate() {
        if version.at("schema.openAPIV3Schema").is_null() {
            let at = at.index(index);
            errors.required(&at.child("schema").child("openAPIV3Schema"), "");
        }
    }
    version::check(versions, old.get("versions"), &root, errors);
    let all: Vec<&str> = versions.items().map(|version| version.str_at("name")).collect();
    if all.iter().collect::<BTreeSet<_>>().len() != all.len() {
        errors.invalid(&at, versions.clone(), "must contain unique version names");
    }
    let is_stored = |version: &&Value| version.get("storage").as_bool() == Some(true);
    if versions.items().filter(is_stored).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.invalid(&at, versions.clone(), why);
    }
    let names = root.child("names");
    for member in ["plural", "singular", "kind", "listKind"] {
        if spec.get("names").str_at(member).is_empty() {
            errors.required(&names.child(member), "");
        }
    }
    check_names(spec.get("names"), &names, errors);
}

/// Checks names of a resource, as far as they are set.
fn check_names(names: &Value, path: &Path<'_>, errors: &mut Errors) {
    let is_label: Check = names::is_dns1035_label;
    let mut check = |name: &str, path: &Path<'_>, mixed: bool| {
        let wrong = is_label(&if mixed { name.to_lowercase() } else { name.to_owned() }).join(",");
        match (wrong.is_empty(), mixed) {
            (true, _) => {}
            (false, false) => errors.invalid(path, name, wrong),
            (false, true) => errors.invalid(
                path,
                name,
                format!("may have mixed case, but should otherwise match: {wrong}"),
            ),
        }
    };
    for (member, mixed) in [("plural", false), ("singular", false), ("kind", true), ("listKind", true)] {
        if let Some(name) = names.get(member).as_str().filter(|name| !name.is_empty()) {
            check(name, &path.child(member), mixed);
        }
    }
    for member in ["shortNames", "categories"] {
        for (index, name) in names.get(member).items().filter_map(Value::as_str).enumerate() {
            check(name, &path.child(member).index(index), false);
        }
    }
    let (kind, list_kind) = (names.str_at("kind"), names.str_at("listKind"));
    if !kind.is_empty() && kind == list_kind {
        errors.invalid(&path.child("listKind"), list_kind, "kind and listKind may not be the same");
    }
}

/// Warnings about the schemas of a definition that its previous state, if there is one, did not cause.
pub fn custom_resource_definition_warnings(definition: &Value, old: Option<&Value>) -> Vec<String> {
    let of = |definition: &Value| -> BTreeSet<String> {
        let versions = definition.at("spec.versions").items();
        versions
            .flat_map(|version| object::structural::warnings(version.at("schema.openAPIV3Schema")))
            .collect()
    };
    let before = old.map(of).unwrap_or_default();
    of(definition).into_iter().filter(|warning| !before.contains(warning)).collect()
}

/// A condition that contradicts the schemas of a definition which came into the store another way; null if they are
/// structural.
pub fn non_structural_schema(definition: &Value) -> Value {
    let mut errors = Errors::new();
    let root = Path::root("spec");
    let at = root.child("versions");
    for (index, version) in definition.at("spec.versions").items().enumerate() {
        let schema = version.at("schema.openAPIV3Schema");
        if !schema.is_null() {
            let at = at.index(index);
            let of_schema = at.child("schema");
            errors.append(object::structural::check(schema, &of_schema.child("openAPIV3Schema")));
        }
    }
    if errors.is_empty() {
        return Value::Null;
    }
    value!({
        "type": "NonStructuralSchema", "status": "True", "reason": "Violations", "message": errors.to_string()
    })
}
