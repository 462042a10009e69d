//! The effect of a deletion on an object: it is removed, or it waits for its agent and its finalizers.

use clock::Clock;
use object::Value;

use crate::options::{DeleteOptions, Propagation};
use crate::registry::Endpoint;
use crate::registry::write::Fate;

/// The finalizer of an object whose dependents are orphaned before it is deleted.
const ORPHAN: &str = "orphan";
/// The finalizer of an object whose dependents are deleted before it.
const FOREGROUND: &str = "foregroundDeletion";

/// The store's next action, and the object until its removal.
pub(super) fn step(
    endpoint: &Endpoint,
    old: &Value,
    options: &DeleteOptions,
    clock: &Clock,
) -> (Fate, Value) {
    let strategy = &endpoint.strategy;
    let finalizers = finalizers_after(endpoint, old, options.propagation);
    let finalizers_changed =
        finalizers.as_slice() != old.at("metadata.finalizers").as_list().unwrap_or_default();
    let grace = strategy.deletion_grace_seconds(old, options.grace_period_seconds).unwrap_or(0);
    let is_held = !finalizers.is_empty() || strategy.blocks_deletion(old);
    let is_deleting = !old.at("metadata.deletionTimestamp").is_null();
    let remaining = old.at("metadata.deletionGracePeriodSeconds").as_i64().unwrap_or(0);
    if grace == 0 && !is_held {
        return (Fate::Gone, Value::Null);
    }
    // A second deletion can only shorten the first one's grace.
    if is_deleting && grace >= remaining && !finalizers_changed {
        return (Fate::Unchanged, Value::Null);
    }
    let mut object = old.clone();
    let metadata = object.entry("metadata");
    if finalizers.is_empty() {
        metadata.remove("finalizers");
    } else {
        metadata.set("finalizers", finalizers);
    }
    if !is_deleting || grace < remaining {
        let now = clock.now_seconds();
        let end = now.as_second().saturating_add(grace);
        let end = jiff::Timestamp::from_second(end).unwrap_or(now);
        metadata.set("deletionTimestamp", end.to_string());
        metadata.set("deletionGracePeriodSeconds", grace);
        if !is_deleting && !metadata.get("generation").is_null() {
            let generation = metadata.get("generation").as_i64().unwrap_or(0);
            metadata.set("generation", generation + 1);
        }
    }
    strategy.prepare_deletion(&mut object);
    (Fate::Kept, object)
}

/// The finalizers that the deletion leaves, with those that its propagation policy asks for.
fn finalizers_after(endpoint: &Endpoint, old: &Value, policy: Option<Propagation>) -> Vec<Value> {
    let present = old.at("metadata.finalizers");
    let has = |name: &str| present.items().any(|f| f.as_str() == Some(name));
    let (orphan, foreground) = match policy {
        Some(Propagation::Orphan) => (true, false),
        Some(Propagation::Foreground) => (false, true),
        Some(Propagation::Background) => (false, false),
        None if has(ORPHAN) || has(FOREGROUND) => (has(ORPHAN), has(FOREGROUND)),
        None => (endpoint.strategy.orphans_by_default(), false),
    };
    let mut finalizers: Vec<Value> = present
        .items()
        .filter(|finalizer| {
            let name = finalizer.as_str().unwrap_or_default();
            (orphan || name != ORPHAN) && (foreground || name != FOREGROUND)
        })
        .cloned()
        .collect();
    for (wanted, name) in [(orphan, ORPHAN), (foreground, FOREGROUND)] {
        if wanted && !has(name) {
            finalizers.push(Value::from(name));
        }
    }
    finalizers
}
