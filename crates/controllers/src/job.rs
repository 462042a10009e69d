//! The controller of Jobs: runs pods until enough of them have succeeded, or too many have failed.
//!
//! | module | decides |
//! | --- | --- |
//! | `intervals` | (type) sets of completion indexes |
//! | `terms` | what the Job asks for |
//! | `failure_policy` | what a policy says about a failed pod |
//! | `tracked` | what a single pod means for its Job |
//! | `backoff` | how long to wait after failures |
//! | `facts` | what is known of the Job and its pods |
//! | `success_policy` | whether the completed indexes are enough |
//! | `verdict` | whether the Job has failed or succeeded |
//! | `workers` | which pods to create and which to delete |
//! | `tracking` | how ended pods are counted exactly once |
//! | `status` | the status, and events |
//! | `plan` | the order of all that |
//! | `metrics` | (no decision) counts what happens |
//! | `orphan` | what to do about pods that no Job counts any more |
//!
//! Each uses only those above it. It follows upstream's `pkg/controller/job`.

use std::sync::Arc;

use client::{Change, Informer, LeanPod};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use object::ObjectKey;

use crate::framework::{Controller, Failure, Look, Measurement, Plan, Wiring, owner_key, woken_by_owned};
use crate::pods;

mod backoff;
mod facts;
mod failure_policy;
mod intervals;
mod metrics;
mod orphan;
mod plan;
mod status;
mod success_policy;
mod terms;
#[cfg(test)]
mod tests;
mod tracked;
mod tracking;
mod verdict;
mod workers;

use backoff::Backoff;
pub(crate) use metrics::JobMetrics;
use orphan::Orphan;
pub(crate) use terms::is_finished;

/// The key that wakes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Key {
    Job(ObjectKey),
    /// A pod that no Job may count any more.
    Orphan(ObjectKey),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Job(key) => write!(f, "{key}"),
            Key::Orphan(key) => write!(f, "pod {key}"),
        }
    }
}

/// The inputs of a decision.
#[derive(Clone, Debug)]
pub(crate) enum Snapshot {
    Job(facts::Snapshot),
    Orphan(Orphan),
}

/// Keeps Jobs.
pub(crate) struct JobController {
    jobs: Arc<Informer<Job>>,
    pods: Arc<Informer<LeanPod>>,
    metrics: JobMetrics,
}

impl Controller for JobController {
    const NAME: &'static str = "job-controller";
    const ACCOUNT: &'static str = "job-controller";
    const QUEUE: &'static str = "job";
    type Key = Key;
    type Snapshot = Snapshot;
    type Memory = Backoff;

    fn wire(wiring: &mut Wiring<Key>) -> JobController {
        let jobs = wiring.informer::<Job>();
        let pods = wiring.informer::<LeanPod>();
        pods.add_index(pods::BY_CONTROLLER, pods::controller_uid);
        let known = Arc::clone(&pods);
        let metrics = wiring.metrics().jobs.clone();
        wiring.wake(&jobs, move |change| {
            metrics.job(change);
            let mut keys = vec![Key::Job(change.key.clone())];
            keys.extend(left_by(&known, change));
            keys
        });
        let known = Arc::clone(&jobs);
        let metrics = wiring.metrics().jobs.clone();
        wiring.wake(&pods, move |change| {
            let owner = owner_key::<Job>(&change.object().metadata).and_then(|owner| known.get(&owner));
            metrics.pod(change, owner.as_deref());
            let mut keys: Vec<Key> =
                woken_by_owned(&known, change, terms::selector).into_iter().map(Key::Job).collect();
            let pod = change.new.as_ref().filter(|pod| orphan::may_be(pod));
            keys.extend(pod.map(|_| Key::Orphan(change.key.clone())));
            keys
        });
        let metrics = wiring.metrics().jobs.clone();
        JobController { jobs, pods, metrics }
    }

    fn observe(&self, key: &Key, look: &mut Look<'_, Backoff>) -> Option<Snapshot> {
        let key = match key {
            Key::Job(key) => key,
            Key::Orphan(key) => {
                let pod = self.pods.get(key).filter(|pod| orphan::may_be(pod))?;
                return Orphan::look(pod, &self.jobs, look.live).map(Snapshot::Orphan);
            }
        };
        let job = self.jobs.get(key)?;
        let owned_by = |uid: &str| self.pods.indexed(pods::BY_CONTROLLER, uid);
        let mut pods = owned_by(job.metadata.uid.as_deref().unwrap_or_default());
        look.memory.follow(&job, &pods);
        pods.extend(owned_by("").into_iter().filter(|pod| pod.metadata.namespace() == key.namespace()));
        let backoff = look.memory.clone();
        Some(Snapshot::Job(facts::Snapshot { job, pods, backoff }))
    }

    fn plan(snapshot: &Snapshot, now: Timestamp) -> Plan {
        match snapshot {
            Snapshot::Job(snapshot) => plan::plan(snapshot, now),
            Snapshot::Orphan(orphan) => orphan.plan(),
        }
    }

    fn measure(&self, snapshot: &Snapshot, plan: &Plan) -> Option<Measurement> {
        match snapshot {
            Snapshot::Job(snapshot) => self.metrics.sync(&snapshot.job, plan),
            Snapshot::Orphan(_) => None,
        }
    }

    fn recover(snapshot: &Snapshot, failures: &[Failure], now: Timestamp) -> Plan {
        match snapshot {
            Snapshot::Job(snapshot) => plan::recover(snapshot, failures, now),
            Snapshot::Orphan(_) => Plan::default(),
        }
    }
}

/// The pods that a Job leaves behind when it is gone or has ended.
fn left_by(pods: &Informer<LeanPod>, change: &Change<Job>) -> Vec<Key> {
    if change.new.as_ref().is_some_and(|job| !is_finished(job)) {
        return Vec::new();
    }
    let uids = change.states().filter_map(|job| job.metadata.uid.as_deref());
    let left = uids.flat_map(|uid| pods.indexed(pods::BY_CONTROLLER, uid));
    left.filter(|pod| orphan::may_be(pod)).map(|pod| Key::Orphan(client::key_of(&*pod))).collect()
}
