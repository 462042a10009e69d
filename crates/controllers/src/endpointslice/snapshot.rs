//! The inputs of a decision about one Service.

use std::collections::HashMap;
use std::sync::Arc;

use client::LeanPod;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use object::Selector;

use super::topology;

/// Names a slice's Service.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The inputs of a decision about one Service.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(super) service: Arc<Service>,
    /// The pods that it selects.
    pub(super) pods: Vec<Arc<LeanPod>>,
    /// The nodes of these pods.
    pub(super) nodes: HashMap<String, Arc<Node>>,
    /// All slices that name the Service.
    pub(super) slices: Vec<Arc<EndpointSlice>>,
    pub(super) topology: Topology,
}

/// Whether a Service asks for topology aware routing.
#[derive(Clone, Debug, Default)]
pub(super) struct Topology {
    pub(super) is_asked: bool,
    /// Whether it did at the previous plan.
    pub(super) was_asked: bool,
    /// The share of each zone, if hints are requested.
    pub(super) shares: topology::Shares,
}

/// The labels that a Service selects by; `None` if its endpoints are managed elsewhere.
pub(super) fn selector(service: &Service) -> Option<Selector> {
    let spec = service.spec.as_ref()?;
    let external = spec.type_.as_deref() == Some("ExternalName");
    let labels = spec.selector.as_ref().filter(|labels| !labels.is_empty() && !external)?;
    Some(Selector::from_labels(labels.clone()))
}
