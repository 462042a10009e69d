//! The data path of the backend `udp`: packets of a TUN device, each in a UDP datagram, and back.
//!
//! Nothing is trusted: a datagram is accepted if it comes from a peer's address and port, its inner source is one of
//! that peer's pods or the peer itself, and its inner destination is this node or one of its pods. So no node can send
//! with another's addresses, and none is a relay. All other datagrams are dropped and counted.
//!
//! Each direction is a task with one buffer. The queues are the kernel's, and bounded.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ipnet::IpNet;
use parking_lot::RwLock;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::OverlayError;
use super::tun::open_tun;

/// The longest packet on either side.
const PACKET_MAX: usize = 65_536;
/// How many packets are handled in a row before other tasks of the thread get their turn.
const BATCH: usize = 64;

/// A peer as the data path knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TunnelPeer {
    /// Where its datagrams come from and go to.
    pub(crate) address: SocketAddr,
    /// Its pods' subnets, and its own addresses.
    pub(crate) networks: Vec<IpNet>,
}

/// The configuration of the data path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TunnelPlan {
    /// This node's end.
    pub(crate) local: SocketAddr,
    /// This node's pods' subnets, and its own addresses.
    pub(crate) networks: Vec<IpNet>,
    /// The other nodes.
    pub(crate) peers: Vec<TunnelPeer>,
}

/// A plan, indexed for quick look-ups.
#[derive(Debug, Default)]
struct Table {
    own: Vec<IpNet>,
    /// By the sender of datagrams.
    senders: HashMap<SocketAddr, Vec<IpNet>>,
    /// Whole networks, by their address families and lengths, the longest first.
    lengths: Vec<(bool, u8)>,
    targets: HashMap<IpNet, SocketAddr>,
}

impl Table {
    fn new(plan: &TunnelPlan) -> Table {
        let mut table = Table { own: plan.networks.clone(), ..Table::default() };
        for peer in &plan.peers {
            table.senders.insert(peer.address, peer.networks.clone());
            for network in &peer.networks {
                table.targets.insert(network.trunc(), peer.address);
                table.lengths.push((network.addr().is_ipv4(), network.prefix_len()));
            }
        }
        table.lengths.sort_by(|one, other| other.cmp(one));
        table.lengths.dedup();
        table
    }

    /// The peer to which a packet of this node is sent, if any.
    fn target(&self, packet: &[u8]) -> Option<SocketAddr> {
        let (_, destination) = ends(packet)?;
        let of_family = self.lengths.iter().filter(|(ipv4, _)| *ipv4 == destination.is_ipv4());
        of_family
            .filter_map(|(_, length)| IpNet::new(destination, *length).ok())
            .find_map(|network| self.targets.get(&network.trunc()).copied())
    }

    /// Whether a packet from `sender` is accepted.
    fn admits(&self, sender: SocketAddr, packet: &[u8]) -> bool {
        let Some((source, destination)) = ends(packet) else { return false };
        let within = |networks: &[IpNet], address| networks.iter().any(|network| network.contains(&address));
        let sent = self.senders.get(&sender).is_some_and(|networks| within(networks, source));
        sent && within(&self.own, destination)
    }
}

/// The source and destination of an IP packet; `None` if it is not one, or is truncated.
fn ends(packet: &[u8]) -> Option<(IpAddr, IpAddr)> {
    let v4 = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(packet.get(at..at + 4)?).ok()?).into());
    let v6 = |at: usize| Some(Ipv6Addr::from(<[u8; 16]>::try_from(packet.get(at..at + 16)?).ok()?).into());
    match packet.first()? >> 4 {
        4 if packet.len() >= 20 => Some((v4(12)?, v4(16)?)),
        6 if packet.len() >= 40 => Some((v6(8)?, v6(24)?)),
        _ => None,
    }
}

/// A running data path. It ends when dropped; the device stays, without carrier, until it is deleted.
pub(super) struct Tunnel {
    shared: Arc<Shared>,
    local: SocketAddr,
    tasks: JoinSet<()>,
}

struct Shared {
    table: RwLock<Arc<Table>>,
    /// Dropped packets: without a known destination, or not accepted.
    dropped: AtomicU64,
}

impl Tunnel {
    /// Creates the device `name`, or takes it over, and starts to carry packets. Must be called in the host's network
    /// namespace.
    ///
    /// # Errors
    /// Without `/dev/net/tun`, and where the port is taken.
    pub(super) async fn open(name: &str, plan: &TunnelPlan) -> Result<Tunnel, OverlayError> {
        let socket = UdpSocket::bind(plan.local).await.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => OverlayError::PortInUse { port: plan.local.port() },
            _ => OverlayError::Tunnel { what: "open the socket of the backend udp", source },
        })?;
        let tun = open_tun(name)
            .map_err(|source| OverlayError::Tunnel { what: "make a TUN device (module tun)", source })?;
        let shared =
            Arc::new(Shared { table: RwLock::new(Arc::new(Table::new(plan))), dropped: AtomicU64::new(0) });
        let (tun, socket) = (Arc::new(tun), Arc::new(socket));
        let mut tasks = JoinSet::new();
        tasks.spawn(report("send", send(Arc::clone(&tun), Arc::clone(&socket), Arc::clone(&shared))));
        tasks.spawn(report("receive", receive(tun, socket, Arc::clone(&shared))));
        Ok(Tunnel { shared, local: plan.local, tasks })
    }

    /// Applies a changed plan; returns false if that requires a new tunnel.
    pub(super) fn follow(&mut self, plan: &TunnelPlan) -> bool {
        // A task that ended did so because its device or socket was gone.
        if self.local != plan.local || self.tasks.try_join_next().is_some() {
            return false;
        }
        *self.shared.table.write() = Arc::new(Table::new(plan));
        true
    }

    /// Ends the tunnel; socket and device are free when this returns.
    pub(super) async fn close(mut self) {
        self.tasks.shutdown().await;
        let dropped = self.shared.dropped.load(Ordering::Relaxed);
        tracing::debug!(dropped, "the tunnel over UDP ends");
    }
}

async fn report(direction: &'static str, work: impl Future<Output = io::Result<()>>) {
    if let Err(error) = work.await {
        tracing::warn!(%error, direction, "the tunnel over UDP failed");
    }
}

async fn send(tun: Arc<AsyncFd<OwnedFd>>, socket: Arc<UdpSocket>, shared: Arc<Shared>) -> io::Result<()> {
    let mut buffer = vec![0; PACKET_MAX];
    loop {
        let mut ready = tun.readable().await?;
        let table = Arc::clone(&shared.table.read());
        for _ in 0..BATCH {
            let read =
                ready.try_io(|tun| nix::unistd::read(tun.as_fd(), &mut buffer).map_err(io::Error::from));
            // Not ready after all: the next packet wakes us.
            let Ok(read) = read else { break };
            let packet = &buffer[..read?];
            let sent = match table.target(packet) {
                // A packet that the kernel refuses is lost, as on any network; the sender's transport retransmits it.
                Some(target) => send_one(&socket, packet, target).await.is_ok(),
                None => false,
            };
            if !sent {
                shared.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
        tokio::task::consume_budget().await;
    }
}

async fn send_one(socket: &UdpSocket, packet: &[u8], target: SocketAddr) -> io::Result<usize> {
    match socket.try_send_to(packet, target) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.send_to(packet, target).await,
        done => done,
    }
}

async fn receive(tun: Arc<AsyncFd<OwnedFd>>, socket: Arc<UdpSocket>, shared: Arc<Shared>) -> io::Result<()> {
    let mut buffer = vec![0; PACKET_MAX];
    loop {
        socket.ready(Interest::READABLE).await?;
        let table = Arc::clone(&shared.table.read());
        for _ in 0..BATCH {
            let (length, sender) = match socket.try_recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The error of an earlier datagram, which does not affect this socket.
                Err(_) => continue,
            };
            let packet = &buffer[..length];
            if !table.admits(sender, packet) {
                shared.dropped.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            match nix::unistd::write(tun.as_fd(), packet) {
                Ok(_) => {}
                // The device is down at the moment, or the packet is invalid; if the device is gone, the task ends.
                Err(nix::errno::Errno::EIO | nix::errno::Errno::EINVAL | nix::errno::Errno::EAGAIN) => {
                    shared.dropped.fetch_add(1, Ordering::Relaxed);
                }
                Err(errno) => return Err(errno.into()),
            }
        }
        tokio::task::consume_budget().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(source: &str, destination: &str) -> Vec<u8> {
        let (source, destination): (IpAddr, IpAddr) = (source.parse().unwrap(), destination.parse().unwrap());
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                [&[0x45][..], &[0; 11], &source.octets(), &destination.octets()].concat()
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                [&[0x60][..], &[0; 7], &source.octets(), &destination.octets()].concat()
            }
            _ => panic!("two families"),
        }
    }

    #[test]
    fn packets_go_to_their_node_and_come_only_from_it() {
        let at = |text: &str| -> SocketAddr { text.parse().unwrap() };
        let nets =
            |texts: &[&str]| -> Vec<IpNet> { texts.iter().map(|text| text.parse().unwrap()).collect() };
        let table = Table::new(&TunnelPlan {
            local: at("192.0.2.1:8285"),
            networks: nets(&["10.42.1.0/24", "fd42:0:0:1::/64", "192.0.2.1/32"]),
            peers: vec![
                TunnelPeer {
                    address: at("192.0.2.2:8285"),
                    networks: nets(&["10.42.2.0/24", "fd42:0:0:2::/64", "192.0.2.2/32"]),
                },
                TunnelPeer {
                    address: at("192.0.2.3:8285"),
                    networks: nets(&["10.42.3.0/24", "192.0.2.3/32"]),
                },
            ],
        });
        for (source, destination, target) in [
            ("10.42.1.2", "10.42.2.9", Some("192.0.2.2:8285")),
            ("10.42.1.2", "192.0.2.3", Some("192.0.2.3:8285")),
            ("fd42:0:0:1::2", "fd42:0:0:2::9", Some("192.0.2.2:8285")),
            ("10.42.1.2", "10.42.4.1", None),
            ("fe80::1", "ff02::2", None),
        ] {
            assert_eq!(table.target(&packet(source, destination)), target.map(at), "to {destination}");
        }
        assert_eq!(table.target(&[]), None);
        assert_eq!(table.target(&[0x45, 0, 0]), None);
        for (sender, source, destination, admitted) in [
            ("192.0.2.2:8285", "10.42.2.2", "10.42.1.2", true),
            ("192.0.2.2:8285", "192.0.2.2", "10.42.1.2", true),
            ("192.0.2.2:8285", "10.42.2.2", "192.0.2.1", true),
            ("192.0.2.2:8285", "fd42:0:0:2::2", "fd42:0:0:1::2", true),
            // With another node's address.
            ("192.0.2.2:8285", "10.42.3.2", "10.42.1.2", false),
            // From a stranger, or from a program of the peer that is not its agent.
            ("192.0.2.9:8285", "10.42.2.2", "10.42.1.2", false),
            ("192.0.2.2:999", "10.42.2.2", "10.42.1.2", false),
            // Relayed by this node.
            ("192.0.2.2:8285", "10.42.2.2", "10.42.3.2", false),
            ("192.0.2.2:8285", "10.42.2.2", "198.51.100.1", false),
        ] {
            assert_eq!(
                table.admits(at(sender), &packet(source, destination)),
                admitted,
                "{sender}: {source} to {destination}"
            );
        }
        assert!(!table.admits(at("192.0.2.2:8285"), &[0x45]));
    }
}
