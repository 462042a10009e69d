//! The node IPAM controller: gives each node its own ranges of pod addresses from the cluster's, one of each family.
//!
//! One key stands for all nodes, because two nodes must not get the same range.

use std::sync::Arc;

use client::{EventType, Informer, Patch, ResourceType, key_of, reference_to};
use ipnet::IpNet;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use object::ObjectKey;
use serde_json::json;

use crate::Config;
use crate::framework::{Action, Controller, Look, Note, Plan, Wiring, sort_by_age};

mod ranges;
#[cfg(test)]
mod tests;

use ranges::FreeRanges;

pub(crate) struct NodeIpam {
    nodes: Arc<Informer<Node>>,
    config: Arc<Config>,
}

/// The inputs of the decision.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// The cluster's ranges, at least one and at most one of each family.
    cluster: Vec<IpNet>,
    nodes: Vec<Arc<Node>>,
}

impl Controller for NodeIpam {
    const NAME: &'static str = "cidrAllocator";
    const ACCOUNT: &'static str = "node-controller";
    const QUEUE: &'static str = "cidrallocator";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Snapshot;
    type Memory = ();

    fn wire(wiring: &mut Wiring<ObjectKey>) -> NodeIpam {
        let nodes = wiring.informer::<Node>();
        wiring.wake(&nodes, |change| {
            let missing = change.new.as_ref().is_some_and(|node| pod_cidr(node).is_none());
            (missing || change.new.is_none()).then(|| ObjectKey::cluster("nodes"))
        });
        NodeIpam { nodes, config: Arc::clone(wiring.config()) }
    }

    fn observe(&self, _key: &ObjectKey, _look: &mut Look<'_, ()>) -> Option<Snapshot> {
        let cluster = self.config.cluster_cidrs.clone();
        (!cluster.is_empty()).then(|| Snapshot { cluster, nodes: self.nodes.list() })
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        plan(snapshot)
    }
}

fn pod_cidr(node: &Node) -> Option<&str> {
    node.spec.as_ref()?.pod_cidr.as_deref().filter(|cidr| !cidr.is_empty())
}

/// All ranges that a node has.
fn pod_cidrs(node: &Node) -> impl Iterator<Item = IpNet> {
    let spec = node.spec.as_ref();
    let all = spec.and_then(|spec| spec.pod_cidrs.as_ref()).into_iter().flatten();
    let first = spec.and_then(|spec| spec.pod_cidr.as_ref());
    all.chain(first).filter_map(|text| text.parse().ok())
}

/// Gives nodes without a range the lowest free ones, the oldest node first. A node gets one of each family or none: its
/// ranges are never changed later.
fn plan(snapshot: &Snapshot) -> Plan {
    let taken: Vec<IpNet> = snapshot.nodes.iter().flat_map(|node| pod_cidrs(node)).collect();
    let mut free: Vec<FreeRanges> =
        snapshot.cluster.iter().map(|cluster| FreeRanges::new(*cluster, &taken)).collect();
    let mut nodes = snapshot.nodes.clone();
    nodes.retain(|node| pod_cidr(node).is_none() && node.metadata.deletion_timestamp.is_none());
    sort_by_age(&mut nodes);
    let mut plan = Plan::default();
    let mut patches = Vec::new();
    for node in nodes {
        match free.iter_mut().map(Iterator::next).collect::<Option<Vec<IpNet>>>() {
            Some(ranges) => patches.push(assign(&node, &ranges)),
            None => plan.record(Note {
                about: reference_to(&*node),
                kind: EventType::Normal,
                reason: "CIDRNotAvailable",
                message: format!(
                    "Node {} status is now: CIDRNotAvailable",
                    node.metadata.name.as_deref().unwrap_or_default()
                ),
            }),
        }
    }
    plan.together(patches);
    plan
}

fn assign(node: &Node, ranges: &[IpNet]) -> Action {
    let texts: Vec<String> = ranges.iter().map(IpNet::to_string).collect();
    Action::Patch {
        resource: ResourceType::of::<Node>(),
        key: key_of(node),
        subresource: "",
        patch: Patch::Merge(json!({
            "metadata": {"uid": node.metadata.uid}, "spec": {"podCIDR": texts.first(), "podCIDRs": texts},
        })),
    }
}
