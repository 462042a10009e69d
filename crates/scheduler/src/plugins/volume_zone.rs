//! Zones of volumes: a volume that is labelled with zones or regions is used from nodes there only.

use std::sync::Arc;

use crate::framework::{Event, EventKinds, Filter, Plugin, PreFilter, Rejection, Subject, Verdict};
use crate::state::{NodeInfo, PodInfo, Snapshot, VolumeChange, VolumeInfo};

/// Labels that say where a volume or a node is; the first two are old names of the last two.
const LABELS: [&str; 4] = [
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
];

/// Rejects nodes that are in other zones than the pod's bound volumes.
#[derive(Debug)]
pub struct VolumeZone;

impl Plugin for VolumeZone {
    const NAME: &'static str = "VolumeZone";
    const WAKES_ON: EventKinds = EventKinds::STORAGE.or(EventKinds::NODE_ADDED).or(EventKinds::NODE_LABELS);

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        match event.subject {
            Subject::Storage(VolumeChange::Claim(Some(claim))) => pod.names_claim(claim),
            Subject::Storage(VolumeChange::Claim(None) | VolumeChange::CsiNode(_)) => false,
            _ => true,
        }
    }
}

impl Filter for VolumeZone {
    /// The volumes with zones.
    type State = Vec<Arc<VolumeInfo>>;

    fn pre_filter(&self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Vec<Arc<VolumeInfo>>> {
        let volumes = pod.claims.iter().filter_map(|claim| snapshot.volumes().of_claim(&claim.key(pod)));
        let zoned: Vec<_> = volumes.filter(|volume| places(volume).next().is_some()).cloned().collect();
        if zoned.is_empty() { PreFilter::Skip } else { PreFilter::Check(zoned) }
    }

    fn filter(&self, volumes: &Vec<Arc<VolumeInfo>>, _pod: &PodInfo, node: &NodeInfo) -> Verdict {
        // A node that says nothing may be anywhere.
        if !LABELS.iter().any(|label| node.label(label).is_some()) {
            return Ok(());
        }
        let mut places = volumes.iter().flat_map(|volume| places(volume));
        if places.all(|(label, values)| is_in(node, label, values)) {
            return Ok(());
        }
        Err(Rejection::unresolvable("node(s) had no available volume zone"))
    }
}

/// Where a volume is: labels and the values of each.
fn places(volume: &VolumeInfo) -> impl Iterator<Item = (&'static str, &str)> {
    let labels = volume.volume.metadata.labels.as_ref();
    LABELS.into_iter().filter_map(move |label| {
        let values = labels?.get(label)?.as_str();
        // As in upstream, a label with an empty part says nothing.
        (!values.split("__").any(|value| value.trim().is_empty())).then_some((label, values))
    })
}

/// Whether a node is in one of some zones; it may have the new name of an old label.
fn is_in(node: &NodeInfo, label: &str, values: &str) -> bool {
    let new = match LABELS.iter().position(|other| *other == label) {
        Some(old @ (0 | 1)) => LABELS[old + 2],
        _ => label,
    };
    let found = node.label(label).or_else(|| node.label(new));
    found.is_some_and(|found| values.split("__").any(|value| value.trim() == found))
}
