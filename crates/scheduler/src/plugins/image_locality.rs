//! Prefers nodes that already have the pod's images.

use crate::framework::{EventKinds, Plugin, SCORE_MAX, Score};
use crate::state::{ImageNodes, NodeInfo, PodInfo, Snapshot};

const MIB: i64 = 1024 * 1024;
/// Less than this is pulled in no time.
const BYTES_MIN: i64 = 23 * MIB;
/// More than this for one container makes no more difference.
const BYTES_MAX: i64 = 1000 * MIB;

/// Prefers nodes that have the pod's images already, the larger the better.
#[derive(Debug)]
pub struct ImageLocality;

/// The bytes that each node with any of the images need not pull.
#[derive(Debug)]
pub struct Present {
    bytes: ImageNodes,
    containers: i64,
}

impl Plugin for ImageLocality {
    const NAME: &'static str = "ImageLocality";
    const WAKES_ON: EventKinds = EventKinds::NONE;
}

impl Score for ImageLocality {
    type State = Present;

    fn pre_score(&self, pod: &PodInfo, snapshot: &Snapshot, _feasible: &[&NodeInfo]) -> Option<Present> {
        let mut present = Present { bytes: ImageNodes::new(), containers: 0 };
        for image in pod.images() {
            present.containers += 1;
            let Some(nodes) = snapshot.image_nodes(image) else { continue };
            // An image that few nodes have counts less, so that pods do not all crowd there.
            let spread = nodes.len() as f64 / snapshot.len() as f64;
            for (slot, bytes) in nodes {
                *present.bytes.entry(*slot).or_default() += (*bytes as f64 * spread) as i64;
            }
        }
        (!present.bytes.is_empty()).then_some(present)
    }

    fn score(&self, present: &Present, _pod: &PodInfo, node: &NodeInfo) -> i64 {
        let bytes_max = BYTES_MAX * present.containers;
        let bytes = present.bytes.get(&node.slot).copied().unwrap_or(0).clamp(BYTES_MIN, bytes_max);
        SCORE_MAX * (bytes - BYTES_MIN) / (bytes_max - BYTES_MIN)
    }
}
