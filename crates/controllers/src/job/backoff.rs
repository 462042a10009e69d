//! How long a Job waits before it replaces failed pods.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use client::LeanPod;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use object::Uid;

use super::tracked;

/// The delay after the first failure; it doubles with each.
const FIRST: SignedDuration = SignedDuration::from_secs(10);
/// The longest delay.
const MAX: SignedDuration = SignedDuration::from_mins(10);

/// The failures of a Job's pods since the last success. It is lost when another process takes over.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Backoff {
    failures: i32,
    last: Option<Timestamp>,
    /// The pods that are included and that the Job's status does not name yet: a look at the same state must not count
    /// them again.
    seen: BTreeSet<Uid>,
}

impl Backoff {
    /// Takes pods into account that have ended since the last look.
    pub(super) fn follow(&mut self, job: &Job, pods: &[Arc<LeanPod>]) {
        let (succeeded, failed) = tracked::newly_ended(job, pods);
        let ended: BTreeSet<Uid> =
            succeeded.iter().chain(&failed).map(|pod| pod.metadata.uid.clone()).collect();
        let new = |pods: Vec<&Arc<LeanPod>>| -> Vec<Timestamp> {
            let new = pods.into_iter().filter(|pod| !self.seen.contains(&pod.metadata.uid));
            new.map(|pod| tracked::ended_at(pod).unwrap_or(Timestamp::UNIX_EPOCH)).collect()
        };
        let (succeeded, failed) = (new(succeeded), new(failed));
        let success = succeeded.iter().max();
        if success.is_some() {
            (self.failures, self.last) = (0, None);
        }
        let failed: Vec<&Timestamp> =
            failed.iter().filter(|at| success.is_none_or(|last| *at > last)).collect();
        self.failures = self.failures.saturating_add(i32::try_from(failed.len()).unwrap_or(i32::MAX));
        self.last = failed.into_iter().max().copied().or(self.last);
        self.seen = ended;
    }

    /// How long to wait before new pods are made; zero if there is nothing to wait for.
    pub(super) fn remaining(&self, now: Timestamp) -> Duration {
        self.last.map_or(Duration::ZERO, |last| remaining(self.failures, last, now))
    }
}

/// How long to wait before the failed pod of an index is replaced.
pub(super) fn remaining_of_index(failed: &LeanPod, now: Timestamp) -> Duration {
    let failures = tracked::failures(failed).sum().saturating_add(1);
    tracked::ended_at(failed).map_or(Duration::ZERO, |last| remaining(failures, last, now))
}

fn remaining(failures: i32, last: Timestamp, now: Timestamp) -> Duration {
    if failures == 0 {
        return Duration::ZERO;
    }
    // After six doublings it is at its longest.
    let doublings = u32::try_from(failures - 1).unwrap_or(0).min(6);
    let delay = (FIRST * 2_i32.pow(doublings)).min(MAX);
    Duration::try_from(delay - now.duration_since(last)).unwrap_or_default()
}
