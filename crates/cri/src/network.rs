//! The pod network, as an engine calls it. CRI leaves this to engines; ours is given one.

use std::net::IpAddr;
use std::path::PathBuf;

use async_trait::async_trait;

use crate::{CriError, DnsConfig, PodSandboxMetadata, PortMapping, StringMap};

/// A sandbox, as the pod network needs to know it.
#[derive(Clone, Debug)]
pub struct NetworkRequest {
    /// The sandbox's id.
    pub sandbox_id: String,
    /// The pod.
    pub pod: PodSandboxMetadata,
    /// The file that the network namespace is mounted on. The loopback device is up already.
    pub namespace: PathBuf,
    /// The sandbox's annotations.
    pub annotations: StringMap,
    /// Ports of the host that should lead into the sandbox.
    pub port_mappings: Vec<PortMapping>,
    /// How names are resolved in it; absent if as on the host.
    pub dns: Option<DnsConfig>,
    /// The pod's cgroup; empty if it has none.
    pub cgroup: String,
}

/// Connects sandboxes to the pod network. Engines that bring a network of their own need none.
#[async_trait]
pub trait PodNetwork: Send + Sync {
    /// Connects a sandbox and returns its addresses, the primary one first.
    async fn setup(&self, request: &NetworkRequest) -> Result<Vec<IpAddr>, CriError>;

    /// Reverts [`setup`](Self::setup). Idempotent, and safe after an interrupted setup; the namespace may be gone
    /// already.
    async fn teardown(&self, request: &NetworkRequest) -> Result<(), CriError>;

    /// Why sandboxes cannot be connected at the moment; `None` if they can.
    async fn problem(&self) -> Option<String> {
        None
    }

    /// Waits until the answer of [`problem`](Self::problem) may have changed, if the network supports that. A change
    /// without a waiter is reported to the next one.
    async fn changed(&self) {
        std::future::pending().await
    }

    /// Receives the node's pod subnets (CRI's `UpdateRuntimeConfig`).
    async fn update_pod_cidr(&self, _pod_cidr: &str) -> Result<(), CriError> {
        Ok(())
    }
}
