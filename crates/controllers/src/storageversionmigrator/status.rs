//! The status of a migration.

use jiff::Timestamp;
use k8s_openapi::api::storagemigration::v1::StorageVersionMigration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use semantics::conditions;

use crate::framework::api_time;

const RUNNING: &str = "Running";
const SUCCEEDED: &str = "Succeeded";
const FAILED: &str = "Failed";

/// Whether a migration is in progress, or has ended without being taken from those in progress.
pub(super) fn is_running(migration: &StorageVersionMigration) -> bool {
    is(migration, RUNNING)
}

/// Whether it has succeeded.
pub(super) fn has_succeeded(migration: &StorageVersionMigration) -> bool {
    is(migration, SUCCEEDED)
}

/// Whether it has ended.
pub(super) fn is_over(migration: &StorageVersionMigration) -> bool {
    has_succeeded(migration) || is(migration, FAILED)
}

fn is(migration: &StorageVersionMigration, kind: &str) -> bool {
    migration.status.as_ref().is_some_and(|status| conditions::is_true(&status.conditions, kind))
}

/// The version of the collection when the migration began; empty if that is not determined yet.
pub(super) fn version(migration: &StorageVersionMigration) -> &str {
    let status = migration.status.as_ref();
    status.and_then(|status| status.resource_version.as_deref()).unwrap_or_default()
}

/// The migration, in progress.
pub(super) fn begun(migration: &StorageVersionMigration, now: Timestamp) -> StorageVersionMigration {
    let running = condition(RUNNING, true, "MigrationRunning", "The migration is running".into(), now);
    with(migration, running)
}

/// The migration, with the version of the collection.
pub(super) fn at_version(migration: &StorageVersionMigration, version: &str) -> StorageVersionMigration {
    let mut migration = migration.clone();
    migration.status.get_or_insert_default().resource_version = Some(version.to_owned());
    migration
}

/// The migration, successful.
pub(super) fn succeeded(migration: &StorageVersionMigration, now: Timestamp) -> StorageVersionMigration {
    with(migration, condition(SUCCEEDED, true, "StorageVersionMigrationSucceeded", String::new(), now))
}

/// The migration, failed.
pub(super) fn failed(
    migration: &StorageVersionMigration,
    why: String,
    now: Timestamp,
) -> StorageVersionMigration {
    with(migration, condition(FAILED, true, "StorageVersionMigrationFailed", why, now))
}

/// The migration, no longer in progress.
pub(super) fn ended(migration: &StorageVersionMigration, now: Timestamp) -> StorageVersionMigration {
    let mut running = condition(RUNNING, false, "MigrationCompleted", "Migration completed".into(), now);
    running.observed_generation = migration.metadata.generation;
    with(migration, running)
}

fn with(migration: &StorageVersionMigration, condition: Condition) -> StorageVersionMigration {
    let mut migration = migration.clone();
    conditions::set(&mut migration.status.get_or_insert_default().conditions, condition);
    migration
}

fn condition(kind: &str, holds: bool, reason: &str, message: String, now: Timestamp) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: conditions::status(holds).to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: api_time(now),
        observed_generation: None,
    }
}
