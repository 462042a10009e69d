//! The pod network as the container engine calls it.
//!
//! The network can only be set up once the cluster has given this node a subnet; until then sandboxes wait.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use cri::{CriError, PortMapping};
use ipnet::IpNet;
use network::{
    HostLock, HostPort, LocalConfig, LocalNetwork, NetworkError, PodIdentity, Policies, Protocol, overlay,
};
use runtime::engine::{NetworkRequest, PodNetwork};
use tokio::sync::watch;

use crate::addresses::NodeAddresses;
use crate::cluster::ClusterSettings;
use crate::config::NodeSettings;

/// The pod network of this node.
pub struct NodeNetwork {
    state_dir: PathBuf,
    cluster: ClusterSettings,
    addresses: NodeAddresses,
    mtu: Option<u32>,
    lock: Arc<HostLock>,
    /// `None` where network policy is left out.
    policies: Option<Arc<Policies>>,
    network: watch::Sender<Option<Arc<LocalNetwork>>>,
    /// Held while the network is set up, so that it is set up once.
    setting_up: tokio::sync::Mutex<()>,
}

impl NodeNetwork {
    /// A network that waits for its subnet. Pods get their links after `policies` has put their rules in force.
    ///
    /// # Errors
    /// Where another instance has the network of this host.
    pub fn new(
        settings: &NodeSettings,
        policies: Option<Arc<Policies>>,
    ) -> Result<NodeNetwork, NetworkError> {
        Ok(NodeNetwork {
            state_dir: settings.data_dir.join("network"),
            cluster: settings.cluster.clone(),
            addresses: settings.addresses.clone(),
            mtu: settings.mtu,
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

    /// Puts the pod's policies in force for the sandbox, before it has a link.
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
            .map_err(|error| CriError::internal("put network policies in force", error))
    }

    /// Takes back what there is of a sandbox. Its rules stand as long as its link, and are gone before somebody else
    /// gets its addresses.
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
        // Right after a restart the network is not there yet, and the sandbox's lease would be forgotten: the caller
        // tries again.
        let network = self.current()?;
        let taken_back = self.take_back(&network, &request.sandbox_id).await;
        taken_back.map_err(|error| CriError::internal("take back the pod network", error))
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
        if let Some(family) = missing_family(&self.cluster.cluster_cidrs, &pod_subnets) {
            tracing::warn!(
                pod_cidr,
                "this node has no {family} range, as it was there before the cluster had one, and its pods have no {family} \
                 addresses: what a node has is never changed; drain it, delete the Node and start it again"
            );
        }
        let mtu = overlay::pod_mtu(self.cluster.backend, self.addresses.primary(), &pod_subnets, self.mtu)
            .await
            .map_err(|error| CriError::internal("set up the node's network", error))?;
        let config = LocalConfig {
            mtu: Some(mtu),
            service_subnets: self.cluster.service_cidrs.clone(),
            ..LocalConfig::new(&self.state_dir, pod_subnets, self.cluster.cluster_cidrs.clone())
        };
        let network = LocalNetwork::with_lock(config, Arc::clone(&self.lock))
            .await
            .map_err(|error| CriError::internal("set up the node's network", error))?;
        self.network.send_replace(Some(Arc::new(network)));
        Ok(())
    }
}

/// The subnets in what CRI calls a pod CIDR: one, or one of each family.
pub fn pod_subnets(pod_cidr: &str) -> Result<Vec<IpNet>, CriError> {
    let parse = |text: &str| -> Result<IpNet, CriError> {
        let wrong = |_| CriError::InvalidArgument(format!("the pod subnet {text:?} is not a network"));
        text.trim().parse().map_err(wrong)
    };
    pod_cidr.split(',').map(parse).collect()
}

/// The family of which the cluster has a network and the node no range.
fn missing_family(cluster: &[IpNet], node: &[IpNet]) -> Option<&'static str> {
    let has = |networks: &[IpNet], ipv4: bool| networks.iter().any(|net| net.addr().is_ipv4() == ipv4);
    let lacks = |ipv4: bool| has(cluster, ipv4) && !has(node, ipv4);
    [(true, "IPv4"), (false, "IPv6")].into_iter().find(|(ipv4, _)| lacks(*ipv4)).map(|(_, family)| family)
}

/// The port of the host that a container asks for; `None` if it asks for none.
pub fn host_port(mapping: &PortMapping) -> Option<HostPort> {
    let protocol = match mapping.protocol {
        cri::Protocol::Tcp => Protocol::Tcp,
        cri::Protocol::Udp => Protocol::Udp,
        cri::Protocol::Sctp => Protocol::Sctp,
    };
    (mapping.host_port != 0).then(|| HostPort {
        protocol,
        host_ip: mapping.host_ip.parse().ok(),
        host_port: mapping.host_port,
        container_port: mapping.container_port,
    })
}

/// Stands in for the network while sandboxes are removed by `reset`: the network itself is reset as a whole.
pub struct ResetNetwork;

#[async_trait]
impl PodNetwork for ResetNetwork {
    async fn setup(&self, _request: &NetworkRequest) -> Result<Vec<IpAddr>, CriError> {
        Err(CriError::FailedPrecondition("this machine is being reset".to_owned()))
    }

    async fn teardown(&self, _request: &NetworkRequest) -> Result<(), CriError> {
        Ok(())
    }
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
