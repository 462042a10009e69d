//! What follows from writes that failed: events, the status, and another name for a revision.

use client::{EventType, reference_to};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::replicas::Snapshot;
use super::{identity, plan, status};
use crate::framework::{Action, Failure, Note, Plan, controller_of};
use crate::revisions::History;

pub(super) fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
    let mut recovery = Plan::default();
    let set = &*snapshot.set;
    let mut is_renamed = false;
    for failure in failures {
        if let Action::Create { object, .. } = &failure.action
            && object.get::<ControllerRevision>().is_some()
        {
            is_renamed |= is_collision(snapshot, failure, &object.key.name);
            continue;
        }
        for (reason, message) in told(snapshot, failure) {
            recovery.record(Note { about: reference_to(set), kind: EventType::Warning, reason, message });
        }
    }
    if is_renamed {
        let mut changed = set.clone();
        *changed.status.get_or_insert_default().collision_count.get_or_insert(0) += 1;
        recovery.then(Action::update_status(changed));
    } else if !failures.iter().any(is_stale) {
        count(snapshot, &mut recovery, now);
    }
    recovery
}

/// Whether the status could not be written because the set has changed: the next plan counts anew.
fn is_stale(failure: &Failure) -> bool {
    let is_status = matches!(&failure.action, Action::Update { object, subresource: "status" }
        if object.get::<StatefulSet>().is_some());
    is_status && failure.error.is_conflict()
}

/// Whether the name of a new revision is taken by one of another template: the next hash is different.
fn is_collision(snapshot: &Snapshot, failure: &Failure, name: &str) -> bool {
    let is_known = snapshot.revisions.iter().any(|other| other.metadata.name.as_deref() == Some(name));
    failure.error.is_already_exists() && !is_known
}

/// The events about a failed write.
fn told(snapshot: &Snapshot, failure: &Failure) -> Vec<(&'static str, String)> {
    let (set, error, why) = (&*snapshot.set, &failure.error, failure.why());
    match &failure.action {
        Action::Create { .. } if error.is_namespace_terminating() => Vec::new(),
        Action::Create { object, .. } if object.get::<PersistentVolumeClaim>().is_some() => {
            claim_failed(snapshot, &object.key.name, error.is_already_exists(), &why)
        }
        // The cache was behind.
        Action::Create { .. } if error.is_already_exists() => Vec::new(),
        Action::Create { object, .. } if object.get::<Pod>().is_some() => {
            vec![("FailedCreate", plan::failed(set, "create", &object.key.name, &why))]
        }
        Action::Update { object, .. } if object.get::<PersistentVolumeClaim>().is_some() => {
            let claim = &object.key.name;
            let why = format!("could not update claim {claim} for delete policy ownerRefs: {why}");
            vec![("FailedUpdate", plan::failed(set, "update", &pod_of(claim, set), &why))]
        }
        // Releases and adoptions patch pods too, but only pods that are no longer or not yet the set's.
        Action::Patch { key, resource, .. }
            if &*resource.plural == "pods" && is_owned(snapshot, &key.name) =>
        {
            vec![("FailedUpdate", plan::failed(set, "update", &key.name, &why))]
        }
        Action::Delete { key, resource, .. } if &*resource.plural == "pods" => {
            vec![("FailedDelete", plan::failed(set, "delete", &key.name, &why))]
        }
        _ => Vec::new(),
    }
}

fn claim_failed(snapshot: &Snapshot, claim: &str, is_there: bool, why: &str) -> Vec<(&'static str, String)> {
    let set = &*snapshot.set;
    let (pod, name) = (pod_of(claim, set), identity::name_of(set));
    let mut events = Vec::new();
    if !is_there {
        let message = format!("create Claim {claim} for Pod {pod} in StatefulSet {name} failed error: {why}");
        events.push(("FailedCreate", message));
    }
    // A pod that exists was created without its claim; one that does not is not created now.
    if !snapshot.pods.iter().any(|known| known.metadata.name() == pod) {
        let why = format!("failed to create PVC {claim}: {why}");
        events.push(("FailedCreate", plan::failed(set, "create", &pod, &why)));
    }
    events
}

/// The pod of a claim: their names end alike.
fn pod_of(claim: &str, set: &StatefulSet) -> String {
    let ordinal = claim.rsplit('-').next().unwrap_or_default();
    format!("{}-{ordinal}", identity::name_of(set))
}

fn is_owned(snapshot: &Snapshot, pod: &str) -> bool {
    let ObjectMeta { uid, .. } = &snapshot.set.metadata;
    let mut pods = snapshot.pods.iter().filter(|known| known.metadata.name() == pod);
    pods.any(|known| controller_of(&known.metadata).map(|owner| owner.uid) == uid.as_deref())
}

/// The status is written whatever else fails.
fn count(snapshot: &Snapshot, recovery: &mut Plan, now: Timestamp) {
    let set = &*snapshot.set;
    let uid = set.metadata.uid.as_deref();
    let is_own = |meta: &dyn semantics::View| controller_of(meta).map(|owner| owner.uid) == uid;
    let mut revisions = snapshot.revisions.clone();
    revisions.retain(|revision| is_own(&revision.metadata));
    let history = History::new(&plan::versioned(set), revisions);
    let Some(revisions) = plan::between(set, &history) else { return };
    let mut owned = snapshot.pods.clone();
    owned.retain(|pod| is_own(&pod.metadata));
    let status = status::counts(set, &owned, &revisions, now);
    status::finish(set, &owned, status, recovery, now);
}
