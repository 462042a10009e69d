//! The end of a definition: its objects are deleted, then the definition is
//! (`apiextensions-apiserver/pkg/controller/finalizer`).

use std::sync::{Arc, Weak};
use std::time::Duration;

use kinds::custom_resource_definition::{CLEANUP_FINALIZER, set_condition};
use object::{Status, Value, value};

use super::{DEFINITIONS, is_true, write_status};
use crate::cache::{Collection, Watcher};
use crate::options::{DeleteOptions, WriteOptions};
use crate::registry::{Endpoint, Own, Registry};

/// How long objects are waited for before the condition says that they remain, and they are deleted again.
const REMAINING: Duration = Duration::from_secs(60);
/// How long a failure is waited for before the next try.
const RETRY: Duration = Duration::from_secs(5);

/// Whether a definition that is being deleted still waits for its objects.
pub(super) fn is_due(definition: &Value) -> bool {
    let finalizers = definition.at("metadata.finalizers");
    finalizers.items().any(|finalizer| finalizer.as_str() == Some(CLEANUP_FINALIZER))
}

/// Deletes the objects of a definition and then lets it go. Returns its name.
pub(super) async fn run(registry: Weak<Registry>, name: String) -> String {
    while let Some(registry) = registry.upgrade() {
        match attempt(&registry, &name).await {
            Ok(()) => break,
            Err(status) if status.code == 404 => break,
            // Somebody else has changed it: look again at once.
            Err(status) if status.code == 409 => {
                if registry.hub.catch_up().await.is_err() {
                    break;
                }
            }
            Err(status) => {
                tracing::warn!(name, error = status.message, "cannot delete the objects of a resource yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    name
}

async fn attempt(registry: &Registry, name: &str) -> Result<(), Status> {
    let Some(mut definition) = current(registry, name).filter(is_due) else { return Ok(()) };
    if !is_true(&definition, "Established") {
        let never = ("False", "NeverEstablished", "resource was never established".to_owned());
        condition(registry, &mut definition, never);
        return let_go(registry, name, definition).await;
    }
    let begun = ("True", "InstanceDeletionInProgress", "CustomResource deletion is in progress".to_owned());
    if condition(registry, &mut definition, begun) {
        write_status(registry, name, definition.clone()).await?;
    }
    let failure = delete_all(registry, &definition).await.err();
    registry.hub.catch_up().await.map_err(crate::errors::from_cache)?;
    let Some(mut definition) = current(registry, name).filter(is_due) else { return Ok(()) };
    if let Some((reason, message)) = failure {
        if condition(registry, &mut definition, ("True", reason, message.clone())) {
            write_status(registry, name, definition).await?;
        }
        return Err(Status::internal_error(message));
    }
    let done = ("False", "InstanceDeletionCompleted", "removed all instances".to_owned());
    condition(registry, &mut definition, done);
    let_go(registry, name, definition).await
}

/// The definition as it is now.
fn current(registry: &Registry, name: &str) -> Option<Value> {
    Some(registry.collection(DEFINITIONS)?.get("", name)?.value())
}

/// Sets the condition of the deletion; whether it has changed.
fn condition(
    registry: &Registry,
    definition: &mut Value,
    (status, reason, message): (&str, &str, String),
) -> bool {
    let before = definition.at("status.conditions").clone();
    let time = registry.clock.now_seconds().to_string();
    let condition = value!({"type": "Terminating", "status": status, "reason": reason, "message": message});
    set_condition(definition, condition, time.into());
    definition.at("status.conditions") != &before
}

/// Removes the finalizer, which ends the definition if it was the last one.
async fn let_go(registry: &Registry, name: &str, mut definition: Value) -> Result<(), Status> {
    let finalizers = definition.entry("metadata").entry("finalizers");
    if let Some(list) = finalizers.as_list_mut() {
        list.retain(|finalizer| finalizer.as_str() != Some(CLEANUP_FINALIZER));
    }
    write_status(registry, name, definition).await
}

/// Deletes all objects and waits until they are gone.
async fn delete_all(registry: &Registry, definition: &Value) -> Result<(), (&'static str, String)> {
    let (group, plural) = (definition.str_at("spec.group"), definition.str_at("spec.names.plural"));
    let stored = registry.catalogue.stored(group, plural);
    let found = stored.and_then(|endpoint| Some((Arc::clone(&endpoint), endpoint.collection.clone()?)));
    let Some((endpoint, collection)) = found else {
        let why = format!("could not list instances: {plural}.{group} is not served");
        return Err(("InstanceDeletionFailed", why));
    };
    if let Err(error) = registry.hub.catch_up().await {
        return Err(("InstanceDeletionFailed", format!("could not list instances: {error}")));
    }
    let mut failure = None;
    for (_, object) in &collection.objects() {
        match delete(registry, &endpoint, object.namespace(), object.name()).await {
            Err(status) if status.code != 404 => failure = failure.or(Some(status.message)),
            _ => {}
        }
    }
    if let Some(failure) = failure {
        return Err(("InstanceDeletionFailed", format!("could not issue all deletes: {failure}")));
    }
    match tokio::time::timeout(REMAINING, emptied(registry, &collection)).await {
        Ok(()) => Ok(()),
        Err(_) => {
            let why = "could not confirm zero CustomResources remaining: timed out waiting for the condition";
            Err(("InstanceDeletionCheck", why.to_owned()))
        }
    }
}

async fn delete(registry: &Registry, endpoint: &Endpoint, namespace: &str, name: &str) -> Result<(), Status> {
    let own = Own::new(&registry.clock, WriteOptions::default());
    registry.delete(endpoint, &own.call(namespace, name, ""), &DeleteOptions::default()).await.map(drop)
}

/// Waits until a collection has no objects, or is not followed any more.
async fn emptied(registry: &Registry, collection: &Arc<Collection>) {
    let (_, mut watcher) = Watcher::with_snapshot(collection, &registry.hub);
    while !collection.is_empty() {
        if watcher.next().await.is_err() {
            return;
        }
    }
}
