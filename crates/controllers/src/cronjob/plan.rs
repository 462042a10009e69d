//! Whether a Job is started, according to the concurrency policy and the deadline.

use client::{DeleteOptions, EventType, Propagation, ResourceType, reference_to};
use cron::Schedule;
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use object::ObjectKey;

use super::record::Record;
use super::snapshot::Snapshot;
use super::{due, history, job};
use crate::framework::{Action, Announcement, Failure, Note, Plan};

/// What a look at the schedule says.
#[derive(Default)]
struct Start {
    /// The running Jobs that are replaced.
    replaced: Vec<ObjectReference>,
    /// The new Job.
    job: Option<Job>,
}

pub(super) fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let surplus = history::surplus(snapshot);
    let mut record = Record::of(snapshot, &surplus);
    let start = if snapshot.cron_job.metadata.deletion_timestamp.is_none() {
        start(snapshot, &mut record, &mut plan, now)
    } else {
        Start::default()
    };
    let cron_job = &*snapshot.cron_job;
    plan.together(start.replaced.iter().map(|listed| delete(cron_job, listed)).collect());
    let Record { cron_job: recorded, notes } = record;
    // A status without anything in it is none.
    if recorded.status.clone().unwrap_or_default() != cron_job.status.clone().unwrap_or_default() {
        plan.then(Action::update_status(recorded));
    }
    notes.into_iter().for_each(|note| plan.record(note));
    if let Some(job) = start.job {
        let message = |name: &str| format!("Created job {name}");
        let about = reference_to(cron_job);
        plan.then(Action::create(job).announced(Announcement { about, reason: "SuccessfulCreate", message }));
    }
    // Last, so that a Job that cannot be deleted does not keep others from being started.
    let surplus = surplus.into_iter().filter(|job| job.metadata.deletion_timestamp.is_none());
    plan.together(surplus.map(|job| delete(cron_job, &reference_to(job))).collect());
    plan
}

/// Looks at the schedule.
fn start(snapshot: &Snapshot, record: &mut Record, plan: &mut Plan, now: Timestamp) -> Start {
    let cron_job = &*snapshot.cron_job;
    let zone = match due::zone(cron_job, &snapshot.local) {
        Ok(zone) => zone,
        Err(why) => {
            let name = object::quote(cron_job.spec.time_zone.as_deref().unwrap_or_default());
            let message = format!("invalid timeZone: {name}: {why}");
            record.note(EventType::Warning, "UnknownTimeZone", message);
            return Start::default();
        }
    };
    if cron_job.spec.suspend == Some(true) {
        return Start::default();
    }
    let text = &*cron_job.spec.schedule;
    if text.contains("TZ") {
        let message = format!(
            "CRON_TZ or TZ used in schedule {} is not officially supported, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details",
            object::quote(text)
        );
        record.note(EventType::Warning, "UnsupportedSchedule", message);
    }
    let schedule = match Schedule::parse(text) {
        Ok(schedule) => schedule,
        Err(why) => {
            let message = format!("unparseable schedule: {} : {why}", object::quote(text));
            record.note(EventType::Warning, "UnparseableSchedule", message);
            return Start::default();
        }
    };
    let found = match due::due(&record.cron_job, &schedule, now, &zone, true) {
        Ok(found) => found,
        Err(why) => {
            record.note(EventType::Warning, "InvalidSchedule", format!("invalid schedule: {text} : {why}"));
            return Start::default();
        }
    };
    if let Some(after) = due::until_next(&record.cron_job, &schedule, now, &zone) {
        plan.requeue_after(after);
    }
    let Some(scheduled) = found.latest else { return Start::default() };
    if found.is_far_behind() {
        let message =
            "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
        record.note(EventType::Warning, "TooManyMissedTimes", message.to_owned());
    }
    at(snapshot, record, scheduled)
}

/// Starts the Job of a time that has come, if nothing forbids it.
fn at(snapshot: &Snapshot, record: &mut Record, scheduled: Timestamp) -> Start {
    let cron_job = &*snapshot.cron_job;
    let name = job::name(cron_job, scheduled);
    let CronJobStatus { active, last_schedule_time, .. } = record.cron_job.status.clone().unwrap_or_default();
    let active = active.unwrap_or_default();
    let is_processed = last_schedule_time.is_some_and(|last| last.0 == scheduled)
        || active.iter().any(|listed| listed.name.as_deref() == Some(&*name))
        // Somebody else's Job, which stays.
        || snapshot.jobs.iter().any(|job| job.metadata.name.as_deref() == Some(&*name));
    if is_processed {
        return Start::default();
    }
    let policy = cron_job.spec.concurrency_policy.as_deref();
    if policy == Some("Forbid") && !active.is_empty() {
        let message = "Not starting job because prior execution is running and concurrency policy is Forbid";
        record.note(EventType::Normal, "JobAlreadyActive", message.to_owned());
        return Start::default();
    }
    let replaced = if policy == Some("Replace") { active } else { Vec::new() };
    replaced.iter().for_each(|listed| record.remove(listed.uid.as_deref()));
    // The annotation is in the zone that is named, not in the local one.
    let zone = due::zone(cron_job, &jiff::tz::TimeZone::UTC).unwrap_or(jiff::tz::TimeZone::UTC);
    Start { replaced, job: Some(job::new(cron_job, scheduled, &zone)) }
}

/// Deletes a Job, and then its pods.
fn delete(cron_job: &CronJob, listed: &ObjectReference) -> Action {
    let namespace = cron_job.metadata.namespace.as_deref().unwrap_or_default();
    let uid = listed.uid.clone().unwrap_or_default();
    let delete = Action::Delete {
        resource: ResourceType::of::<Job>(),
        key: ObjectKey::namespaced(namespace, listed.name.as_deref().unwrap_or_default()),
        options: DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::of_uid(uid) },
        announcement: None,
    };
    let message = |name: &str| format!("Deleted job {name}");
    delete.announced(Announcement { about: reference_to(cron_job), reason: "SuccessfulDelete", message })
}

/// A Job could not be created or deleted: an event for each.
pub(super) fn recover(snapshot: &Snapshot, failures: &[Failure]) -> Plan {
    let mut plan = Plan::default();
    for failure in failures {
        let (reason, message) = match &failure.action {
            // The next plan sees that Job.
            Action::Create { .. } if failure.error.is_already_exists() => continue,
            Action::Create { .. } if failure.error.is_namespace_terminating() => continue,
            Action::Create { .. } => ("FailedCreate", format!("Error creating job: {}", failure.why())),
            Action::Delete { .. } => ("FailedDelete", format!("Deleted job: {}", failure.why())),
            _ => continue,
        };
        let about = reference_to(&*snapshot.cron_job);
        plan.record(Note { about, kind: EventType::Warning, reason, message });
    }
    plan
}
