//! The node's own part of the pod network.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hostnet::nft::{self, NftError};
use hostnet::{NetNs, NetNsError, state};
use ipnet::IpNet;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cni;
use crate::firewall::{HostPort, Rules};
use crate::foreign;
use crate::guard::OtherNodes;
use crate::ipam::{self, Ipam, IpamError, Lease};
use crate::link::{LinkError, Netlink, configure_pod, pod_mac};
use crate::lock::HostLock;
use crate::overlay;
use crate::preflight::{PreflightError, preflight};

mod firewalls;
mod flows;
mod mtu;
mod rules;
mod settings;
use flows::Flows;
use settings::{restore_sysctls, set_sysctls};

/// How the names of the host's ends of pods' links begin.
pub(crate) const POD_LINK_PREFIX: &str = "ihv";

/// The MTU where no uplink tells one: Ethernet's.
const MTU_DEFAULT: u32 = 1500;

/// What the network of a node depends on.
#[derive(Debug, Clone)]
pub struct LocalConfig {
    /// Where leases and the record for [`reset`] are kept.
    pub state_dir: PathBuf,
    /// The subnets of this node's pods (`spec.podCIDRs`), at most one of each family.
    pub pod_subnets: Vec<IpNet>,
    /// The subnets of all pods of the cluster (`--cluster-cidr`).
    pub cluster_subnets: Vec<IpNet>,
    /// The subnets of services (`--service-cidr`); only checked for conflicts.
    pub service_subnets: Vec<IpNet>,
    /// The link that holds the gateway addresses.
    pub bridge: String,
    /// The nftables table (family `inet`).
    pub table: String,
    /// The MTU of pods' links, in bytes; `None` takes the uplinks'.
    pub mtu: Option<u32>,
}

impl LocalConfig {
    /// A configuration with the names that `ironhull` uses.
    pub fn new(
        state_dir: impl Into<PathBuf>,
        pod_subnets: Vec<IpNet>,
        cluster_subnets: Vec<IpNet>,
    ) -> LocalConfig {
        LocalConfig {
            state_dir: state_dir.into(),
            pod_subnets,
            cluster_subnets,
            service_subnets: Vec::new(),
            bridge: "ih0".to_owned(),
            table: "ironhull-pods".to_owned(),
            mtu: None,
        }
    }

    /// The gateways of the pod subnets: their first addresses, which the host holds.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        self.pod_subnets.iter().map(|subnet| ipam::gateway(*subnet))
    }

    /// What the bridge's alias says of its owner.
    pub(crate) fn alias(&self) -> String {
        format!("ironhull {}", self.state_dir.display())
    }

    fn rules(&self) -> Rules<'_> {
        Rules { table: &self.table, pod_subnets: &self.pod_subnets, cluster_subnets: &self.cluster_subnets }
    }
}

/// Why the network, or a pod's part of it, could not be set up or removed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The host or the configuration is not fit; nothing was changed.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// Another running instance has this host network.
    #[error("another instance of ironhull runs on this host network")]
    InUse,
    /// A link of the bridge's name exists and is not this state directory's.
    #[error(
        "the link {name} belongs to {owner}: run `ironhull reset` with that data directory, or delete the link"
    )]
    BridgeTaken {
        /// The link.
        name: String,
        /// Its alias, which says whose it is.
        owner: String,
    },
    /// No address or host port was to be had.
    #[error(transparent)]
    Ipam(#[from] IpamError),
    /// The kernel refused a change of links or routes.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The packet rules could not be changed.
    #[error(transparent)]
    Nft(#[from] NftError),
    /// The way to other nodes could not be removed.
    #[error(transparent)]
    Overlay(Box<overlay::OverlayError>),
    /// Plugins of a CNI network did not take pods back.
    #[error(transparent)]
    Cni(Box<cni::CniError>),
    /// The pod's namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] NetNsError),
    /// A record or a kernel setting could not be read or written.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> NetworkError {
    move |source| NetworkError::Io { what, source }
}

/// What [`reset`] must undo, apart from pods' links and kernel settings, which have records of their own.
#[derive(Debug, Serialize, Deserialize)]
struct Created {
    bridge: String,
    table: String,
    pod_subnets: Vec<IpNet>,
}

fn created_path(state_dir: &Path) -> PathBuf {
    state_dir.join("network.json")
}

fn nodes_path(state_dir: &Path) -> PathBuf {
    state_dir.join("nodes.json")
}

fn leases_path(state_dir: &Path) -> PathBuf {
    state_dir.join("leases.json")
}

fn sysctl_path(state_dir: &Path) -> PathBuf {
    state_dir.join("sysctl.json")
}

/// The pod network of this host. Only one can exist on a host network.
pub struct LocalNetwork {
    config: LocalConfig,
    /// Of pods' links, in bytes.
    mtu: AtomicU32,
    netlink: Netlink,
    ipam: Mutex<Ipam>,
    /// What the packet rules know of other nodes. Held while the rules change, so that they change in the order of the
    /// leases.
    rules: tokio::sync::Mutex<OtherNodes>,
    flows: Flows,
    _lock: Arc<HostLock>,
}

impl LocalNetwork {
    /// Checks the host, then sets up the bridge, the rules and the kernel's settings, and adopts the leases of a
    /// former run. Must be called in the host's network namespace; the value lives on the calling runtime.
    pub async fn new(config: LocalConfig) -> Result<LocalNetwork, NetworkError> {
        LocalNetwork::with_lock(config, Arc::new(HostLock::take()?)).await
    }

    /// As [`LocalNetwork::new`], for a caller that took the lock before it knew the configuration.
    ///
    /// # Errors
    /// As of [`LocalNetwork::new`]; the lock stays with the caller, who may try again.
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
        // Pods of a former run may have links of another MTU, and former versions left their links as they came.
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

    /// The addresses that `sandbox` holds, if it is set up.
    pub fn addresses(&self, sandbox: &str) -> Option<Vec<IpAddr>> {
        self.ipam.lock().leases().get(sandbox).map(|lease| lease.addresses.clone())
    }

    /// The sandboxes that hold addresses, so that those of vanished ones can be torn down after a restart.
    pub fn sandboxes(&self) -> Vec<String> {
        self.ipam.lock().leases().keys().cloned().collect()
    }

    /// What each sandbox holds: the addresses of its lease.
    pub fn leases(&self) -> Vec<(String, Vec<IpAddr>)> {
        let ipam = self.ipam.lock();
        ipam.leases().iter().map(|(sandbox, lease)| (sandbox.clone(), lease.addresses.clone())).collect()
    }

    /// Leases the addresses that [`LocalNetwork::setup`] will give to `sandbox`, so that what must stand before its
    /// first packet can be made. Taken back by [`LocalNetwork::teardown`].
    pub fn reserve(&self, sandbox: &str) -> Result<Vec<IpAddr>, NetworkError> {
        if let Some(addresses) = self.addresses(sandbox) {
            return Ok(addresses);
        }
        Ok(self.ipam.lock().lease(sandbox, &[], None)?.addresses)
    }

    /// Cuts `sandbox` off, without freeing its addresses; does nothing if it has no link.
    pub async fn disconnect(&self, sandbox: &str) -> Result<(), NetworkError> {
        self.teardown_rules(sandbox).await?;
        self.netlink.delete(&link_name(sandbox)).await?;
        Ok(())
    }

    /// Connects the namespace at `netns` to the pod network and answers its addresses, one for each pod subnet.
    ///
    /// A repeated call for the same sandbox keeps its addresses and makes its link afresh. After an error nothing of
    /// the sandbox is left.
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
            // Before somebody else gets them.
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
            // It was changed meanwhile, and who changed it may have missed this link.
            self.set_mtu_of(sandbox, lease.namespace.as_deref(), current).await?;
        }
        let _order = self.rules.lock().await;
        self.apply(&self.config.rules().add(&lease.addresses, &lease.host_ports)).await
    }

    /// Removes the rules of the sandbox's lease, if it has one, and takes its host ports out of the lease.
    async fn teardown_rules(&self, sandbox: &str) -> Result<(), NetworkError> {
        let others = self.rules.lock().await;
        let lease = self.ipam.lock().leases().get(sandbox).cloned();
        let Some(lease) = lease else { return Ok(()) };
        if self.apply(&self.config.rules().delete(&lease.addresses, &lease.host_ports)).await.is_err() {
            // The rules are not what the leases say, as after a set-up that failed half-way: write them anew.
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

/// Removes everything that [`LocalNetwork`] made on this host and puts kernel settings back. `state_dir` is that of
/// its configuration; without a record there, nothing is done. The pods are expected to be gone.
///
/// # Errors
/// [`NetworkError::InUse`] while an instance runs. After another error it can be called again.
pub async fn reset(state_dir: &Path) -> Result<(), NetworkError> {
    if state_dir.join(cni::DIRECTORY).exists() {
        let _lock = HostLock::take()?;
        cni::reset(state_dir).await.map_err(|error| NetworkError::Cni(Box::new(error)))?;
    }
    let path = created_path(state_dir);
    let created = state::load::<Created>(&path).map_err(io_error("cannot read the record of the network"))?;
    let Some(created) = created else { return Ok(()) };
    let _lock = HostLock::take()?;
    let netlink = Netlink::open()?;
    let leases_path = leases_path(state_dir);
    for sandbox in Ipam::open(&leases_path, &created.pod_subnets)?.leases().keys() {
        netlink.delete(&link_name(sandbox)).await?;
    }
    nft::delete_tables(&[("inet", &created.table)]).await?;
    overlay::reset(&netlink, state_dir).await.map_err(|error| NetworkError::Overlay(Box::new(error)))?;
    foreign::remove().await?;
    for subnet in &created.pod_subnets {
        netlink.delete_unreachable(*subnet).await?;
    }
    netlink.delete(&created.bridge).await?;
    restore_sysctls(&sysctl_path(state_dir)).map_err(io_error("cannot put a kernel setting back"))?;
    state::remove(&leases_path)
        .and_then(|()| state::remove(&nodes_path(state_dir)))
        .and_then(|()| state::remove(&path))
        .map_err(io_error("cannot remove a record"))
}

/// The name of the host's end of a sandbox's link: 15 bytes at most, so a digest stands for the sandbox.
fn link_name(sandbox: &str) -> String {
    let digest = Sha256::digest(sandbox.as_bytes());
    digest.iter().take(5).fold(POD_LINK_PREFIX.to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

async fn check_bridge(netlink: &Netlink, config: &LocalConfig) -> Result<(), NetworkError> {
    let Some(link) = netlink.link(&config.bridge).await? else { return Ok(()) };
    let recorded = state::load::<Created>(&created_path(&config.state_dir));
    let recorded = recorded.map_err(io_error("cannot read the record of the network"))?;
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

/// Removes bridge and routes of a former run with other subnets. No pod holds an address of those.
async fn forget_former_subnets(netlink: &Netlink, config: &LocalConfig) -> Result<(), NetworkError> {
    let path = created_path(&config.state_dir);
    let former = state::load::<Created>(&path).map_err(io_error("cannot read the record of the network"))?;
    let Some(former) = former.filter(|f| f.pod_subnets != config.pod_subnets) else { return Ok(()) };
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
