//! How long failed pods stay: a pod that fails at once on its node must not be made anew without end.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use parking_lot::Mutex;

use super::placement;
use crate::pods;

/// How long the first failed pod stays; each further one twice as long.
const FIRST: SignedDuration = SignedDuration::from_secs(1);
/// The longest that one stays.
const MAX: SignedDuration = SignedDuration::from_mins(15);

/// What failed, by the UID of the DaemonSet and the node.
#[derive(Default)]
pub(super) struct FailedPods(Mutex<HashMap<(String, String), Failures>>);

struct Failures {
    /// The UID of the last failed pod.
    last: String,
    since: Timestamp,
    delay: SignedDuration,
}

impl FailedPods {
    /// Takes note of the pods that failed, and returns until when those stay, by node.
    pub(super) fn hold_off(
        &self,
        owner: &str,
        pods: &[Arc<Pod>],
        now: Timestamp,
    ) -> HashMap<String, Timestamp> {
        let mut known = self.0.lock();
        // After twice the longest delay all is forgotten.
        known.retain(|_, failures| now.duration_since(failures.since) <= MAX + MAX);
        let mut until = HashMap::new();
        for pod in pods.iter().filter(|pod| pods::phase(pod) == "Failed") {
            let (Some(node), Some(uid)) = (placement::target(pod), &pod.metadata.uid) else { continue };
            let failures = known.entry((owner.to_owned(), node.to_owned())).or_insert_with(|| Failures {
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
        until
    }
}
