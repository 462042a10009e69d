//! What to delete next, and the namespace's status.

use std::collections::BTreeMap;
use std::time::Duration;

use client::ResourceType;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use semantics::conditions;

use super::content::{FINALIZER, Remaining, Snapshot};
use crate::framework::{Action, Body, Failure, Plan, api_time};

/// How soon to check again after something was deleted.
const SOON: Duration = Duration::from_secs(1);
/// How soon to check again while others have to finish.
const LATER: Duration = Duration::from_secs(10);

const DISCOVERY_FAILURE: &str = "NamespaceDeletionDiscoveryFailure";
const CONTENT_FAILURE: &str = "NamespaceDeletionContentFailure";

/// A condition that reports a problem if it is true, and the reasons and texts for both cases.
struct Problem {
    kind: &'static str,
    /// The reason and text if it is true.
    found: Option<(&'static str, String)>,
    /// The reason and text if it is false.
    fine: (&'static str, &'static str),
}

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let discovery = (!snapshot.undiscovered.is_empty()).then(|| {
        let (count, names) = (snapshot.undiscovered.len(), snapshot.undiscovered.join(", "));
        ("DiscoveryFailed", format!("Discovery failed for some groups, {count} failing: {names}"))
    });
    if snapshot.remaining.is_empty() && snapshot.unlisted.is_empty() && discovery.is_none() {
        plan.then(finalize(&snapshot.namespace));
        return plan;
    }
    let deletions = deletions(snapshot);
    let progress = !deletions.is_empty();
    set_status(snapshot, &mut plan, discovery, unlisted(snapshot), now);
    plan.together(deletions);
    plan.requeue_after(if progress { SOON } else { LATER });
    plan
}

/// A deletion failed: the status says which.
pub(super) fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let failed: Vec<String> = failures
        .iter()
        .filter(|failure| matches!(failure.action, Action::Delete { .. } | Action::DeleteCollection { .. }))
        .map(Failure::why)
        .collect();
    if !failed.is_empty() {
        set_status(snapshot, &mut plan, None, Some(not_deleted(&failed)), now);
    }
    plan
}

/// What cannot be listed cannot be deleted.
fn unlisted(snapshot: &Snapshot) -> Option<(&'static str, String)> {
    let failed: Vec<String> = snapshot.unlisted.iter().map(|unlisted| unlisted.why.clone()).collect();
    (!failed.is_empty()).then(|| not_deleted(&failed))
}

fn not_deleted(failed: &[String]) -> (&'static str, String) {
    let (count, failed) = (failed.len(), failed.join(", "));
    ("ContentDeletionFailed", format!("Failed to delete all resource types, {count} remaining: {failed}"))
}

fn is_pods(resource: &ResourceType) -> bool {
    resource.group.is_empty() && resource.plural == "pods"
}

/// The objects whose deletion has not begun: only pods while there are pods, then all.
fn deletions(snapshot: &Snapshot) -> Vec<Action> {
    let remaining = snapshot.remaining.iter();
    let pods: Vec<&Remaining> =
        remaining.clone().filter(|remaining| is_pods(&remaining.resource.resource)).collect();
    let may_have_pods = snapshot.unlisted.iter().any(|unlisted| is_pods(&unlisted.resource));
    let next = if pods.is_empty() && !may_have_pods { remaining.collect() } else { pods };
    let namespace = snapshot.namespace.metadata.name.clone().unwrap_or_default();
    let mut actions = Vec::new();
    for Remaining { resource, objects } in next {
        let live: Vec<_> =
            objects.iter().filter(|object| object.metadata.deletion_timestamp.is_none()).collect();
        if live.is_empty() {
            continue;
        }
        if resource.supports(&["deletecollection"]) {
            let (resource, namespace) = (resource.resource.clone(), namespace.clone());
            actions.push(Action::DeleteCollection { resource, namespace });
            continue;
        }
        actions.extend(live.into_iter().map(|object| Action::Delete {
            resource: resource.resource.clone(),
            key: client::meta_key(&object.metadata),
            options: client::DeleteOptions::of_uid(object.metadata.uid.clone().unwrap_or_default()),
            announcement: None,
        }));
    }
    actions
}

/// Removes this controller's finalizer; the server then removes the namespace.
fn finalize(namespace: &Namespace) -> Action {
    let mut namespace = namespace.clone();
    if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
        finalizers.retain(|finalizer| finalizer != FINALIZER);
    }
    Action::Update { object: Body::new(namespace), subresource: "finalize" }
}

fn set_status(
    snapshot: &Snapshot,
    plan: &mut Plan,
    discovery: Option<(&'static str, String)>,
    deletion: Option<(&'static str, String)>,
    now: Timestamp,
) {
    let problems = [
        Problem {
            kind: DISCOVERY_FAILURE,
            found: discovery,
            fine: ("ResourcesDiscovered", "All resources successfully discovered"),
        },
        Problem {
            kind: "NamespaceDeletionGroupVersionParsingFailure",
            found: None,
            fine: ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        },
        Problem {
            kind: CONTENT_FAILURE,
            found: deletion,
            fine: ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        },
        Problem {
            kind: "NamespaceContentRemaining",
            found: content(snapshot),
            fine: ("ContentRemoved", "All content successfully removed"),
        },
        Problem {
            kind: "NamespaceFinalizersRemaining",
            found: finalizers(snapshot),
            fine: ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        },
    ];
    let mut namespace = (*snapshot.namespace).clone();
    let status = namespace.status.get_or_insert_default();
    status.phase = Some("Terminating".into());
    for problem in problems {
        conditions::set(&mut status.conditions, condition(problem, now));
    }
    if namespace.status != snapshot.namespace.status {
        plan.then(Action::update_status(namespace));
    }
}

fn condition(problem: Problem, now: Timestamp) -> NamespaceCondition {
    let (holds, reason, message) = match problem.found {
        Some((reason, message)) => (true, reason, message),
        None => (false, problem.fine.0, problem.fine.1.to_owned()),
    };
    NamespaceCondition {
        type_: problem.kind.into(),
        status: conditions::status(holds).into(),
        reason: Some(reason.into()),
        message: Some(message),
        last_transition_time: Some(api_time(now)),
    }
}

fn content(snapshot: &Snapshot) -> Option<(&'static str, String)> {
    let mut counts: Vec<String> = snapshot
        .remaining
        .iter()
        .map(|Remaining { resource, objects }| {
            let resource = &resource.resource;
            format!("{}.{} has {} resource instances", resource.plural, resource.group, objects.len())
        })
        .collect();
    counts.sort();
    let text = format!("Some resources are remaining: {}", counts.join(", "));
    (!counts.is_empty()).then_some(("SomeResourcesRemain", text))
}

fn finalizers(snapshot: &Snapshot) -> Option<(&'static str, String)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for object in snapshot.remaining.iter().flat_map(|remaining| remaining.objects.iter()) {
        for finalizer in object.metadata.finalizers.iter().flatten() {
            *counts.entry(finalizer).or_default() += 1;
        }
    }
    let counts: Vec<String> =
        counts.into_iter().map(|(name, count)| format!("{name} in {count} resource instances")).collect();
    let text = format!("Some content in the namespace has finalizers remaining: {}", counts.join(", "));
    (!counts.is_empty()).then_some(("SomeFinalizersRemain", text))
}
