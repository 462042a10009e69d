//! The node's own part of the pod network.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hostnet::nft;
use hostnet::{NetNs, state};
use ipnet::IpNet;
use parking_lot::Mutex;

use crate::config::LocalConfig;
use crate::error::{NetworkError, io_error};
use crate::foreign;
use crate::guard::OtherNodes;
use crate::host_port::HostPort;
use crate::ipam::{Ipam, Lease};
use crate::link::{Netlink, configure_pod, link_name, pod_mac};
use crate::lock::HostLock;
use crate::preflight::preflight;

mod firewalls;
mod flows;
mod mtu;
mod record;
mod rules;
mod settings;
use flows::{Flows, Older};
use record::{Created, created, created_path, leases_path, nodes_path, sysctl_path};
pub(crate) use record::{is_recorded, remove_recorded};
use settings::set_sysctls;

/// The MTU if there is no uplink: Ethernet's.
const MTU_DEFAULT: u32 = 1500;

/// The pod network of this host. Only one can exist on a host network.
pub struct LocalNetwork {
    config: LocalConfig,
    /// Of pods' links, in bytes.
    mtu: AtomicU32,
    netlink: Netlink,
    ipam: Mutex<Ipam>,
    /// The packet rules' data about other nodes. Locked while the rules change, so that they change in the order of the
    /// leases.
    rules: tokio::sync::Mutex<OtherNodes>,
    flows: Flows,
    _lock: Arc<HostLock>,
}

impl LocalNetwork {
    /// Checks the host, then sets up the bridge, the rules and the kernel's settings, and adopts the leases of an
    /// earlier run. Must be called in the host's network namespace; the value lives on the calling runtime.
    pub async fn new(config: LocalConfig) -> Result<LocalNetwork, NetworkError> {
        LocalNetwork::with_lock(config, Arc::new(HostLock::take()?)).await
    }

    /// Like [`LocalNetwork::new`], for a caller that took the lock before it knew the configuration.
    ///
    /// # Errors
    /// As [`LocalNetwork::new`]; the caller keeps the lock and may retry.
    pub async fn with_lock(config: LocalConfig, lock: Arc<HostLock>) -> Result<LocalNetwork, NetworkError> {
        let netlink = Netlink::open()?;
        check_bridge(&netlink, &config).await?;
        preflight(&config).await?;
        let ipam = Ipam::open(&leases_path(&config.state_dir), &config.pod_subnets)?;
        forget_former_subnets(&netlink, &config).await?;
        let created = Created {
            bridge: config.bridge.clone(),
            table: config.table.clone(),
            pod_subnets: config.pod_subnets.clone(),
        };
        state::save(&created_path(&config.state_dir), &created)
            .map_err(io_error("cannot record the network"))?;
        set_up_bridge(&netlink, &config).await?;
        set_sysctls(&sysctl_path(&config.state_dir), &config.pod_subnets)
            .map_err(io_error("cannot change a kernel setting"))?;
        let others = state::load::<OtherNodes>(&nodes_path(&config.state_dir))
            .map_err(io_error("cannot read the record of other nodes"))?
            .unwrap_or_default();
        let pods = ipam.leases().values().map(|lease| (&lease.addresses[..], &lease.host_ports[..]));
        nft::apply(&config.rules().full(pods, &others)).await?;
        foreign::accept_forwarding(&config.cluster_subnets).await?;
        let mtu = match config.mtu {
            Some(mtu) => mtu,
            None => netlink.uplink_mtu().await?.unwrap_or(MTU_DEFAULT),
        };
        let network = LocalNetwork {
            config,
            mtu: AtomicU32::new(mtu),
            netlink,
            ipam: Mutex::new(ipam),
            rules: tokio::sync::Mutex::new(others),
            flows: Flows::default(),
            _lock: lock,
        };
        // Pods of a former run may have links of another MTU, and former versions did not change their links.
        network.set_mtu(mtu).await?;
        for sandbox in network.sandboxes() {
            network.harden(&link_name(&sandbox)).await?;
        }
        Ok(network)
    }

    /// The configuration in use.
    pub fn config(&self) -> &LocalConfig {
        &self.config
    }

    /// The addresses of `sandbox`, if it is set up.
    pub fn addresses(&self, sandbox: &str) -> Option<Vec<IpAddr>> {
        self.ipam.lock().leases().get(sandbox).map(|lease| lease.addresses.clone())
    }

    /// The sandboxes with addresses, so that vanished ones can be torn down after a restart.
    pub fn sandboxes(&self) -> Vec<String> {
        self.ipam.lock().leases().keys().cloned().collect()
    }

    /// The leased addresses of each sandbox.
    pub fn leases(&self) -> Vec<(String, Vec<IpAddr>)> {
        let ipam = self.ipam.lock();
        ipam.leases().iter().map(|(sandbox, lease)| (sandbox.clone(), lease.addresses.clone())).collect()
    }

    /// Leases the addresses that [`LocalNetwork::setup`] will give to `sandbox`, so that rules can be in place before
    /// its first packet. Released by [`LocalNetwork::teardown`].
    pub fn reserve(&self, sandbox: &str) -> Result<Vec<IpAddr>, NetworkError> {
        if let Some(addresses) = self.addresses(sandbox) {
            return Ok(addresses);
        }
        Ok(self.ipam.lock().lease(sandbox, &[], None)?.addresses)
    }

    /// Deletes the link of `sandbox` without freeing its addresses; does nothing if it has none.
    pub async fn disconnect(&self, sandbox: &str) -> Result<(), NetworkError> {
        self.teardown_rules(sandbox).await?;
        self.netlink.delete(&link_name(sandbox)).await?;
        Ok(())
    }

    /// Connects the namespace at `netns` to the pod network and returns its addresses, one for each pod subnet.
    ///
    /// A repeated call for the same sandbox keeps its addresses and recreates its link. After an error nothing remains
    /// of the sandbox.
    pub async fn setup(
        &self,
        netns: &Path,
        sandbox: &str,
        host_ports: &[HostPort],
    ) -> Result<Vec<IpAddr>, NetworkError> {
        let namespace = NetNs::open(netns)?;
        self.teardown_rules(sandbox).await?;
        let lease = self.ipam.lock().lease(sandbox, host_ports, Some(netns))?;
        match self.connect(&namespace, sandbox, &lease).await {
            Ok(()) => Ok(lease.addresses),
            Err(error) => {
                if let Err(after) = self.teardown(sandbox).await {
                    tracing::warn!(
                        sandbox,
                        error = &after as &dyn std::error::Error,
                        "cannot clean up after a failed set-up"
                    );
                }
                Err(error)
            }
        }
    }

    /// Disconnects `sandbox` and frees its addresses and host ports; does nothing if it has none.
    pub async fn teardown(&self, sandbox: &str) -> Result<(), NetworkError> {
        self.teardown_rules(sandbox).await?;
        self.netlink.delete(&link_name(sandbox)).await?;
        if let Some(addresses) = self.addresses(sandbox) {
            // Before another sandbox gets them.
            self.flows.end(addresses).await;
        }
        Ok(self.ipam.lock().release(sandbox)?)
    }

    async fn connect(&self, namespace: &NetNs, sandbox: &str, lease: &Lease) -> Result<(), NetworkError> {
        let name = link_name(sandbox);
        let gateways: Vec<IpAddr> = self.config.gateways().collect();
        let mac = pod_mac(lease.addresses[0]);
        self.netlink.delete(&name).await?;
        let mtu = self.mtu.load(Ordering::Acquire);
        self.netlink.add_veth(&name, namespace, mac, mtu).await?;
        let link = self.netlink.link(&name).await?.ok_or(NetworkError::Io {
            what: "the pod's link vanished",
            source: io::Error::from(io::ErrorKind::NotFound),
        })?;
        for gateway in &gateways {
            self.netlink.add_address(link.index, *gateway).await?;
        }
        self.harden(&name).await?;
        self.netlink.set_up(link.index).await?;
        for address in &lease.addresses {
            self.netlink.add_neighbour(link.index, *address, mac).await?;
            self.netlink.add_route(IpNet::from(*address), link.index, None).await?;
        }
        let addresses = lease.addresses.clone();
        namespace.run(move || configure_pod(addresses, gateways)).await??;
        let current = self.mtu.load(Ordering::Acquire);
        if current != mtu {
            // It was changed in the meantime, and the change may have missed this link.
            self.set_mtu_of(sandbox, lease.namespace.as_deref(), current).await?;
        }
        let order = self.rules.lock().await;
        self.apply(&self.config.rules().add(&lease.addresses, &lease.host_ports)).await?;
        drop(order);
        let host = self.netlink.addresses().await?.iter().map(|(_, address)| address.addr()).collect();
        if let Some(older) = Older::new(&lease.addresses, &lease.host_ports, host) {
            older.end().await;
        }
        Ok(())
    }

    /// Removes the rules of the sandbox's lease, if it has one, and removes its host ports from the lease.
    async fn teardown_rules(&self, sandbox: &str) -> Result<(), NetworkError> {
        let others = self.rules.lock().await;
        let lease = self.ipam.lock().leases().get(sandbox).cloned();
        let Some(lease) = lease else { return Ok(()) };
        if self.apply(&self.config.rules().delete(&lease.addresses, &lease.host_ports)).await.is_err() {
            // The rules do not match the leases, for example after a set-up that failed half-way: rewrite them.
            nft::apply(&self.all_rules(&others, Some(sandbox))).await?;
        }
        if !lease.host_ports.is_empty() {
            self.ipam.lock().lease(sandbox, &[], None)?;
        }
        Ok(())
    }

    async fn apply(&self, transaction: &str) -> Result<(), NetworkError> {
        if transaction.is_empty() {
            return Ok(());
        }
        Ok(nft::apply(transaction).await?)
    }
}

async fn check_bridge(netlink: &Netlink, config: &LocalConfig) -> Result<(), NetworkError> {
    let Some(link) = netlink.link(&config.bridge).await? else { return Ok(()) };
    let recorded = created(&config.state_dir)?;
    match link.alias {
        Some(alias) if alias == config.alias() => Ok(()),
        // A run that ended between making the link and naming its owner.
        None if recorded.is_some_and(|created| created.bridge == config.bridge) => Ok(()),
        alias => {
            let owner = alias.unwrap_or_else(|| "somebody else".to_owned());
            Err(NetworkError::BridgeTaken { name: config.bridge.clone(), owner })
        }
    }
}

/// Removes bridge and routes of an earlier run with other subnets. No pod has an address in those.
async fn forget_former_subnets(netlink: &Netlink, config: &LocalConfig) -> Result<(), NetworkError> {
    let Some(former) = created(&config.state_dir)?.filter(|f| f.pod_subnets != config.pod_subnets) else {
        return Ok(());
    };
    for subnet in &former.pod_subnets {
        netlink.delete_unreachable(*subnet).await?;
    }
    netlink.delete(&former.bridge).await?;
    Ok(())
}

async fn set_up_bridge(netlink: &Netlink, config: &LocalConfig) -> Result<(), NetworkError> {
    if netlink.link(&config.bridge).await?.is_none() {
        netlink.add_bridge(&config.bridge, &config.alias()).await?;
    }
    if let Some(bridge) = netlink.link(&config.bridge).await? {
        for gateway in config.gateways() {
            netlink.add_address(bridge.index, gateway).await?;
        }
        netlink.set_up(bridge.index).await?;
    }
    for subnet in &config.pod_subnets {
        netlink.add_unreachable(*subnet).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
