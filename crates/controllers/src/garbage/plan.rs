//! The decision about one object.

use std::time::Duration;

use client::{DeleteOptions, PartialObject, Patch, Propagation};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;

use super::graph::{FOREGROUND, Node, ORPHAN, OwnerState};
use super::snapshot::Snapshot;
use crate::framework::{Action, Plan};

/// How soon to look again after an owner that the graph has not seen.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

pub(super) fn plan(snapshot: &Snapshot) -> Plan {
    let mut plan = Plan::default();
    match snapshot {
        Snapshot::Unobserved => plan.requeue_after(LOOK_AGAIN),
        Snapshot::Foreground { node, live, blocked } => {
            if !blocked {
                plan.then(release(node, live, FOREGROUND));
            }
        }
        Snapshot::Orphaning { node, live, dependents } => {
            let uid = live.metadata.uid.as_deref().unwrap_or_default();
            plan.together(dependents.iter().map(|dependent| forget(dependent, uid)).collect());
            plan.then(release(node, live, ORPHAN));
        }
        Snapshot::Dependent { node, live, owners, has_dependents, dependent_waits } => {
            let any = |state: OwnerState| owners.iter().any(|(_, found)| *found == state);
            if any(OwnerState::Solid) {
                let solid = owners.iter().filter(|(_, state)| *state == OwnerState::Solid);
                plan.then(set_owners(node, live, solid.map(|(owner, _)| owner.clone()).collect()));
            } else if any(OwnerState::Waiting) && *has_dependents {
                if *dependent_waits {
                    // Owner and dependent may wait for one another: this one no longer blocks its owner.
                    plan.then(unblock(node, live));
                    plan.then(delete(node, live, Propagation::Foreground, false));
                } else {
                    plan.then(delete(node, live, Propagation::Foreground, true));
                }
            } else {
                plan.then(delete(node, live, propagation(live), true));
            }
        }
    }
    plan
}

/// According to the existing finalizers.
fn propagation(live: &PartialObject) -> Propagation {
    let held_by = |name: &str| live.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == name);
    match (held_by(ORPHAN), held_by(FOREGROUND)) {
        (true, _) => Propagation::Orphan,
        (false, true) => Propagation::Foreground,
        (false, false) => Propagation::Background,
    }
}

/// Deletes exactly this object and, if nothing was written to it before, only in the state that was seen: it may be
/// getting an owner right now.
fn delete(node: &Node, live: &PartialObject, propagation: Propagation, unchanged: bool) -> Action {
    let options = DeleteOptions {
        propagation: Some(propagation),
        resource_version: live.metadata.resource_version.clone().filter(|_| unchanged),
        ..DeleteOptions::of_uid(live.metadata.uid.clone().unwrap_or_default())
    };
    Action::Delete { resource: (*node.resource).clone(), key: node.key.clone(), options, announcement: None }
}

/// Removes a finalizer.
fn release(node: &Node, live: &PartialObject, finalizer: &str) -> Action {
    let mut finalizers = live.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|found| found != finalizer);
    patch(node, live.metadata.resource_version.as_deref(), json!({"finalizers": finalizers}))
}

/// Removes an owner from a dependent.
fn forget(dependent: &Node, owner: &str) -> Action {
    let owners: Vec<_> = dependent.owners.iter().filter(|found| found.uid != owner).collect();
    let version = dependent.resource_version.to_string();
    patch(dependent, Some(&version), json!({"ownerReferences": owners}))
}

fn set_owners(node: &Node, live: &PartialObject, owners: Vec<OwnerReference>) -> Action {
    patch(node, live.metadata.resource_version.as_deref(), json!({"ownerReferences": owners}))
}

fn unblock(node: &Node, live: &PartialObject) -> Action {
    let mut owners = live.metadata.owner_references.clone().unwrap_or_default();
    owners.iter_mut().for_each(|owner| owner.block_owner_deletion = Some(false));
    set_owners(node, live, owners)
}

/// Changes metadata, unless the object has changed since it was read.
fn patch(node: &Node, resource_version: Option<&str>, mut metadata: serde_json::Value) -> Action {
    metadata["resourceVersion"] = json!(resource_version);
    Action::Patch {
        resource: (*node.resource).clone(),
        key: node.key.clone(),
        subresource: "",
        patch: Patch::Merge(json!({"metadata": metadata})),
    }
}
