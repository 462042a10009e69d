//! What to do about a Job.

use std::time::Duration;

use client::{EventType, reference_to};
use jiff::Timestamp;

use super::facts::{Facts, Snapshot};
use super::status::{Ahead, Outcome, outcome};
use super::terms::{is_finished, is_managed_elsewhere, selector};
use super::tracked::{self, FINALIZER};
use super::tracking::is_deleting;
use super::verdict::{Verdict, time_left, verdict};
use super::workers::{self, Change};
use crate::framework::{Action, Claim, Failure, Note, Plan};

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let job = &*snapshot.job;
    if is_finished(job) || is_managed_elsewhere(job) {
        return Plan::default();
    }
    let selector = selector(job);
    let claim = Claim { owner: job, selector: &selector };
    let mut claimed = claim.claim_with(&snapshot.pods, |_| true, Some(FINALIZER));
    if !claimed.changes.is_empty() {
        return claimed.changes;
    }
    claimed.owned.sort_by_key(|pod| tracked::index(pod));
    let facts = Facts::new(job, &claimed.owned, &snapshot.backoff, now);
    match verdict(&facts) {
        Some(verdict) => end(&facts, &verdict),
        None => carry_on(&facts),
    }
}

/// The Job ends: what still runs is deleted.
fn end(facts: &Facts<'_>, verdict: &Verdict) -> Plan {
    let mut plan = Plan::default();
    plan.together(facts.active.iter().map(|pod| workers::delete(facts.job, pod)).collect());
    let outcome = outcome(facts, Some(verdict), &Ahead { created: 0, deleted: &facts.active });
    write(facts, outcome, &mut plan);
    plan
}

/// The Job goes on: pods are created or deleted as needed.
fn carry_on(facts: &Facts<'_>) -> Plan {
    let mut plan = Plan::default();
    if let Some(left) = time_left(facts) {
        plan.requeue_after(Duration::try_from(left).unwrap_or_default());
    }
    let change = if is_deleting(facts.job) { Change::default() } else { workers::change(facts) };
    if let Some(wait) = change.wait {
        plan.requeue_after(wait);
    }
    plan.together(
        change
            .excess
            .iter()
            .filter(|pod| tracked::is_tracked(pod))
            .map(|pod| tracked::untrack(pod))
            .collect(),
    );
    plan.together(change.excess.iter().map(|pod| workers::delete(facts.job, pod)).collect());
    let active = facts.active.len() + change.creations.len() - change.excess.len();
    let verdict = is_complete(facts, active).then(Verdict::completions_reached);
    let ahead = Ahead { created: change.creations.len(), deleted: &change.excess };
    let mut made = outcome(facts, verdict.as_ref(), &ahead);
    // Those are let go of before they are deleted.
    made.tracked
        .release
        .retain(|pod| !change.excess.iter().any(|excess| excess.metadata.uid == pod.metadata.uid));
    if made.tracked.release.is_empty() {
        plan.slow_start(change.creations);
        write(facts, made, &mut plan);
    } else {
        // Ended pods are counted also if no others can be created.
        let release = made.tracked.release;
        let mut made = outcome(facts, verdict.as_ref(), &Ahead { created: 0, ..ahead });
        made.tracked.release = release;
        write(facts, made, &mut plan);
        plan.slow_start(change.creations);
    }
    plan
}

/// Whether there are as many successes as wanted, and no pod that still works.
fn is_complete(facts: &Facts<'_>, active: usize) -> bool {
    active == 0 && facts.spec().completions.map_or(facts.succeeded > 0, |wanted| facts.succeeded >= wanted)
}

/// Writes the status, lets go of the pods that it names, and tells of what has changed.
fn write(facts: &Facts<'_>, outcome: Outcome, plan: &mut Plan) {
    if let Some(changed) = outcome.changed(facts.job) {
        plan.then(Action::update_status(changed));
    }
    plan.together(outcome.tracked.release.iter().map(|pod| tracked::untrack(pod)).collect());
    for note in outcome.notes {
        plan.record(note);
    }
}

/// Pods could not be created or deleted: an event for each, and a status without those that do not exist.
pub(super) fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let job = &*snapshot.job;
    let mut is_short = false;
    for failure in failures {
        let (reason, message) = match &failure.action {
            Action::Create { .. } if failure.error.is_namespace_terminating() => continue,
            Action::Create { .. } => ("FailedCreate", format!("Error creating: {}", failure.why())),
            Action::Delete { .. } => ("FailedDelete", format!("Error deleting: {}", failure.why())),
            _ => continue,
        };
        is_short |= reason == "FailedCreate";
        plan.record(Note { about: reference_to(job), kind: EventType::Warning, reason, message });
    }
    if is_short {
        let mut owned = snapshot.pods.clone();
        let uid = job.metadata.uid.as_deref();
        owned.retain(|pod| crate::framework::controller_of(&pod.metadata).map(|owner| owner.uid) == uid);
        let facts = Facts::new(job, &owned, &snapshot.backoff, now);
        let outcome = outcome(&facts, None, &Ahead::default());
        // With pods to let go of, it is written already.
        if outcome.tracked.release.is_empty() {
            write(&facts, outcome, &mut plan);
        }
    }
    plan
}
