//! The node IPAM controller: gives each node its own range of pod addresses out of the cluster's.
//!
//! One key stands for all nodes, as what one node has another must not get.

use std::collections::HashSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::sync::Arc;

use client::{ClientError, EventType, Informer, Patch, ResourceType, key_of, reference_to};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use object::ObjectKey;
use serde_json::json;

use crate::framework::{Action, Controller, Note, Plan, Wiring, sort_by_age};

#[cfg(test)]
mod tests;

/// The length of a node's prefix: room for 254 pods.
const NODE_PREFIX: u8 = 24;

/// A range of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Cidr {
    first: u32,
    prefix: u8,
}

impl Cidr {
    fn overlaps(self, other: Cidr) -> bool {
        let shorter = self.prefix.min(other.prefix);
        let mask = u32::MAX.checked_shl(32 - u32::from(shorter)).unwrap_or(0);
        self.first & mask == other.first & mask
    }

    /// The ranges of a node's size in this one.
    fn node_ranges(self) -> impl Iterator<Item = Cidr> {
        let prefix = NODE_PREFIX.max(self.prefix);
        let count = 1_u32 << (prefix - self.prefix).min(31);
        (0..count).map(move |index| Cidr { first: self.first + (index << (32 - prefix)), prefix })
    }
}

impl FromStr for Cidr {
    type Err = ();

    fn from_str(text: &str) -> Result<Cidr, ()> {
        let (address, prefix) = text.split_once('/').ok_or(())?;
        let address: Ipv4Addr = address.parse().map_err(drop)?;
        let prefix = prefix.parse().ok().filter(|prefix| (1..=32).contains(prefix)).ok_or(())?;
        Ok(Cidr { first: u32::from(address) & (u32::MAX << (32 - prefix)), prefix })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

pub(crate) struct NodeIpam {
    nodes: Arc<Informer<Node>>,
    cluster: Option<Cidr>,
}

/// What the decision is made from.
#[derive(Debug)]
pub(crate) struct Snapshot {
    cluster: Cidr,
    nodes: Vec<Arc<Node>>,
}

impl Controller for NodeIpam {
    const NAME: &'static str = "cidrAllocator";
    const WORKERS: usize = 1;
    type Key = ObjectKey;
    type Snapshot = Snapshot;

    fn wire(wiring: &mut Wiring<ObjectKey>) -> NodeIpam {
        let nodes = wiring.informer::<Node>();
        wiring.wake(&nodes, |change| {
            let missing = change.new.as_ref().is_some_and(|node| pod_cidr(node).is_none());
            (missing || change.new.is_none()).then(|| ObjectKey::cluster("nodes"))
        });
        let cluster = wiring.config().cluster_cidr.as_deref();
        let parsed = cluster.and_then(|text| text.parse().ok());
        if parsed.is_none() && cluster.is_some() {
            tracing::error!(cluster_cidr = cluster, "nodes get no pod addresses: not an IPv4 range");
        }
        NodeIpam { nodes, cluster: parsed }
    }

    async fn observe(&self, _key: &ObjectKey) -> Result<Option<Snapshot>, ClientError> {
        Ok(self.cluster.map(|cluster| Snapshot { cluster, nodes: self.nodes.list() }))
    }

    fn plan(snapshot: &Snapshot, _now: Timestamp) -> Plan {
        plan(snapshot)
    }
}

fn pod_cidr(node: &Node) -> Option<&str> {
    node.spec.as_ref()?.pod_cidr.as_deref().filter(|cidr| !cidr.is_empty())
}

/// Gives the nodes without a range the lowest ones that are free, the oldest node first.
fn plan(snapshot: &Snapshot) -> Plan {
    let taken: Vec<Cidr> = snapshot.nodes.iter().filter_map(|node| pod_cidr(node)?.parse().ok()).collect();
    let exact: HashSet<Cidr> = taken.iter().copied().collect();
    let uneven: Vec<Cidr> = taken.into_iter().filter(|cidr| cidr.prefix != NODE_PREFIX).collect();
    let is_free = |cidr: &Cidr| !exact.contains(cidr) && !uneven.iter().any(|other| other.overlaps(*cidr));
    let mut free = snapshot.cluster.node_ranges().filter(is_free);
    let mut nodes = snapshot.nodes.clone();
    nodes.retain(|node| pod_cidr(node).is_none() && node.metadata.deletion_timestamp.is_none());
    sort_by_age(&mut nodes);
    let mut plan = Plan::default();
    let mut patches = Vec::new();
    for node in nodes {
        match free.next() {
            Some(cidr) => patches.push(assign(&node, cidr)),
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

fn assign(node: &Node, cidr: Cidr) -> Action {
    let cidr = cidr.to_string();
    Action::Patch {
        resource: ResourceType::of::<Node>(),
        key: key_of(node),
        subresource: "",
        patch: Patch::Merge(json!({
            "metadata": {"uid": node.metadata.uid}, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]},
        })),
    }
}
