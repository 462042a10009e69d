//! How many pods are missing or too many, and what to do about it.

use std::sync::Arc;

use client::{EventType, reference_to};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;

use super::{Snapshot, ranking, status};
use crate::framework::{Action, Announcement, Claim, Failure, Note, Plan, labels};
use crate::{pods, template};

/// So many pods are created or deleted at most in one go.
const BURST: usize = 500;

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let replica_set = &*snapshot.replica_set;
    let spec = &replica_set.spec;
    let selector = labels::selector(&spec.selector);
    let claimed = Claim { owner: replica_set, selector: &selector }.claim(&snapshot.pods, pods::is_active);
    if !claimed.changes.is_empty() {
        return claimed.changes;
    }
    let active: Vec<Arc<Pod>> = claimed.owned.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
    let mut plan = Plan::default();
    if replica_set.metadata.deletion_timestamp.is_none() {
        let wanted = usize::try_from(spec.replicas.unwrap_or(1)).unwrap_or(0);
        if active.len() < wanted {
            let missing = (wanted - active.len()).min(BURST);
            plan.slow_start((0..missing).map(|_| create(replica_set)).collect());
        } else if active.len() > wanted {
            let excess = (active.len() - wanted).min(BURST);
            let victims = ranking::choose(active.clone(), &snapshot.related, excess, now);
            plan.together(victims.iter().map(|pod| delete(replica_set, pod)).collect());
        }
    }
    status::finish(replica_set, &claimed.owned, None, &mut plan, now);
    plan
}

/// A pod could not be created or deleted: an event for each, and a condition.
pub(super) fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let replica_set = &*snapshot.replica_set;
    let mut failed = None;
    for Failure { action, error } in failures {
        let (reason, message) = match action {
            Action::Create { .. } if error.is_namespace_terminating() => continue,
            Action::Create { .. } => ("FailedCreate", format!("Error creating: {error}")),
            Action::Delete { .. } => ("FailedDelete", format!("Error deleting: {error}")),
            _ => continue,
        };
        let about = reference_to(replica_set);
        plan.record(Note { about, kind: EventType::Warning, reason, message });
        failed = Some(status::ReplicaFailure { reason, message: error.to_string() });
    }
    if failed.is_some() {
        let owned = snapshot.pods.iter().filter(|pod| {
            let owner = crate::framework::controller_of(&pod.metadata).map(|owner| &owner.uid);
            owner == replica_set.metadata.uid.as_ref()
        });
        status::finish(replica_set, &owned.cloned().collect::<Vec<_>>(), failed, &mut plan, now);
    }
    plan
}

fn create(replica_set: &ReplicaSet) -> Action {
    let template = replica_set.spec.template.clone().unwrap_or_default();
    Action::create(template::pod(replica_set, &template)).announced(Announcement {
        about: reference_to(replica_set),
        reason: "SuccessfulCreate",
        message: |name| format!("Created pod: {name}"),
    })
}

fn delete(replica_set: &ReplicaSet, pod: &Pod) -> Action {
    Action::delete(pod).announced(Announcement {
        about: reference_to(replica_set),
        reason: "SuccessfulDelete",
        message: |name| format!("Deleted pod: {name}"),
    })
}
