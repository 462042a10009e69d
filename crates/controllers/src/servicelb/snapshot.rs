//! The inputs of the decision about all Services.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Service};
use object::ObjectKey;

/// The class of Services that ask for this load balancer by name; those without a class get it too.
pub(super) const CLASS: &str = "ironhull.io/servicelb";
/// Upstream's finalizer: the Service goes when its load balancer is taken back.
pub(super) const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// A protocol and a port's number.
pub(super) type Port = (String, i32);

/// The inputs of the decision about all Services.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    /// Services that have a load balancer or had one.
    pub(super) services: Vec<Arc<Service>>,
    /// The node ports of all Services: protocol and number, with the owner.
    pub(super) node_ports: BTreeMap<Port, ObjectKey>,
    pub(super) nodes: Vec<Arc<Node>>,
    /// The nodes with ready endpoints of each Service that needs them.
    pub(super) local: BTreeMap<ObjectKey, BTreeSet<String>>,
    /// Where the API server listens.
    pub(super) api_ports: BTreeSet<i32>,
}
