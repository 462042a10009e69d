//! StorageVersionMigrations (`pkg/apis/storagemigration/validation`).

use object::Value;
use object::field::Errors;
use object::names;
use semantics::conditions;

use super::conditions::validate_conditions;
use super::field::{Field, IMMUTABLE};

const MIGRATION: &str = "io.k8s.api.storagemigration.v1.StorageVersionMigration";

/// Checks a StorageVersionMigration, except its metadata.
pub fn validate_storage_version_migration(migration: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(migration, MIGRATION);
    let spec = root.child("spec");
    let resource = spec.child("resource");
    let (name, group) = (resource.child("resource"), resource.child("group"));
    match name.text() {
        "" => name.required(&mut errors, "resource is required to be set"),
        text => check(&mut errors, &name, names::is_dns1035_label(text)),
    }
    if !group.is_empty() {
        check(&mut errors, &group, names::is_dns1123_subdomain(group.text()));
    }
    errors
}

/// All that is wrong with a name makes one error.
fn check(errors: &mut Errors, name: &Field<'_, '_>, wrong: Vec<String>) {
    if !wrong.is_empty() {
        name.invalid(errors, wrong.join(","));
    }
}

/// Checks a change of a StorageVersionMigration, except its metadata: a migration is of one resource.
pub fn validate_storage_version_migration_update(migration: &Value, old: &Value) -> Errors {
    let mut errors = validate_storage_version_migration(migration);
    Field::root(migration, MIGRATION).child("spec").check_immutable(&mut errors, old.get("spec"));
    errors
}

/// Checks a change of a StorageVersionMigration's status, except its metadata: what has ended stays ended.
///
/// A migration that has ended may still be running: its controller first records the end, then takes it from those in
/// progress. And it may run, or fail, before the version of its resource is known.
pub fn validate_storage_version_migration_status_update(migration: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(migration, MIGRATION);
    let status = root.child("status");
    let (version, listed) = (status.child("resourceVersion"), status.child("conditions"));
    let text = version.text();
    if !text.is_empty() && !is_resource_version(text) {
        let why = format!("resource version is not well formed: {text}");
        errors.invalid(&version.path, text, why);
    }
    validate_conditions(&mut errors, &listed);
    let before = old.str_at("status.resourceVersion");
    if !before.is_empty() && before != text {
        errors.invalid(&version.path, text, IMMUTABLE);
    }
    let is = |migration: &Value, kind: &str| {
        conditions::of(migration, kind).field("status").text() == conditions::TRUE
    };
    let [succeeded, failed] = ["Succeeded", "Failed"].map(|kind| is(migration, kind));
    for (is_wrong, why) in [
        (succeeded && failed, "Both success and failed conditions cannot be true at the same time"),
        (is(old, "Succeeded") && !succeeded, "Success condition cannot be set to false once it is true"),
        (is(old, "Failed") && !failed, "Failed condition cannot be set to false once it is true"),
    ] {
        if is_wrong {
            listed.invalid(&mut errors, why);
        }
    }
    errors
}

/// A number that is not zero, without zeros in front.
fn is_resource_version(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}
