//! The CronJob controller: starts a Job whenever a schedule is due.
//!
//! This file does the wiring; decisions are made in
//!
//! | module | decides |
//! | --- | --- |
//! | `snapshot` | (types) the CronJob, its Jobs, and which of them are gone |
//! | `job` | the Job of a scheduled time, and for which time a Job was made |
//! | `due` | for which time a Job is to be started, and when the next one is due |
//! | `history` | which finished Jobs are too many |
//! | `record` | the status: running Jobs, the last scheduled time, the last success |
//! | `plan` | whether a Job is started, according to the concurrency policy and the deadline |
//!
//! Each uses only those above it.
//!
//! It follows upstream's `pkg/controller/cronjob`. Where upstream creates a Job and then writes the status in one pass, a
//! plan here ends with the creation, and the next plan records the Job: its name and annotation tell for which time it was
//! made. So it is recorded too if the process ends between the two.

use std::sync::Arc;

use client::{Informer, ResourceType};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::ObjectReference;
use object::ObjectKey;

use crate::framework::{Controller, Failure, Look, Plan, Wiring, owner_key};

mod due;
mod history;
mod job;
mod metrics;
mod plan;
mod record;
mod snapshot;
#[cfg(test)]
mod tests;

pub use metrics::CronJobMetrics;
use snapshot::Snapshot;

pub(crate) struct CronJobController {
    cron_jobs: Arc<Informer<CronJob>>,
    jobs: Arc<Informer<Job>>,
    /// The zone of schedules that name none.
    local: TimeZone,
    metrics: CronJobMetrics,
}

impl Controller for CronJobController {
    const NAME: &'static str = "cronjob-controller";
    const ACCOUNT: &'static str = "cronjob-controller";
    const QUEUE: &'static str = "cronjob";
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    /// The last scheduled time whose Job was measured.
    type Memory = Option<Timestamp>;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> CronJobController {
        let cron_jobs = wiring.informer::<CronJob>();
        let jobs = wiring.informer::<Job>();
        let (local, metrics) = (wiring.config().time_zone.clone(), wiring.metrics().cron_jobs.clone());
        let (queue, clock, zone) = (wiring.queue().clone(), wiring.clock().clone(), local.clone());
        wiring.wake(&cron_jobs, move |change| {
            // A new schedule counts from now on: starts that it would have had before are not made up for.
            let is_new_schedule = |old: &Arc<CronJob>| {
                change.new.as_ref().is_some_and(|new| {
                    (&new.spec.schedule, &new.spec.time_zone) != (&old.spec.schedule, &old.spec.time_zone)
                })
            };
            let waits = change.old.as_ref().filter(|old| is_new_schedule(old)).and(change.new.as_ref());
            match waits.and_then(|new| due::pause(new, clock.now(), &zone)) {
                Some(pause) => {
                    queue.add_after(change.key.clone(), pause);
                    None
                }
                None => Some(change.key.clone()),
            }
        });
        wiring.wake(&jobs, |change| {
            let owners = change.states().filter_map(|job| owner_key::<CronJob>(&job.metadata));
            owners.collect::<Vec<_>>()
        });
        CronJobController { cron_jobs, jobs, local, metrics }
    }

    fn observe(&self, key: &ObjectKey, look: &mut Look<'_, Option<Timestamp>>) -> Option<Snapshot> {
        let cron_job = self.cron_jobs.get(key)?;
        let jobs = self.jobs.in_namespace(key.namespace());
        let mut snapshot = Snapshot { cron_job, jobs, missing: Vec::new(), local: self.local.clone() };
        // All questions at once.
        let unseen: Vec<_> = snapshot.active().iter().filter(|listed| !snapshot.has(listed)).collect();
        let exist: Vec<_> =
            unseen.iter().map(|listed| CronJobController::exists(listed, key, look)).collect();
        let exist: Vec<bool> = exist.into_iter().collect::<Option<_>>()?;
        let gone = unseen.into_iter().zip(exist).filter(|(_, exists)| !exists);
        snapshot.missing = gone.filter_map(|(listed, _)| listed.uid.clone()).collect();
        for (time, job) in record::unrecorded(&snapshot) {
            if *look.memory < Some(time) {
                *look.memory = Some(time);
                self.metrics.created(job, time);
            }
        }
        Some(snapshot)
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        plan::plan(snapshot, now)
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], _now: Timestamp) -> Plan {
        plan::recover(snapshot, failures)
    }
}

impl CronJobController {
    /// Whether a Job exists that the informer does not show, which may be late.
    fn exists(
        listed: &ObjectReference,
        owner: &ObjectKey,
        look: &mut Look<'_, Option<Timestamp>>,
    ) -> Option<bool> {
        let key = ObjectKey::namespaced(owner.namespace(), listed.name.as_deref().unwrap_or_default());
        let found = look.live.metadata(&ResourceType::of::<Job>(), &key)?;
        Some(found.is_some_and(|found| found.metadata.uid == listed.uid))
    }
}
