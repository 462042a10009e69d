//! Our own pod network, as the container engine calls it.
//!
//! The network can only be set up once the cluster has given this node a subnet; until then sandboxes wait.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use client::{Client, EventType, Informers, Recorder};
use cri::{CriError, NetworkRequest, PodNetwork};
use ipnet::IpNet;
use k8s_openapi::api::core::v1::ObjectReference;
use tokio::sync::watch;

use crate::backend_type::BackendType;
use crate::config::LocalConfig;
use crate::error::NetworkError;
use crate::foreign::Obstacle;
use crate::host_port::HostPort;
use crate::local::LocalNetwork;
use crate::lock::HostLock;
use crate::node_addresses::NodeAddresses;
use crate::overlay::{self, OverlayConfig};
use crate::policy::{PodIdentity, Policies};
use crate::requests::{host_port, pod_subnets};

/// What the pod network of a node depends on.
#[derive(Debug, Clone)]
pub struct NodeNetworkConfig {
    /// Where leases and records are kept.
    pub state_dir: PathBuf,
    /// The networks of the cluster's pods.
    pub cluster_subnets: Vec<IpNet>,
    /// The networks of its Services; only checked for conflicts.
    pub service_subnets: Vec<IpNet>,
    /// How packets travel between nodes when the network is set up.
    pub backend: BackendType,
    /// The node's addresses.
    pub addresses: NodeAddresses,
    /// The MTU of pods' links, in bytes; `None` uses what the uplink leaves.
    pub mtu: Option<u32>,
}

/// The pod network of this node.
pub struct NodeNetwork {
    config: NodeNetworkConfig,
    lock: Arc<HostLock>,
    /// `None` where network policy is left out.
    policies: Option<Arc<Policies>>,
    network: watch::Sender<Option<Arc<LocalNetwork>>>,
    /// Held while the network is set up, so that it is set up once.
    setting_up: tokio::sync::Mutex<()>,
}

impl NodeNetwork {
    /// A network that waits for its subnet. Pods get their links after `policies` has put their rules in place.
    ///
    /// # Errors
    /// Where another instance has the network of this host.
    pub fn new(
        config: NodeNetworkConfig,
        policies: Option<Arc<Policies>>,
    ) -> Result<NodeNetwork, NetworkError> {
        Ok(NodeNetwork {
            config,
            lock: Arc::new(HostLock::take()?),
            policies,
            network: watch::Sender::new(None),
            setting_up: tokio::sync::Mutex::default(),
        })
    }

    /// The network once it is set up.
    pub async fn ready(&self) -> Arc<LocalNetwork> {
        let mut network = self.network.subscribe();
        loop {
            if let Some(network) = network.borrow_and_update().clone() {
                return network;
            }
            if network.changed().await.is_err() {
                // The sender lives in `self`, which is borrowed.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Keeps the way to other nodes' pods and the packet rules as they should be, once there is a network, and tells people of
    /// firewalls that are in the way. It never returns; what it made stays when it is dropped, for the pods live on.
    ///
    /// `client` writes the own Node object; `backend` is how packets travel between nodes now.
    pub async fn keep(
        &self,
        node_name: &str,
        backend: watch::Receiver<BackendType>,
        client: Client,
        informers: &Informers,
        recorder: Recorder,
    ) {
        let network = self.ready().await;
        let NodeNetworkConfig { addresses, mtu, .. } = &self.config;
        let config =
            OverlayConfig { node_name: node_name.to_owned(), node_ips: addresses.subscribe(), mtu: *mtu };
        let keep = async {
            // Without notifications the rules stay as they are.
            if let Err(error) = network.keep_rules().await {
                tracing::warn!(%error, "cannot watch the pod network's rules; changes by other programs will not be repaired");
            }
            std::future::pending::<()>().await;
        };
        let tell = tell_of(recorder, node_name);
        let look = async {
            if let Err(error) = network.watch_firewalls(addresses.primary(), backend.clone(), tell).await {
                tracing::warn!(%error, "cannot watch this host's firewalls");
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = look => {}
            () = overlay::run(config, backend.clone(), Arc::clone(&network), client, informers) => {}
            () = keep => {}
        }
    }

    /// Enforces the pod's policies on the sandbox, before it has a link.
    async fn protect(&self, network: &LocalNetwork, request: &NetworkRequest) -> Result<(), CriError> {
        let Some(policies) = &self.policies else { return Ok(()) };
        let sandbox = &request.sandbox_id;
        let addresses =
            network.reserve(sandbox).map_err(|error| CriError::internal("lease an address", error))?;
        let pod = PodIdentity {
            namespace: request.pod.namespace.clone(),
            name: request.pod.name.clone(),
            uid: request.pod.uid.clone(),
        };
        policies
            .attach(sandbox, &pod, &addresses)
            .await
            .map_err(|error| CriError::internal("apply network policies", error))
    }

    /// Removes everything of a sandbox. Its rules stay as long as its link, and are gone before another sandbox gets
    /// its addresses.
    async fn take_back(&self, network: &LocalNetwork, sandbox: &str) -> Result<(), NetworkError> {
        network.disconnect(sandbox).await?;
        if let Some(policies) = &self.policies {
            policies.detach(sandbox);
        }
        network.teardown(sandbox).await
    }

    fn current(&self) -> Result<Arc<LocalNetwork>, CriError> {
        let network = self.network.borrow().clone();
        network
            .ok_or_else(|| CriError::Unavailable("the node has no pod subnet yet (spec.podCIDR)".to_owned()))
    }
}

#[async_trait]
impl PodNetwork for NodeNetwork {
    async fn setup(&self, request: &NetworkRequest) -> Result<Vec<IpAddr>, CriError> {
        let ports: Vec<HostPort> = request.port_mappings.iter().filter_map(host_port).collect();
        let network = self.current()?;
        let connect = async {
            self.protect(&network, request).await?;
            let addresses = network.setup(&request.namespace, &request.sandbox_id, &ports).await;
            addresses.map_err(|error| CriError::internal("set up the pod network", error))
        };
        let connected = connect.await;
        if connected.is_err()
            && let Err(error) = self.take_back(&network, &request.sandbox_id).await
        {
            tracing::warn!(
                sandbox = request.sandbox_id,
                error = &error as &dyn std::error::Error,
                "cannot clean up after a failed set-up"
            );
        }
        connected
    }

    async fn teardown(&self, request: &NetworkRequest) -> Result<(), CriError> {
        // Right after a restart the network is not set up yet, and the sandbox's lease would be forgotten: the caller
        // retries.
        let network = self.current()?;
        let taken_back = self.take_back(&network, &request.sandbox_id).await;
        taken_back.map_err(|error| CriError::internal("tear down the pod network", error))
    }

    async fn problem(&self) -> Option<String> {
        self.current().err().map(|error| error.to_string())
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<(), CriError> {
        let _once = self.setting_up.lock().await;
        if self.network.borrow().is_some() {
            return Ok(());
        }
        let pod_subnets = pod_subnets(pod_cidr)?;
        if let Some(family) = missing_family(&self.config.cluster_subnets, &pod_subnets) {
            tracing::warn!(
                pod_cidr,
                "this node has no {family} range, because it is older than the cluster's, and its pods have \
                    no {family} addresses: a node's ranges never change; drain the node, delete its Node \
                    object and restart it"
            );
        }
        let NodeNetworkConfig { state_dir, cluster_subnets, service_subnets, backend, addresses, mtu } =
            &self.config;
        let mtu = overlay::pod_mtu(*backend, addresses.primary(), &pod_subnets, *mtu)
            .await
            .map_err(|error| CriError::internal("set up the node's network", error))?;
        let config = LocalConfig {
            mtu: Some(mtu),
            service_subnets: service_subnets.clone(),
            ..LocalConfig::new(state_dir, pod_subnets, cluster_subnets.clone())
        };
        let network = LocalNetwork::with_lock(config, Arc::clone(&self.lock))
            .await
            .map_err(|error| CriError::internal("set up the node's network", error))?;
        self.network.send_replace(Some(Arc::new(network)));
        Ok(())
    }
}

/// Reports firewalls that may drop pods' traffic: in the log, and in an event about the node.
fn tell_of(recorder: Recorder, node_name: &str) -> impl Fn(&Obstacle) + use<> {
    let node = ObjectReference {
        kind: Some("Node".to_owned()),
        uid: Some(node_name.to_owned()),
        name: Some(node_name.to_owned()),
        ..ObjectReference::default()
    };
    move |obstacle| {
        tracing::warn!("{obstacle}");
        recorder.record(&node, EventType::Warning, "FirewallDropsPods", obstacle.to_string());
    }
}

/// The family for which the cluster has a network but the node has no range.
fn missing_family(cluster: &[IpNet], node: &[IpNet]) -> Option<&'static str> {
    let has = |networks: &[IpNet], ipv4: bool| networks.iter().any(|net| net.addr().is_ipv4() == ipv4);
    let lacks = |ipv4: bool| has(cluster, ipv4) && !has(node, ipv4);
    [(true, "IPv4"), (false, "IPv6")].into_iter().find(|(ipv4, _)| lacks(*ipv4)).map(|(_, family)| family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_of_one_family_in_a_cluster_of_both_is_noticed() {
        let of = |texts: &str| pod_subnets(texts).unwrap();
        let both = of("10.42.0.0/16,fd42::/56");
        assert_eq!(missing_family(&both, &of("10.42.1.0/24,fd42::/64")), None);
        assert_eq!(missing_family(&both, &of("10.42.1.0/24")), Some("IPv6"));
        assert_eq!(missing_family(&both, &of("fd42::/64")), Some("IPv4"));
        assert_eq!(missing_family(&of("10.42.0.0/16"), &of("10.42.1.0/24")), None);
    }
}
