//! The addresses of this machine as a node: those from the flags, or those of the default route's interface, followed
//! when they change.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::{Notify, watch};

use crate::addresses::watch_addresses;

/// How long notifications are collected: an address is usually changed in several steps.
const GATHER: Duration = Duration::from_millis(300);

/// A node's addresses, at most one of each family; the first is the primary one. Clones belong to the same node.
#[derive(Clone, Debug)]
pub struct NodeAddresses {
    current: Arc<watch::Sender<Vec<IpAddr>>>,
    /// Whether they follow the machine's own addresses.
    follows: bool,
}

impl NodeAddresses {
    /// Fixed addresses.
    pub fn fixed(addresses: Vec<IpAddr>) -> NodeAddresses {
        NodeAddresses { current: Arc::new(watch::Sender::new(addresses)), follows: false }
    }

    /// The addresses from which this machine reaches the world, of the families of `cluster_subnets`, the networks of the
    /// cluster's pods.
    ///
    /// # Errors
    /// Where it has none of the first family.
    pub fn of_machine(cluster_subnets: &[IpNet]) -> io::Result<NodeAddresses> {
        let addresses = default_addresses(cluster_subnets)?;
        if addresses.len() < cluster_subnets.len() {
            tracing::warn!("this machine has no address of the cluster's second address family");
        }
        Ok(NodeAddresses { current: Arc::new(watch::Sender::new(addresses)), follows: true })
    }

    /// The current addresses, at least one.
    pub fn get(&self) -> Vec<IpAddr> {
        self.current.borrow().clone()
    }

    /// The current primary address.
    pub fn primary(&self) -> IpAddr {
        self.current.borrow()[0]
    }

    /// Reports changes from now on.
    pub fn subscribe(&self) -> watch::Receiver<Vec<IpAddr>> {
        self.current.subscribe()
    }

    /// Follows the machine's own addresses forever. While it has none, the last ones stay.
    pub async fn follow(&self, cluster_subnets: &[IpNet]) {
        if !self.follows {
            return std::future::pending().await;
        }
        let changed = Arc::new(Notify::new());
        let look = async {
            loop {
                changed.notified().await;
                tokio::time::sleep(GATHER).await;
                if let Ok(now) = default_addresses(cluster_subnets) {
                    self.set(now);
                }
            }
        };
        tokio::select! {
            () = watch_addresses(Arc::clone(&changed)) => {}
            () = look => {}
        }
    }

    fn set(&self, now: Vec<IpAddr>) {
        self.current.send_if_modified(|current| {
            let is_other = *current != now;
            if is_other {
                tracing::warn!(before = ?current, ?now, "this machine's address has changed; the node's \
                    address follows");
                *current = now;
            }
            is_other
        });
    }
}

/// The addresses from which this machine would reach the world, of each family that the cluster has. It may lack one
/// of the second family.
fn default_addresses(cluster_subnets: &[IpNet]) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for network in cluster_subnets {
        match default_address(network.addr().is_ipv4()).and_then(|address| usable(address, cluster_subnets)) {
            Ok(address) => addresses.push(address),
            Err(error) if addresses.is_empty() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(addresses)
}

/// No packet is sent: a datagram socket only looks up its route.
fn default_address(is_v4: bool) -> io::Result<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849), which are never assigned.
    let (any, somewhere) = if is_v4 { ("0.0.0.0:0", "192.0.2.1:9") } else { ("[::]:0", "[2001:db8::1]:9") };
    let socket = UdpSocket::bind(any)?;
    socket.connect(somewhere)?;
    Ok(socket.local_addr()?.ip())
}

/// A machine whose uplink has lost its address would use any other one, such as its pods' gateway.
fn usable(address: IpAddr, cluster_subnets: &[IpNet]) -> io::Result<IpAddr> {
    let is_of_pods = cluster_subnets.iter().any(|network| network.contains(&address));
    if is_of_pods || address.is_loopback() || address.is_unspecified() {
        let why = format!("other machines cannot reach this one at {address}");
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, why));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_told_and_nothing_else() {
        let ips = |text: &str| vec![text.parse::<IpAddr>().unwrap()];
        let addresses = NodeAddresses::fixed(ips("192.0.2.7"));
        let mut told = addresses.subscribe();
        addresses.set(ips("192.0.2.7"));
        assert!(!told.has_changed().unwrap());
        addresses.set(ips("192.0.2.8"));
        assert!(told.has_changed().unwrap());
        assert_eq!(*told.borrow_and_update(), ips("192.0.2.8"));
        assert_eq!((addresses.get(), addresses.primary()), (ips("192.0.2.8"), ips("192.0.2.8")[0]));
    }

    #[test]
    fn addresses_of_pods_are_no_nodes() {
        let cluster: IpNet = "10.42.0.0/16".parse().unwrap();
        let is_usable = |text: &str| usable(text.parse().unwrap(), &[cluster]).is_ok();
        assert!(is_usable("192.0.2.7"));
        assert!(!is_usable("10.42.3.1") && !is_usable("127.0.0.1") && !is_usable("0.0.0.0"));
    }
}
