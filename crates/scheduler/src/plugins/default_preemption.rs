//! What making room would bring. Pods are not preempted: this says so where it is certain that no preemption
//! could help, and says nothing where one could.

use std::borrow::Cow;

use crate::decide::explain;
use crate::framework::{Failure, PostFilter, PostFiltered};
use crate::state::{PodInfo, Snapshot};

/// Tells whether it would help to evict pods of lower priority.
#[derive(Debug)]
pub struct DefaultPreemption;

impl PostFilter for DefaultPreemption {
    fn post_filter(&self, pod: &PodInfo, snapshot: &Snapshot, failure: &Failure<'_>) -> PostFiltered {
        PostFiltered { message: message(pod, snapshot, failure), ..PostFiltered::default() }
    }
}

fn message(pod: &PodInfo, snapshot: &Snapshot, failure: &Failure<'_>) -> Option<String> {
    if pod.spec().and_then(|spec| spec.preemption_policy.as_deref()) == Some("Never") {
        return Some("preemption: not eligible due to preemptionPolicy=Never.".to_owned());
    }
    let mut candidates = 0;
    for (slot, _) in failure.rejections.iter().filter(|(_, rejection)| !rejection.unresolvable) {
        if snapshot.node(*slot).pods.iter().any(|other| other.priority < pod.priority) {
            return None;
        }
        candidates += 1;
    }
    let reasons = [
        (Cow::Borrowed("No preemption victims found for incoming pod"), candidates),
        (Cow::Borrowed("Preemption is not helpful for scheduling"), snapshot.len() - candidates),
    ];
    Some(format!("preemption: {}", explain(snapshot.len(), reasons)))
}
