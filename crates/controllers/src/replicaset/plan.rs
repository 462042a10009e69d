//! How many pods are missing or too many, and what to do about it.

use std::sync::Arc;

use client::{EventType, LeanPod, reference_to};
use jiff::Timestamp;

use super::replicated::{Replicated, Snapshot};
use super::{ranking, status};
use crate::framework::{Action, Announcement, Claim, Failure, Note, Plan, controller_of};
use crate::{pods, template};

/// The maximum number of pods created or deleted at once.
const BURST: usize = 500;

pub(super) fn plan<K: Replicated>(snapshot: &Snapshot<K>, now: Timestamp) -> Plan {
    let owner = &*snapshot.owner;
    let selector = owner.selector();
    let claimed = Claim { owner, selector: &selector }.claim(&snapshot.pods, |pod| pods::is_active(pod));
    if !claimed.changes.is_empty() {
        return claimed.changes;
    }
    let active: Vec<Arc<LeanPod>> =
        claimed.owned.iter().filter(|pod| pods::is_active(pod)).cloned().collect();
    let mut plan = Plan::default();
    if owner.metadata().deletion_timestamp.is_none() {
        let wanted = usize::try_from(owner.wanted()).unwrap_or(0);
        if active.len() < wanted {
            let missing = (wanted - active.len()).min(BURST);
            plan.slow_start((0..missing).map(|_| create(owner)).collect());
        } else if active.len() > wanted {
            let excess = (active.len() - wanted).min(BURST);
            let victims = ranking::choose(active, &snapshot.related, excess, now);
            plan.together(victims.iter().map(|pod| delete(owner, pod)).collect());
        }
    }
    status::finish(owner, &claimed.owned, None, &mut plan, now);
    plan
}

/// A pod could not be created or deleted: an event for each, and a condition.
pub(super) fn recover<K: Replicated>(snapshot: &Snapshot<K>, failures: &[Failure], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let owner = &*snapshot.owner;
    let mut failed = None;
    for failure in failures {
        let Failure { action, error } = failure;
        let (reason, message) = match action {
            Action::Create { .. } if error.is_namespace_terminating() => continue,
            Action::Create { .. } => ("FailedCreate", format!("Error creating: {}", failure.why())),
            Action::Delete { .. } => ("FailedDelete", format!("Error deleting: {}", failure.why())),
            _ => continue,
        };
        let about = reference_to(owner);
        plan.record(Note { about, kind: EventType::Warning, reason, message });
        failed = Some(status::ReplicaFailure { reason, message: failure.why() });
    }
    if failed.is_some() {
        let uid = owner.metadata().uid.as_deref();
        let is_own = |pod: &&Arc<LeanPod>| controller_of(&pod.metadata).map(|owner| owner.uid) == uid;
        let owned: Vec<_> = snapshot.pods.iter().filter(is_own).cloned().collect();
        status::finish(owner, &owned, failed, &mut plan, now);
    }
    plan
}

fn create<K: Replicated>(owner: &K) -> Action {
    let template = owner.template().cloned().unwrap_or_default();
    Action::create(template::pod(owner, &template)).announced(Announcement {
        about: reference_to(owner),
        reason: "SuccessfulCreate",
        message: |name| format!("Created pod: {name}"),
    })
}

fn delete<K: Replicated>(owner: &K, pod: &LeanPod) -> Action {
    Action::delete(pod).announced(Announcement {
        about: reference_to(owner),
        reason: "SuccessfulDelete",
        message: |name| format!("Deleted pod: {name}"),
    })
}
