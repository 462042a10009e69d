//! How long failed pods are kept: a pod that fails immediately on its node must not be recreated in a tight loop.

use std::collections::HashMap;
use std::sync::Arc;

use client::LeanPod;
use jiff::{SignedDuration, Timestamp};
use object::Uid;

use super::placement;
use crate::pods;

/// How long the first failed pod is kept; each further one is kept twice as long.
const FIRST: SignedDuration = SignedDuration::from_secs(1);
/// The longest time that one is kept.
const MAX: SignedDuration = SignedDuration::from_mins(15);

/// The failed pods of one DaemonSet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FailedPods {
    /// Its UID: failures of a previous one with the same name do not count.
    owner: String,
    /// By node.
    failures: HashMap<String, Failures>,
}

#[derive(Clone, Debug, PartialEq)]
struct Failures {
    /// The UID of the last failed pod.
    last: Uid,
    since: Timestamp,
    delay: SignedDuration,
}

impl FailedPods {
    /// Records the pods that failed, and returns the times until which they are kept, by node.
    pub(super) fn hold_off(
        &mut self,
        owner: &str,
        pods: &[Arc<LeanPod>],
        now: Timestamp,
    ) -> HashMap<String, Timestamp> {
        // After twice the longest delay everything is forgotten.
        let same_owner = self.owner == owner;
        self.failures.retain(|_, failures| same_owner && now.duration_since(failures.since) <= MAX + MAX);
        let mut until = HashMap::new();
        for pod in pods.iter().filter(|pod| pods::phase(pod) == "Failed") {
            let (Some(node), uid) = (placement::target(pod), &pod.metadata.uid) else { continue };
            let failures = self.failures.entry(node.to_owned()).or_insert_with(|| Failures {
                last: uid.clone(),
                since: now,
                delay: FIRST,
            });
            if failures.last != *uid {
                let delay = failures.delay.checked_mul(2).map_or(MAX, |delay| delay.min(MAX));
                *failures = Failures { last: uid.clone(), since: now, delay };
            }
            if let Ok(at) = failures.since.checked_add(failures.delay) {
                until.insert(node.to_owned(), at);
            }
        }
        self.owner = if self.failures.is_empty() { String::new() } else { owner.to_owned() };
        until
    }
}
