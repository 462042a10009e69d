//! Addresses of pods, leased from the node's subnets and recorded on disk.
//!
//! The record is written before a lease is returned and before an address is free again, so no address is ever leased
//! twice, even across crashes. The search starts after the last leased address: a released one is reused last, which
//! keeps late packets and caches of its previous owner from reaching a new one.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use hostnet::state;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::host_port::{HostPort, Protocol};

/// The leases of one pod sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// One address for each of the node's subnets, in their order.
    pub addresses: Vec<IpAddr>,
    /// The ports of the host that lead to the pod.
    pub host_ports: Vec<HostPort>,
    /// The path of the pod's network namespace. Records of earlier versions lack it.
    #[serde(default)]
    pub namespace: Option<PathBuf>,
}

/// Why no lease was given or released.
#[derive(Debug, thiserror::Error)]
pub enum IpamError {
    /// Every address of the subnet is leased.
    #[error("no free address in {subnet}")]
    Exhausted {
        /// The subnet.
        subnet: IpNet,
    },
    /// Another pod has the host port.
    #[error("host port {port}/{protocol:?} is taken by sandbox {sandbox}")]
    HostPortTaken {
        /// The port of the host.
        port: u16,
        /// Its protocol.
        protocol: Protocol,
        /// Its owner.
        sandbox: String,
    },
    /// A subnet is too small for a gateway and one pod.
    #[error("the pod subnet {subnet} is too small")]
    TooSmall {
        /// The subnet.
        subnet: IpNet,
    },
    /// The record could not be read or written.
    #[error("cannot keep the record of addresses")]
    Record(#[from] io::Error),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    subnets: Vec<IpNet>,
    /// For each subnet, the last leased address.
    last: Vec<IpAddr>,
    /// By sandbox id.
    leases: BTreeMap<String, Lease>,
}

impl Record {
    /// The invariant of every written record: no address and no host port is leased twice.
    fn check(&self) {
        let all = || self.leases.values().flat_map(|lease| &lease.addresses);
        debug_assert_eq!(all().collect::<BTreeSet<_>>().len(), all().count(), "no address is leased twice");
        debug_assert_eq!(
            self.last.len(),
            self.subnets.len(),
            "each subnet has an address that was given last"
        );
        debug_assert!(
            self.leases.iter().all(|(id, lease)| {
                let others = self.leases.iter().filter(|(other, _)| *other != id);
                let mut ports = others.flat_map(|(_, other)| &other.host_ports);
                !ports.any(|taken| lease.host_ports.iter().any(|port| taken.conflicts(port)))
            }),
            "no host port is leased twice"
        );
    }
}

/// The leases of one node.
#[derive(Debug)]
pub(crate) struct Ipam {
    path: PathBuf,
    record: Record,
}

impl Ipam {
    /// Opens the record at `path`, adopting the leases in it. Those in previous subnets of the node stay until they are
    /// released; new sandboxes get an address in the current ones.
    pub(crate) fn open(path: &Path, subnets: &[IpNet]) -> Result<Ipam, IpamError> {
        if let Some(&subnet) = subnets.iter().find(|s| offsets(**s).is_none()) {
            return Err(IpamError::TooSmall { subnet });
        }
        let fresh = || Record {
            subnets: subnets.to_vec(),
            last: subnets.iter().map(|s| gateway(*s)).collect(),
            leases: BTreeMap::new(),
        };
        let record = match state::load::<Record>(path)? {
            Some(record) if record.subnets == subnets => record,
            Some(record) => {
                let pods = record.leases.len();
                if pods > 0 {
                    tracing::warn!(
                        former = ?record.subnets,
                        now = ?subnets,
                        pods,
                        "the node's pod subnets changed: pods keep their previous addresses, which other \
                            nodes cannot reach, until they are recreated; delete them"
                    );
                }
                Record { leases: record.leases, ..fresh() }
            }
            None => fresh(),
        };
        Ok(Ipam { path: path.to_owned(), record })
    }

    pub(crate) fn leases(&self) -> &BTreeMap<String, Lease> {
        &self.record.leases
    }

    /// Leases addresses and host ports to `sandbox`. If it has a lease, it keeps its addresses, and its namespace
    /// unless a new one is given.
    pub(crate) fn lease(
        &mut self,
        sandbox: &str,
        host_ports: &[HostPort],
        namespace: Option<&Path>,
    ) -> Result<Lease, IpamError> {
        self.check_host_ports(sandbox, host_ports)?;
        let mut next = self.record.clone();
        let former = next.leases.get(sandbox);
        let namespace = namespace.or_else(|| former?.namespace.as_deref()).map(Path::to_owned);
        let is_of_subnets = |lease: &&Lease| {
            let mut both = lease.addresses.iter().zip(&next.subnets);
            lease.addresses.len() == next.subnets.len() && both.all(|(address, net)| net.contains(address))
        };
        let addresses = match former.filter(is_of_subnets) {
            Some(lease) => lease.addresses.clone(),
            None => {
                let taken: BTreeSet<IpAddr> =
                    next.leases.values().flat_map(|l| l.addresses.iter().copied()).collect();
                let free = next.subnets.iter().zip(&next.last).map(|(subnet, last)| {
                    next_free(*subnet, *last, &taken).ok_or(IpamError::Exhausted { subnet: *subnet })
                });
                let free = free.collect::<Result<Vec<_>, _>>()?;
                for (subnet, address) in next.subnets.iter().zip(&free) {
                    assert!(
                        subnet.contains(address) && *address != gateway(*subnet),
                        "{address} is a pod's of {subnet}"
                    );
                    assert!(!taken.contains(address), "{address} is free");
                }
                next.last.clone_from(&free);
                free
            }
        };
        let lease = Lease { addresses, host_ports: host_ports.to_vec(), namespace };
        next.leases.insert(sandbox.to_owned(), lease.clone());
        self.commit(next)?;
        Ok(lease)
    }

    /// Ends the lease of `sandbox`, if it has one.
    pub(crate) fn release(&mut self, sandbox: &str) -> Result<(), IpamError> {
        if !self.record.leases.contains_key(sandbox) {
            return Ok(());
        }
        let mut next = self.record.clone();
        next.leases.remove(sandbox);
        self.commit(next)
    }

    fn commit(&mut self, next: Record) -> Result<(), IpamError> {
        next.check();
        state::save(&self.path, &next)?;
        self.record = next;
        Ok(())
    }

    fn check_host_ports(&self, sandbox: &str, wanted: &[HostPort]) -> Result<(), IpamError> {
        let others = self.record.leases.iter().filter(|(id, _)| id.as_str() != sandbox);
        for (id, lease) in others {
            for port in wanted {
                if lease.host_ports.iter().any(|taken| taken.conflicts(port)) {
                    let (port, protocol) = (port.host_port, port.protocol);
                    return Err(IpamError::HostPortTaken { port, protocol, sandbox: id.clone() });
                }
            }
        }
        Ok(())
    }
}

/// The gateway of a subnet: its first address behind the network's own.
pub(crate) fn gateway(subnet: IpNet) -> IpAddr {
    at(subnet, 1)
}

fn at(subnet: IpNet, offset: u128) -> IpAddr {
    match subnet.network() {
        // Offsets stay inside the subnet, so neither addition can overflow nor the cast lose bits.
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() + offset as u32)),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() + offset)),
    }
}

fn offset_of(subnet: IpNet, address: IpAddr) -> Option<u128> {
    match (subnet.network(), address) {
        (IpAddr::V4(network), IpAddr::V4(v4)) => v4.to_bits().checked_sub(network.to_bits()).map(u128::from),
        (IpAddr::V6(network), IpAddr::V6(v6)) => v6.to_bits().checked_sub(network.to_bits()),
        _ => None,
    }
}

/// The offsets of a subnet's first and last address for pods (behind the gateway; before the broadcast address).
fn offsets(subnet: IpNet) -> Option<(u128, u128)> {
    let bits = u32::from(subnet.max_prefix_len() - subnet.prefix_len());
    let last = match subnet {
        IpNet::V4(_) => (1u128 << bits).checked_sub(2)?,
        IpNet::V6(_) => 1u128.checked_shl(bits).unwrap_or(0).wrapping_sub(1),
    };
    (last >= 2).then_some((2, last))
}

fn next_free(subnet: IpNet, last: IpAddr, taken: &BTreeSet<IpAddr>) -> Option<IpAddr> {
    let (low, high) = offsets(subnet)?;
    let start = offset_of(subnet, last).map_or(low, |o| if o >= high { low } else { (o + 1).max(low) });
    // One more candidate than addresses are taken is always enough.
    let candidates = (start..=high).chain(low..start).take(taken.len() + 1);
    candidates.map(|offset| at(subnet, offset)).find(|address| !taken.contains(address))
}

#[cfg(test)]
mod tests;
