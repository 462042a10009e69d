//! The status of a Job, and the events that go with its changes.

use std::sync::Arc;

use client::{EventType, LeanPod, reference_to};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use semantics::conditions;

use super::facts::Facts;
use super::terms::{holds, is_suspended};
use super::tracking::{self, Tracked, some};
use super::verdict::{Verdict, condition};
use crate::framework::{Note, api_time};
use crate::pods;

/// The pods that a plan creates or deletes before it writes the status.
#[derive(Default)]
pub(super) struct Ahead<'a> {
    pub(super) created: usize,
    pub(super) deleted: &'a [Arc<LeanPod>],
}

/// The new status, and what follows from it.
pub(super) struct Outcome {
    pub(super) status: JobStatus,
    pub(super) tracked: Tracked,
    pub(super) notes: Vec<Note>,
}

impl Outcome {
    /// The Job with the new status, if that differs.
    pub(super) fn changed(&self, job: &Job) -> Option<Job> {
        (job.status.as_ref() != Some(&self.status))
            .then(|| Job { status: Some(self.status.clone()), ..job.clone() })
    }
}

/// Makes the new status.
pub(super) fn outcome(facts: &Facts<'_>, verdict: Option<&Verdict>, ahead: &Ahead<'_>) -> Outcome {
    let mut status = facts.status();
    let mut notes = Vec::new();
    if status.start_time.is_none() && !is_suspended(facts.job) {
        status.start_time = Some(api_time(facts.now));
    }
    if verdict.is_none() && !tracking::is_deleting(facts.job) {
        notes.extend(show_suspension(facts, &mut status));
    }
    let ready = |pods: &[Arc<LeanPod>]| pods.iter().filter(|pod| pods::is_ready(&***pod)).count();
    let active = facts.active.len() + ahead.created - ahead.deleted.len();
    let terminating = facts.terminating + ahead.deleted.len() as i32;
    status.active = some(active as i32);
    status.ready = Some((ready(&facts.active) - ready(ahead.deleted)) as i32);
    status.terminating = Some(terminating);
    let tracked = tracking::track(facts, verdict, &mut status);
    if let Some(verdict) = verdict {
        let uncounted = status.uncounted_terminated_pods.as_ref();
        let is_counted = uncounted.is_none_or(|pods| pods.succeeded.is_none() && pods.failed.is_none());
        let at_rest = is_counted && tracked.release.is_empty() && !tracked.has_more;
        if !holds(facts.job, verdict.kind) {
            // It is known before the pods are let go of that were the reason.
            ensure(&mut status, verdict.condition(verdict.kind, facts));
        } else if at_rest && terminating == 0 && active == 0 {
            notes.extend(finish(facts, verdict, &mut status));
        }
    }
    Outcome { status, tracked, notes }
}

/// Says whether the Job is suspended. One that resumes starts anew.
fn show_suspension(facts: &Facts<'_>, status: &mut JobStatus) -> Option<Note> {
    let (kind, reason, text) = if is_suspended(facts.job) {
        ("Suspended", "JobSuspended", "Job suspended")
    } else {
        ("Resumed", "JobResumed", "Job resumed")
    };
    let suspended = is_suspended(facts.job);
    if !ensure(status, condition("Suspended", suspended, reason, text, facts)) {
        return None;
    }
    if !suspended {
        status.start_time = Some(api_time(facts.now));
    }
    Some(note(facts.job, EventType::Normal, kind, text))
}

/// Adds the last condition.
fn finish(facts: &Facts<'_>, verdict: &Verdict, status: &mut JobStatus) -> Vec<Note> {
    let kind = if verdict.is_success() { "Complete" } else { "Failed" };
    ensure(status, verdict.condition(kind, facts));
    if !verdict.is_success() {
        let reason = event_reason(&verdict.reason);
        return vec![note(facts.job, EventType::Warning, reason, &verdict.message)];
    }
    status.completion_time = Some(api_time(facts.now));
    let mut notes = Vec::new();
    if facts.spec().completions.is_some_and(|wanted| status.succeeded.unwrap_or(0) > wanted) {
        let text = "Too many succeeded pods running after completion count reached";
        notes.push(note(facts.job, EventType::Warning, "TooManySucceededPods", text));
    }
    notes.push(note(facts.job, EventType::Normal, "Completed", "Job completed"));
    notes
}

/// The reason of an event is one of the known ones.
fn event_reason(reason: &str) -> &'static str {
    let known = [
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "MaxFailedIndexesExceeded",
        "FailedIndexes",
        "PodFailurePolicy",
    ];
    known.into_iter().find(|known| *known == reason).unwrap_or("Failed")
}

fn note(job: &Job, kind: EventType, reason: &'static str, message: &str) -> Note {
    Note { about: reference_to(job), kind, reason, message: message.to_owned() }
}

/// Sets a condition if it says something new; one that never held is not added to say so. Returns whether it was set.
fn ensure(status: &mut JobStatus, condition: JobCondition) -> bool {
    match conditions::find(&status.conditions, &condition.type_) {
        Some(old) if conditions::says_the_same(old, &condition) => return false,
        None if condition.status == conditions::FALSE => return false,
        Some(_) | None => {}
    }
    let list = status.conditions.get_or_insert_default();
    match list.iter_mut().find(|old| old.type_ == condition.type_) {
        Some(old) => *old = condition,
        None => list.push(condition),
    }
    true
}
