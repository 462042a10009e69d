//! Other programs' firewalls on the node.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use hostnet::nft;
use tokio::sync::watch;

use super::LocalNetwork;
use crate::backend_type::BackendType;
use crate::foreign;

impl LocalNetwork {
    /// Checks other programs' firewalls, now and whenever one of the usual ones changes: lets pods through if possible,
    /// and calls `tell` for each one that may drop their traffic. Never returns.
    ///
    /// `node_ip` carries the backend's tunnel.
    ///
    /// # Errors
    /// If the kernel's notifications cannot be had.
    pub async fn watch_firewalls(
        &self,
        node_ip: IpAddr,
        mut backend: watch::Receiver<BackendType>,
        tell: impl Fn(&foreign::Obstacle),
    ) -> io::Result<()> {
        let mut changes = nft::Watch::open(&foreign::USUAL_TABLES)?;
        let mut known = BTreeSet::new();
        loop {
            let pods = &self.config.cluster_subnets;
            let port = backend.borrow_and_update().port();
            let wanted = foreign::Wanted { pods, tunnel: port.map(|port| (node_ip, port)) };
            let looked = async {
                foreign::accept_forwarding(pods).await?;
                foreign::find_obstacles(&wanted).await
            };
            match looked.await {
                Ok(found) => {
                    found.difference(&known).for_each(&tell);
                    known = found;
                }
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot inspect the firewalls of this host"
                ),
            }
            tokio::select! {
                change = changes.changed() => drop(change?),
                Ok(()) = backend.changed() => {}
            }
        }
    }
}
