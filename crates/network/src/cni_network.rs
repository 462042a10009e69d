//! The container engine's interface to a CNI network: the plugins of a CNI configuration.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use cri::{CriError, NetworkRequest, PodNetwork};
use object::Quantity;

use crate::cni::{Cni, CniConfig, Sandbox};
use crate::error::NetworkError;
use crate::lock::HostLock;
use crate::requests::{host_port, pod_subnets};

/// The annotations of pods that limit their traffic, in bits per second.
const INGRESS_BANDWIDTH: &str = "kubernetes.io/ingress-bandwidth";
const EGRESS_BANDWIDTH: &str = "kubernetes.io/egress-bandwidth";
/// The range of such a limit, in bits per second.
const RATE_MIN: i64 = 1_000;
const RATE_MAX: i64 = 1_000_000_000_000_000;

/// The pod network of this node, if it is a CNI network.
pub struct CniNetwork {
    cni: Arc<Cni>,
    _lock: HostLock,
}

impl CniNetwork {
    /// A network that is configured in `conf_dir`, now or later. What is kept of it goes to `state_dir`.
    ///
    /// # Errors
    /// Where another instance has the network of this host.
    pub fn new(
        state_dir: &Path,
        conf_dir: PathBuf,
        bin_dirs: Vec<PathBuf>,
    ) -> Result<CniNetwork, NetworkError> {
        let config = CniConfig { conf_dir, bin_dirs, state_dir: state_dir.to_owned() };
        Ok(CniNetwork { cni: Arc::new(Cni::new(config)), _lock: HostLock::take()? })
    }

    /// Background work of the network, until it is dropped.
    pub fn keep(&self) -> impl Future<Output = ()> + Send + use<> {
        let cni = Arc::clone(&self.cni);
        async move { cni.keep().await }
    }
}

/// The traffic limit that a pod requests. The API server has not checked it; upstream's runtimes accept values between
/// a thousand and 10^15 bits per second.
fn rate(request: &NetworkRequest, annotation: &str) -> Result<Option<i64>, CriError> {
    let Some(text) = request.annotations.get(annotation) else { return Ok(None) };
    let rate = Quantity::parse(text).ok().map(|quantity| quantity.value());
    match rate.filter(|rate| (RATE_MIN..=RATE_MAX).contains(rate)) {
        None => Err(CriError::InvalidArgument(format!(
            "the pod's annotation {annotation}: {text:?} is not a rate between 1k and 1P (bits per second)"
        ))),
        rate => Ok(rate),
    }
}

#[async_trait]
impl PodNetwork for CniNetwork {
    async fn setup(&self, request: &NetworkRequest) -> Result<Vec<IpAddr>, CriError> {
        let failed = |error| CriError::internal("set up the pod network", error);
        let ports: Vec<_> = request.port_mappings.iter().filter_map(host_port).collect();
        let dns = request.dns.as_ref();
        let sandbox = Sandbox {
            id: &request.sandbox_id,
            namespace: &request.namespace,
            pod: [&request.pod.namespace, &request.pod.name, &request.pod.uid],
            host_ports: &ports,
            ingress_rate: rate(request, INGRESS_BANDWIDTH)?,
            egress_rate: rate(request, EGRESS_BANDWIDTH)?,
            dns: dns.map(|dns| [&dns.servers[..], &dns.searches[..], &dns.options[..]]),
            cgroup: &request.cgroup,
            annotations: &request.annotations,
        };
        // The remains of an interrupted attempt.
        self.cni.delete(&request.sandbox_id).await.map_err(failed)?;
        self.cni.add(&sandbox).await.map_err(failed)
    }

    async fn teardown(&self, request: &NetworkRequest) -> Result<(), CriError> {
        let done = self.cni.delete(&request.sandbox_id).await;
        done.map_err(|error| CriError::internal("tear down the pod network", error))
    }

    async fn problem(&self) -> Option<String> {
        self.cni.problem().await
    }

    async fn changed(&self) {
        self.cni.changed().await;
    }

    async fn update_pod_cidr(&self, pod_cidr: &str) -> Result<(), CriError> {
        self.cni.set_pod_subnets(pod_subnets(pod_cidr)?);
        Ok(())
    }
}
