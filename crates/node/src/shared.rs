//! State shared by all parts of an agent.

use std::sync::Arc;

use client::{Client, EventType, Informer, Recorder};
use clock::Clock;
use cri::RuntimeService;
use hostfs::{Lane, Usages};
use k8s_openapi::api::core::v1::{Node, Service};
use object::ObjectKey;
use parking_lot::RwLock;
use tokio::sync::watch;
use volumes::{ObjectCache, Volumes};

use crate::admission::Admitted;
use crate::config::NodeConfig;
use crate::engine::Engine;
use crate::host::Facts;
use crate::images::Images;
use crate::metrics::Metrics;
use crate::pod::{PodContainer, PodInfo};
use crate::pressure::Pressures;
use crate::probe::Prober;
use crate::spec::HostResolver;

/// The agent's services, created once.
pub(crate) struct Shared {
    pub(crate) config: NodeConfig,
    pub(crate) facts: Facts,
    pub(crate) client: Client,
    pub(crate) clock: Clock,
    pub(crate) runtime: Arc<dyn RuntimeService>,
    pub(crate) engine: Engine,
    pub(crate) images: Images,
    pub(crate) objects: Arc<ObjectCache>,
    pub(crate) volumes: Volumes,
    pub(crate) recorder: Recorder,
    pub(crate) prober: Prober,
    pub(crate) metrics: Arc<Metrics>,
    /// For small files that containers control.
    pub(crate) files: Lane,
    /// For operations that are slow with many files.
    pub(crate) trees: Lane,
    pub(crate) admitted: Admitted,
    /// The node's resource pressure.
    pub(crate) pressures: watch::Sender<Pressures>,
    /// The disk usage of trees.
    pub(crate) usages: Usages,
    pub(crate) nodes: Arc<Informer<Node>>,
    pub(crate) services: Arc<Informer<Service>>,
    /// The port that the node API listens on; 0 before it listens.
    pub(crate) port: RwLock<u16>,
}

impl Shared {
    /// The Node object at the API server; empty before it is registered.
    pub(crate) fn node(&self) -> Arc<Node> {
        self.nodes.get(&ObjectKey::cluster(self.config.node_name.as_str())).unwrap_or_default()
    }

    /// The node's addresses as text.
    pub(crate) fn host_ips(&self) -> Vec<String> {
        self.config.node_ips.borrow().iter().map(ToString::to_string).collect()
    }

    /// The node's own current DNS settings.
    pub(crate) fn host_resolver(&self) -> HostResolver {
        let text = std::fs::read_to_string(&self.config.resolv_conf).unwrap_or_default();
        HostResolver::parse(&text)
    }

    pub(crate) fn pod_event(&self, pod: &PodInfo, kind: EventType, reason: &str, message: impl Into<String>) {
        self.recorder.record(&pod.reference(), kind, reason, message);
    }

    pub(crate) fn container_event(
        &self,
        pod: &PodInfo,
        container: &PodContainer,
        kind: EventType,
        reason: &str,
        message: impl Into<String>,
    ) {
        self.recorder.record(&pod.container_reference(container), kind, reason, message);
    }
}
