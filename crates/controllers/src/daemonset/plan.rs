//! Which pods are missing, and which are superfluous.

use std::sync::Arc;
use std::time::Duration;

use client::{EventType, LeanPod, reference_to};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::{ControllerRevision, DaemonSet};

use super::placement::{self, Fit};
use super::places::{Moves, Place, Places, Snapshot, is_updated, min_ready_seconds, places};
use super::{status, update};
use crate::framework::{Action, Announcement, Claim, Failure, Note, Plan};
use crate::revisions::{HASH_LABEL, History, Versioned};
use crate::{pods, template};

/// The maximum number of pods created or deleted at once.
const BURST: usize = 250;
/// The default number of revisions that are kept.
const HISTORY_LIMIT_DEFAULT: i32 = 10;
/// A number by which older tools distinguish generations.
const GENERATION_LABEL: &str = "pod-template-generation";
/// Its origin.
const GENERATION: &str = "deprecated.daemonset.template.generation";

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let daemon_set = &*snapshot.daemon_set;
    let mut plan = Plan::default();
    if semantics::LabelSelector::read(&daemon_set.spec.selector).is_empty() {
        plan.record(Note {
            about: reference_to(daemon_set),
            kind: EventType::Warning,
            reason: "SelectingAll",
            message: "This daemon set is selecting all pods. A non-empty selector is required.".into(),
        });
        return plan;
    }
    if daemon_set.metadata.deletion_timestamp.is_some() {
        return plan;
    }
    let selector = semantics::selector(&daemon_set.spec.selector);
    let claim = Claim { owner: daemon_set, selector: &selector };
    let revisions = claim.claim(&snapshot.revisions, |_| true);
    let pods = claim.claim(&snapshot.pods, |pod| pods::is_active(pod));
    for changes in [revisions.changes, pods.changes] {
        if !changes.is_empty() {
            return changes;
        }
    }
    let versioned = Versioned {
        owner: daemon_set,
        template: &daemon_set.spec.template,
        collisions: daemon_set.status.as_ref().and_then(|status| status.collision_count),
        hash_label: HASH_LABEL,
    };
    let history = History::new(&versioned, revisions.owned);
    history.bring_up(&versioned, &mut plan);
    let Some(hash) = history.hash().filter(|_| plan.is_empty()) else { return plan };
    let places = places(snapshot, &pods.owned);
    let mut moves = manage(snapshot, &places, hash, now);
    // Updates wait until each node has its pod.
    if moves.create.is_empty() && moves.delete.is_empty() {
        update::plan(daemon_set, &places, hash, &mut moves, now);
    }
    carry_out(daemon_set, moves, hash, &mut plan);
    let limit = daemon_set.spec.revision_history_limit.unwrap_or(HISTORY_LIMIT_DEFAULT);
    history.clean_up(limit, &pods.owned, &mut plan);
    status::finish(daemon_set, &places, hash, &mut plan, now);
    plan
}

/// The revision's name is taken: the next hash is different.
pub(super) fn recover(snapshot: &Snapshot, failures: &[Failure]) -> Plan {
    let mut plan = Plan::default();
    let daemon_set = &*snapshot.daemon_set;
    for failure in failures {
        let Failure { action, error } = failure;
        let (reason, message) = match action {
            Action::Create { object, .. } if object.get::<ControllerRevision>().is_some() => {
                let known = snapshot
                    .revisions
                    .iter()
                    .any(|other| other.metadata.name.as_deref() == Some(&*object.key.name));
                if error.is_already_exists() && !known {
                    let mut changed = daemon_set.clone();
                    *changed.status.get_or_insert_default().collision_count.get_or_insert(0) += 1;
                    plan.then(Action::update_status(changed));
                }
                continue;
            }
            Action::Create { .. } if error.is_namespace_terminating() => continue,
            Action::Create { .. } => ("FailedCreate", format!("Error creating: {}", failure.why())),
            Action::Delete { .. } => ("FailedDelete", format!("Error deleting: {}", failure.why())),
            _ => continue,
        };
        plan.record(Note { about: reference_to(daemon_set), kind: EventType::Warning, reason, message });
    }
    plan
}

/// One pod on each node that fits, none elsewhere, and no finished ones.
fn manage(snapshot: &Snapshot, places: &Places, hash: &str, now: Timestamp) -> Moves {
    let mut moves = Moves::default();
    for (name, place) in places {
        if place.node.is_none() {
            // Pods that were on the node are collected with it; those that never got there would wait forever.
            let unbound = place.pods.iter().filter(|pod| pods::node_name(pod).is_empty());
            moves.delete.extend(unbound.cloned());
            continue;
        }
        match place.fit {
            Fit::Run if place.pods.is_empty() => moves.create.push(name.clone()),
            Fit::Run | Fit::Stay => {
                let held_until = snapshot.hold_off.get(name).copied();
                moves.keep_one(&snapshot.daemon_set, place, held_until, hash, now);
            }
            Fit::Leave => moves.delete.extend(place.pods.iter().cloned()),
        }
    }
    moves.delete.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    moves
}

impl Moves {
    fn keep_one(
        &mut self,
        daemon_set: &DaemonSet,
        place: &Place,
        held_until: Option<Timestamp>,
        hash: &str,
        now: Timestamp,
    ) {
        let mut running = Vec::new();
        for pod in place.pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            let left = held_until.map(|until| until.duration_since(now)).filter(SignedDuration::is_positive);
            if let Some(left) = left.filter(|_| pods::phase(pod) == "Failed") {
                self.look_again = self.look_again.into_iter().chain(Duration::try_from(left)).min();
                continue;
            }
            let (kind, reason, verb) = match pods::phase(pod) {
                "Failed" => (EventType::Warning, "FailedDaemonPod", "failed daemon pod"),
                "Succeeded" => (EventType::Normal, "SucceededDaemonPod", "succeeded daemon pod"),
                _ => {
                    running.push(pod);
                    continue;
                }
            };
            let end = if reason == "FailedDaemonPod" { "kill" } else { "delete" };
            let (key, node) = (&pod.metadata.key, pods::node_name(pod));
            let message = format!("Found {verb} {key} on node {node}, will try to {end} it");
            self.notes.push(Note { about: reference_to(daemon_set), kind, reason, message });
            self.delete.push(Arc::clone(pod));
        }
        if !update::may_surge(daemon_set) {
            self.delete.extend(running.into_iter().skip(1).cloned());
            return;
        }
        // During an update there may be one old and one new pod.
        let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| is_updated(pod, hash));
        self.delete.extend(new.iter().skip(1).chain(old.iter().skip(1)).map(|pod| Arc::clone(pod)));
        if let (Some(new), Some(old)) = (new.first(), old.first()) {
            let available =
                pods::available_at(new, min_ready_seconds(daemon_set)).is_some_and(|at| at <= now);
            if available || !pods::is_ready(old) {
                self.delete.push(Arc::clone(old));
            }
        }
    }
}

fn carry_out(daemon_set: &DaemonSet, mut moves: Moves, hash: &str, plan: &mut Plan) {
    if let Some(after) = moves.look_again {
        plan.requeue_after(after);
    }
    moves.notes.into_iter().for_each(|note| plan.record(note));
    moves.create.truncate(BURST);
    moves.delete.truncate(BURST);
    plan.slow_start(moves.create.iter().map(|node| create(daemon_set, node, hash)).collect());
    plan.together(moves.delete.iter().map(|pod| delete(daemon_set, pod)).collect());
}

fn create(daemon_set: &DaemonSet, node: &str, hash: &str) -> Action {
    let mut pod = template::pod(daemon_set, &daemon_set.spec.template);
    placement::aim(&mut pod, node);
    let pod_labels = pod.metadata.labels.get_or_insert_default();
    pod_labels.insert(HASH_LABEL.into(), hash.into());
    let generation =
        daemon_set.metadata.annotations.as_ref().and_then(|annotations| annotations.get(GENERATION));
    if let Some(generation) = generation {
        pod_labels.insert(GENERATION_LABEL.into(), generation.clone());
    }
    Action::create(pod).announced(Announcement {
        about: reference_to(daemon_set),
        reason: "SuccessfulCreate",
        message: |name| format!("Created pod: {name}"),
    })
}

fn delete(daemon_set: &DaemonSet, pod: &LeanPod) -> Action {
    Action::delete(pod).announced(Announcement {
        about: reference_to(daemon_set),
        reason: "SuccessfulDelete",
        message: |name| format!("Deleted pod: {name}"),
    })
}
