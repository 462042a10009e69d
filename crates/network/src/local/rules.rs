//! Updates of the packet rules when other nodes are added or removed, or another program changes the rules.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use hostnet::{nft, state};

use super::LocalNetwork;
use super::record::nodes_path;
use super::settings::harden_link;
use crate::error::{NetworkError, io_error};
use crate::guard::{OtherNodes, Tunnel};

/// The pause before another attempt to write rules that another program deleted.
const RETRY_AFTER: Duration = Duration::from_millis(500);

impl LocalNetwork {
    /// Makes pods keep their own addresses only towards these nodes.
    ///
    /// # Errors
    /// If the packet rules cannot be changed.
    pub(crate) async fn keep_source_towards(&self, nodes: BTreeSet<IpAddr>) -> Result<(), NetworkError> {
        self.change_others(|others| others.keeping_source = nodes).await
    }

    /// Lets the tunnel accept packets only from these nodes.
    ///
    /// # Errors
    /// If the packet rules cannot be changed.
    pub(crate) async fn expect(&self, tunnel: Tunnel) -> Result<(), NetworkError> {
        self.change_others(|others| others.tunnel = tunnel).await
    }

    async fn change_others(&self, change: impl FnOnce(&mut OtherNodes)) -> Result<(), NetworkError> {
        let mut current = self.rules.lock().await;
        let mut next = current.clone();
        change(&mut next);
        if *current == next {
            return Ok(());
        }
        let difference = self.config.rules().others(&current, &next);
        if self.apply(&difference).await.is_err() {
            // The rules were changed: rewrite them.
            nft::apply(&self.all_rules(&next, None)).await?;
        }
        *current = next;
        state::save(&nodes_path(&self.config.state_dir), &*current)
            .map_err(io_error("cannot record the other nodes"))
    }

    /// The transaction that writes everything, except for one sandbox.
    pub(super) fn all_rules(&self, others: &OtherNodes, without: Option<&str>) -> String {
        let ipam = self.ipam.lock();
        let pods = ipam.leases().iter().filter(|(sandbox, _)| without != Some(sandbox.as_str()));
        let pods = pods.map(|(_, lease)| (&lease.addresses[..], &lease.host_ports[..]));
        self.config.rules().full(pods, others)
    }

    /// Rewrites the packet rules whenever another program has changed them, until the kernel's notifications end.
    ///
    /// # Errors
    /// If the kernel's notifications cannot be had.
    pub async fn keep_rules(&self) -> io::Result<()> {
        let mut watch = nft::Watch::open(&[("inet", &self.config.table)])?;
        loop {
            watch.changed().await?;
            tracing::warn!(
                table = self.config.table,
                "another program changed the pod network's rules; rewriting them"
            );
            loop {
                let others = self.rules.lock().await;
                match nft::apply(&self.all_rules(&others, None)).await {
                    Ok(()) => break,
                    Err(error) => tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "cannot write the pod network's rules"
                    ),
                }
                drop(others);
                tokio::time::sleep(RETRY_AFTER).await;
            }
        }
    }

    /// Makes the host's end of a pod's link reject forged packets even without the packet rules; a missing link is
    /// ignored.
    pub(super) async fn harden(&self, name: &str) -> Result<(), NetworkError> {
        let Some(link) = self.netlink.link(name).await? else { return Ok(()) };
        if link.has_arp {
            self.netlink.set_arp_off(link.index).await?;
        }
        harden_link(name).map_err(io_error("cannot change a kernel setting of a pod's link"))
    }
}
