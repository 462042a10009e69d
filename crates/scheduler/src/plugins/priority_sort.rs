//! Pods of higher priority come first.

use crate::framework::{EventKinds, Plugin, QueueSort};
use crate::state::PodInfo;

/// Pods of higher priority come first; of equal ones those that were queued first.
#[derive(Debug)]
pub struct PrioritySort;

impl Plugin for PrioritySort {
    const NAME: &'static str = "PrioritySort";
    const WAKES_ON: EventKinds = EventKinds::NONE;
}

impl QueueSort for PrioritySort {
    fn rank(&self, pod: &PodInfo) -> i64 {
        -i64::from(pod.priority)
    }
}
