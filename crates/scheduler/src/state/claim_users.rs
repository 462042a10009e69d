//! How many pods use a claim.

use std::collections::HashMap;

use object::ObjectKey;

use super::PodInfo;

/// The numbers of pods on nodes that use a claim.
#[derive(Debug, Default)]
pub(super) struct ClaimUsers(HashMap<ObjectKey, usize>);

impl ClaimUsers {
    /// A pod is added to a node, or removed from it.
    pub(super) fn pod_moved(&mut self, pod: &PodInfo, comes: bool) {
        for claim in &pod.claims {
            let key = claim.key(pod);
            if comes {
                *self.0.entry(key).or_default() += 1;
            } else if let Some(users) = self.0.get_mut(&key) {
                *users -= 1;
                if *users == 0 {
                    self.0.remove(&key);
                }
            }
        }
    }

    pub(super) fn of(&self, claim: &ObjectKey) -> usize {
        self.0.get(claim).copied().unwrap_or(0)
    }
}
