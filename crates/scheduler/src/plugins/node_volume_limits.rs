//! Limits of CSI drivers: how many volumes can be attached to a node.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::framework::{Event, EventKinds, Filter, Plugin, PreFilter, Rejection, Subject, Verdict};
use crate::state::{Attachment, NodeInfo, PodInfo, Snapshot, VolumeChange, Volumes};

/// Rejects nodes to which the pod's volumes could not be attached in addition to those that are there (`CSINode`).
#[derive(Debug)]
pub struct NodeVolumeLimits;

/// The volumes of the pod, and all that is known of volumes.
#[derive(Clone, Debug)]
pub struct Wanted {
    volumes: Arc<Volumes>,
    attachments: BTreeSet<Attachment>,
}

fn attachments<'a>(pod: &'a PodInfo, volumes: &'a Volumes) -> impl Iterator<Item = Attachment> + 'a {
    pod.claims.iter().filter_map(|claim| volumes.attachment(&claim.key(pod)))
}

impl Plugin for NodeVolumeLimits {
    const NAME: &'static str = "NodeVolumeLimits";
    const WAKES_ON: EventKinds = EventKinds::POD_REMOVED.or(EventKinds::STORAGE).or(EventKinds::NODE_ADDED);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            Subject::Pod(Some(gone), _) => !gone.claims.is_empty(),
            Subject::Storage(VolumeChange::Claim(Some(claim))) => pod.names_claim(claim),
            Subject::Storage(VolumeChange::Claim(None)) => false,
            _ => true,
        }
    }
}

impl Filter for NodeVolumeLimits {
    type State = Wanted;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Wanted> {
        if pod.claims.is_empty() {
            return PreFilter::Skip;
        }
        let volumes = Arc::clone(snapshot.volumes());
        let attachments: BTreeSet<Attachment> = attachments(pod, &volumes).collect();
        if attachments.is_empty() {
            return PreFilter::Skip;
        }
        PreFilter::Check(Wanted { volumes, attachments })
    }

    fn filter(&self, wanted: &Wanted, _pod: &PodInfo, node: &NodeInfo) -> Verdict {
        let volumes = &*wanted.volumes;
        let limit = |driver: &str| volumes.attachments_max(&node.name, driver);
        if !wanted.attachments.iter().any(|attachment| limit(&attachment.driver).is_some()) {
            return Ok(());
        }
        let attached: BTreeSet<Attachment> =
            node.pods.iter().flat_map(|pod| attachments(pod, volumes)).collect();
        let new = wanted.attachments.difference(&attached);
        for driver in new.clone().map(|attachment| &attachment.driver).collect::<BTreeSet<_>>() {
            let of_driver = |attachment: &&Attachment| attachment.driver == *driver;
            let count = attached.iter().filter(of_driver).count() + new.clone().filter(of_driver).count();
            if limit(driver).is_some_and(|max| count > max) {
                return Err(Rejection::unschedulable("node(s) exceed max volume count"));
            }
        }
        Ok(())
    }
}
