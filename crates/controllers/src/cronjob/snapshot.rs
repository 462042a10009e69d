//! The CronJob, its Jobs, and which of them are gone.

use std::sync::Arc;

use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ObjectReference;

use crate::framework::controller_of;

pub(crate) struct Snapshot {
    pub(super) cron_job: Arc<CronJob>,
    /// All Jobs of the namespace.
    pub(super) jobs: Vec<Arc<Job>>,
    /// The UIDs of Jobs in the list of running ones that do not exist any more.
    pub(super) missing: Vec<String>,
    /// The zone of schedules that name none.
    pub(super) local: TimeZone,
}

impl Snapshot {
    /// The CronJob's own Jobs.
    pub(super) fn owned(&self) -> impl Iterator<Item = &Job> {
        let uid = self.cron_job.metadata.uid.as_deref();
        self.jobs
            .iter()
            .map(|job| &**job)
            .filter(move |job| controller_of(&job.metadata).map(|owner| owner.uid) == uid)
    }

    /// The Jobs that the status lists as running.
    pub(super) fn active(&self) -> &[ObjectReference] {
        self.cron_job.status.as_ref().and_then(|status| status.active.as_deref()).unwrap_or_default()
    }

    /// Whether a listed Job is one of the CronJob's own.
    pub(super) fn has(&self, listed: &ObjectReference) -> bool {
        self.owned().any(|job| job.metadata.uid == listed.uid)
    }
}

/// How a Job has ended: `Complete` or `Failed`; `None` if it has not.
pub(super) fn ending(job: &Job) -> Option<&'static str> {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut held = conditions.filter(|condition| condition.status == semantics::conditions::TRUE);
    held.find_map(|condition| ["Complete", "Failed"].into_iter().find(|kind| *kind == condition.type_))
}
