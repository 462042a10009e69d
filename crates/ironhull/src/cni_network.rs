//! Another program's pod network, as the container engine calls it: the plugins of a CNI configuration.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use network::cni::{Cni, CniConfig, Sandbox};
use network::{HostLock, NetworkError};
use object::Quantity;
use runtime::cri::CriError;
use runtime::engine::{NetworkRequest, PodNetwork};

use crate::pod_network::host_port;

/// The annotations of pods that limit their traffic, in bits a second.
const INGRESS_BANDWIDTH: &str = "kubernetes.io/ingress-bandwidth";
const EGRESS_BANDWIDTH: &str = "kubernetes.io/egress-bandwidth";

/// The pod network of this node, where it is not ours.
pub struct CniNetwork {
    cni: Cni,
    _lock: HostLock,
}

impl CniNetwork {
    /// A network that is configured in `conf_dir`, now or later.
    ///
    /// # Errors
    /// Where another instance has the network of this host.
    pub fn new(
        data_dir: &Path,
        conf_dir: PathBuf,
        bin_dirs: Vec<PathBuf>,
    ) -> Result<CniNetwork, NetworkError> {
        let config = CniConfig { conf_dir, bin_dirs, state_dir: data_dir.join("network") };
        Ok(CniNetwork { cni: Cni::new(config), _lock: HostLock::take()? })
    }
}

#[async_trait]
impl PodNetwork for CniNetwork {
    async fn setup(&self, request: &NetworkRequest) -> Result<Vec<IpAddr>, CriError> {
        let failed = |error| CriError::internal("set up the pod network", error);
        let ports: Vec<_> = request.port_mappings.iter().filter_map(host_port).collect();
        let rate = |annotation: &str| -> Option<i64> {
            let text = request.annotations.get(annotation)?;
            // The API server has checked nothing here; what is no quantity is no limit.
            Quantity::parse(text).ok().map(|quantity| quantity.value()).filter(|rate| *rate > 0)
        };
        let sandbox = Sandbox {
            id: &request.sandbox_id,
            namespace: &request.namespace,
            pod: [&request.pod.namespace, &request.pod.name, &request.pod.uid],
            host_ports: &ports,
            ingress_rate: rate(INGRESS_BANDWIDTH),
            egress_rate: rate(EGRESS_BANDWIDTH),
        };
        // What an attempt that was cut off left.
        self.cni.delete(&request.sandbox_id).await.map_err(failed)?;
        self.cni.add(&sandbox).await.map_err(failed)
    }

    async fn teardown(&self, request: &NetworkRequest) -> Result<(), CriError> {
        let done = self.cni.delete(&request.sandbox_id).await;
        done.map_err(|error| CriError::internal("take back the pod network", error))
    }

    fn problem(&self) -> Option<String> {
        self.cni.problem()
    }
}
