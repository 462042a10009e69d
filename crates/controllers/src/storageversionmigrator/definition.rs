//! What the definition of a custom resource says about the migration of its objects.

use client::{Patch, ResourceType, key_of};
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use semantics::conditions;
use serde_json::json;

use crate::framework::{Action, api_time};

/// The condition.
const MIGRATING: &str = "StorageMigrating";
/// The manager of these fields; the name of upstream's controller that writes them.
const MANAGER: &str = "migration-runner-controller";

/// Says that a migration runs, and for which generation of the definition.
pub(super) fn begin(definition: &CustomResourceDefinition, migration: &str, now: Timestamp) -> Action {
    let message = format!("Migration {migration} is running");
    apply(definition, true, "MigrationRunning", &message, &stored(definition), now)
}

/// Says that the migration has ended. If it has succeeded, and was about the present definition, nothing is stored in any
/// other version.
///
/// Upstream forgets the other versions after a failure too, although objects may still be stored in them.
pub(super) fn end(definition: &CustomResourceDefinition, has_succeeded: bool, now: Timestamp) -> Action {
    if !has_succeeded {
        let all = stored(definition);
        return apply(definition, false, "MigrationFailed", "The migration has failed", &all, now);
    }
    let (message, left) = match storage_version(definition).filter(|_| is_of_present(definition)) {
        Some(version) => {
            ("The migration has succeeded and the stored versions have been updated", vec![version])
        }
        None => (
            "The migration has succeeded but the stored versions have not been updated due to a generation mismatch",
            stored(definition),
        ),
    };
    apply(definition, false, "MigrationSucceeded", message, &left, now)
}

/// Whether the definition is still the one for which the migration began.
fn is_of_present(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut of = conditions.filter(|condition| condition.type_ == MIGRATING);
    of.next().is_some_and(|of| of.observed_generation == definition.metadata.generation)
}

/// The version in which objects are stored now.
fn storage_version(definition: &CustomResourceDefinition) -> Option<&str> {
    definition.spec.versions.iter().find(|version| version.storage).map(|version| &*version.name)
}

/// The versions in which objects may be stored.
fn stored(definition: &CustomResourceDefinition) -> Vec<&str> {
    let stored = definition.status.as_ref().and_then(|status| status.stored_versions.as_ref());
    stored.into_iter().flatten().map(String::as_str).collect()
}

/// Applies the condition and the stored versions, on the condition that the definition has not changed. The versions are
/// always part of it: a field that is left out of a later configuration is removed.
fn apply(
    definition: &CustomResourceDefinition,
    holds: bool,
    reason: &str,
    message: &str,
    stored: &[&str],
    now: Timestamp,
) -> Action {
    let resource = ResourceType::of::<CustomResourceDefinition>();
    let condition = json!({
        "type": MIGRATING, "status": conditions::status(holds), "reason": reason, "message": message,
        "lastTransitionTime": api_time(now), "observedGeneration": definition.metadata.generation,
    });
    let object = json!({
        "apiVersion": resource.api_version(), "kind": &*resource.kind,
        "metadata": {
            "name": definition.metadata.name, "resourceVersion": definition.metadata.resource_version,
        },
        "status": {"conditions": [condition], "storedVersions": stored},
    });
    let patch = Patch::Apply { object, field_manager: MANAGER.to_owned(), force: true };
    Action::Patch { resource, key: key_of(definition), subresource: "status", patch }
}
