//! Deletes Jobs some time after they have ended, with their pods.
//!
//! It follows upstream's `pkg/controller/ttlafterfinished`.

use std::sync::Arc;
use std::time::Duration;

use client::{DeleteOptions, Informer, Propagation, ResourceType, key_of, version_of};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use object::ObjectKey;
use semantics::conditions;

use crate::framework::{Action, Controller, Look, Plan, Wiring};

#[cfg(test)]
mod tests;

/// Deletes Jobs that have ended.
pub(crate) struct TtlAfterFinished {
    jobs: Arc<Informer<Job>>,
}

impl Controller for TtlAfterFinished {
    const NAME: &'static str = "ttl-after-finished-controller";
    const ACCOUNT: &'static str = "ttl-after-finished-controller";
    const QUEUE: &'static str = "ttl_jobs_to_delete";
    type Key = ObjectKey;
    type Snapshot = Arc<Job>;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> TtlAfterFinished {
        let jobs = wiring.informer::<Job>();
        wiring.wake_self(&jobs);
        TtlAfterFinished { jobs }
    }

    fn observe(&self, key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Arc<Job>> {
        self.jobs.get(key)
    }

    fn plan(job: &Arc<Job>, now: Timestamp) -> Plan {
        plan(job, now)
    }
}

fn plan(job: &Job, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(expiry) = expiry(job).filter(|_| job.metadata.deletion_timestamp.is_none()) else { return plan };
    match Duration::try_from(expiry.duration_since(now)) {
        Ok(left) if !left.is_zero() => plan.requeue_after(left),
        _ => plan.then(Action::Delete {
            resource: ResourceType::of::<Job>(),
            key: key_of(job),
            options: DeleteOptions {
                propagation: Some(Propagation::Foreground),
                // Its time may have been changed.
                resource_version: version_of(job),
                ..DeleteOptions::of_uid(job.metadata.uid.clone().unwrap_or_default())
            },
            announcement: None,
        }),
    }
    plan
}

/// When the Job is to be deleted, if it has ended and says so.
fn expiry(job: &Job) -> Option<Timestamp> {
    let seconds = job.spec.as_ref()?.ttl_seconds_after_finished?;
    let all = &job.status.as_ref()?.conditions;
    let ended = ["Complete", "Failed"].into_iter().find_map(|kind| {
        conditions::find(all, kind).filter(|condition| condition.status == conditions::TRUE)
    })?;
    ended.last_transition_time.as_ref()?.0.checked_add(SignedDuration::from_secs(seconds.into())).ok()
}
