//! The MTU of pods' links, which changes with the backend.

use std::path::Path;
use std::sync::atomic::Ordering;

use hostnet::NetNs;

use super::LocalNetwork;
use crate::error::NetworkError;
use crate::link::{link_name, set_pod_mtu};

impl LocalNetwork {
    /// Sets the MTU, in bytes, of all pods' links, both ends, and of future ones. A pod whose namespace cannot be
    /// entered keeps its own; that of a vanished one does not matter.
    ///
    /// # Errors
    /// If the kernel refuses a host's end; the other pods are still processed.
    pub async fn set_mtu(&self, mtu: u32) -> Result<(), NetworkError> {
        self.mtu.store(mtu, Ordering::Release);
        let leases = self.ipam.lock().leases().clone();
        let mut failed = None;
        for (sandbox, lease) in leases {
            if let Err(error) = self.set_mtu_of(&sandbox, lease.namespace.as_deref(), mtu).await {
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    pub(super) async fn set_mtu_of(
        &self,
        sandbox: &str,
        namespace: Option<&Path>,
        mtu: u32,
    ) -> Result<(), NetworkError> {
        let Some(link) = self.netlink.link(&link_name(sandbox)).await? else { return Ok(()) };
        if link.mtu == Some(mtu) {
            return Ok(());
        }
        // The pod's end first: after a crash, the host's end shows whether something is left to do.
        if let Some(Ok(namespace)) = namespace.map(NetNs::open)
            && let Err(error) = namespace.run(move || set_pod_mtu(mtu)).await?
        {
            tracing::warn!(
                sandbox,
                error = &error as &dyn std::error::Error,
                "cannot set the MTU inside a pod"
            );
        }
        Ok(self.netlink.set_mtu(link.index, mtu).await?)
    }
}
