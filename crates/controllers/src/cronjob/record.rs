//! The status: running Jobs, the last scheduled time, the last success.

use client::{EventType, reference_to};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus, Job};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::job::scheduled;
use super::snapshot::{Snapshot, ending};
use crate::framework::Note;

/// A CronJob with the status that it should have, and the events on the way there.
pub(super) struct Record {
    pub(super) cron_job: CronJob,
    pub(super) notes: Vec<Note>,
}

/// Jobs that the controller has created but not yet written into the status, in the order of their times.
pub(super) fn unrecorded(snapshot: &Snapshot) -> Vec<(Timestamp, &Job)> {
    let cron_job = &*snapshot.cron_job;
    let last = cron_job.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
    let is_new = |(time, job): &(Timestamp, &Job)| {
        last.is_none_or(|last| *time > last.0)
            && !snapshot.active().iter().any(|listed| listed.uid == job.metadata.uid)
    };
    let made = snapshot.owned().filter_map(|job| Some((scheduled(cron_job, job)?, job)));
    let mut unrecorded: Vec<_> = made.filter(is_new).collect();
    unrecorded.sort_by_key(|(time, _)| *time);
    unrecorded
}

impl Record {
    /// Of the present state, without the Jobs that are about to be deleted from the history.
    pub(super) fn of(snapshot: &Snapshot, surplus: &[&Job]) -> Record {
        let mut record = Record { cron_job: (*snapshot.cron_job).clone(), notes: Vec::new() };
        surplus.iter().for_each(|job| record.remove(job.metadata.uid.as_deref()));
        record.add_created(snapshot);
        for job in snapshot.owned() {
            record.look_at(job);
        }
        let listed = snapshot.active().iter();
        for missing in
            listed.filter(|listed| listed.uid.as_ref().is_some_and(|uid| snapshot.missing.contains(uid)))
        {
            let name = missing.name.as_deref().unwrap_or_default();
            record.note(EventType::Normal, "MissingJob", format!("Active job went missing: {name}"));
            record.remove(missing.uid.as_deref());
        }
        record
    }

    fn add_created(&mut self, snapshot: &Snapshot) {
        for (time, job) in unrecorded(snapshot) {
            let status = self.status();
            status.active.get_or_insert_default().push(reference_to(job));
            status.last_schedule_time = Some(Time(time));
        }
    }

    fn look_at(&mut self, job: &Job) {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let is_listed = self.lists(job);
        let Some(ending) = ending(job) else {
            if !is_listed {
                let message = format!("Saw a job that the controller did not create or forgot: {name}");
                self.note(EventType::Warning, "UnexpectedJob", message);
            }
            return;
        };
        if is_listed {
            self.remove(job.metadata.uid.as_deref());
            let message = format!("Saw completed job: {name}, condition: {ending}");
            self.note(EventType::Normal, "SawCompletedJob", message);
        }
        let completion = job.status.as_ref().and_then(|status| status.completion_time.clone());
        let status = self.status();
        if ending == "Complete" && completion > status.last_successful_time {
            status.last_successful_time = completion;
        }
    }

    fn lists(&self, job: &Job) -> bool {
        let active = self.cron_job.status.as_ref().and_then(|status| status.active.as_deref());
        active.unwrap_or_default().iter().any(|listed| listed.uid == job.metadata.uid)
    }

    /// Takes a Job out of the list of those that run.
    pub(super) fn remove(&mut self, uid: Option<&str>) {
        let active = &mut self.status().active;
        if let Some(jobs) = active {
            jobs.retain(|listed| listed.uid.as_deref() != uid);
        }
        // An empty list is not written.
        *active = active.take().filter(|jobs| !jobs.is_empty());
    }

    fn status(&mut self) -> &mut CronJobStatus {
        self.cron_job.status.get_or_insert_default()
    }

    pub(super) fn note(&mut self, kind: EventType, reason: &'static str, message: String) {
        self.notes.push(Note { about: reference_to(&self.cron_job), kind, reason, message });
    }
}
