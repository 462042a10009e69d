//! Captured packets for tests.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use hostnet::NetNs;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, setsockopt, socket, sockopt,
};

use crate::overlay::Mac;
use crate::{NetworkError, ResetError};

/// How long a condition may take to become true on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits for a condition.
pub(crate) fn eventually<T>(what: &str, attempt: impl Fn() -> Result<T, String>) -> T {
    let start = tokio::time::Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(last) => assert!(start.elapsed() < LIMIT, "{what}: {last}"),
        }
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// All frames on the links of a namespace.
pub(crate) struct Capture(OwnedFd);

impl Capture {
    pub(crate) fn open(namespace: &NetNs) -> Capture {
        let open = || async {
            let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
            let all = socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).unwrap();
            setsockopt(&all, sockopt::RcvBufForce, &(64 << 20)).unwrap();
            all
        };
        Capture(namespace.block_on(open).unwrap())
    }

    /// The packets since the last call, until `wanted` matches.
    pub(crate) fn find<T>(&self, what: &str, wanted: impl Fn(&[u8]) -> Option<T>) -> T {
        eventually(what, || self.next(&wanted).ok_or_else(|| "no such frame".to_owned()))
    }

    pub(crate) fn next<T>(&self, mut wanted: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        let mut buffer = vec![0; 1 << 17];
        while let Ok(length) = recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            if let Some(found) = wanted(&buffer[..length]) {
                return Some(found);
            }
        }
        None
    }
}

/// The parts of an IP packet that tests look at.
pub(crate) struct Ip<'p> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) is_fragment: bool,
    pub(crate) payload: &'p [u8],
}

pub(crate) fn ip_packet(packet: &[u8]) -> Option<Ip<'_>> {
    let v4 = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&packet[at..at + 4]).unwrap());
    let v6 = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&packet[at..at + 16]).unwrap());
    match packet.first()? >> 4 {
        4 if packet.len() >= 20 => Some(Ip {
            source: v4(12),
            destination: v4(16),
            protocol: packet[9],
            is_fragment: u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0,
            payload: &packet[usize::from(packet[0] & 15) * 4..],
        }),
        6 if packet.len() >= 40 => Some(Ip {
            source: v6(8),
            destination: v6(24),
            protocol: packet[6],
            is_fragment: packet[6] == 44,
            payload: &packet[40..],
        }),
        _ => None,
    }
}

/// Destination, source and content of an Ethernet frame that carries IP.
pub(crate) fn ethernet(frame: &[u8]) -> Option<(Mac, Mac, &[u8])> {
    let is_ip = matches!(frame.get(12..14)?, [8, 0] | [0x86, 0xdd]);
    is_ip.then_some((Mac::from_bytes(&frame[..6])?, Mac::from_bytes(&frame[6..12])?, &frame[14..]))
}

/// The content of a UDP datagram to `port`.
pub(crate) fn datagram<'p>(packet: &Ip<'p>, port: u16) -> Option<&'p [u8]> {
    let to_port = packet.protocol == 17 && packet.payload.get(2..4)? == port.to_be_bytes();
    to_port.then(|| &packet.payload[8..])
}

/// Sends a datagram in a namespace, from an address that it has.
pub(crate) fn send_from(namespace: &NetNs, from: SocketAddr, to: SocketAddr, payload: &[u8]) {
    let work = || async {
        let socket = UdpSocket::bind(from).unwrap_or_else(|error| panic!("{from}: {error}"));
        // An error of an earlier one is reported here; the next attempt is for this one.
        socket.send_to(payload, to).or_else(|_| socket.send_to(payload, to))
    };
    namespace.block_on(work).unwrap().unwrap_or_else(|error| panic!("{from} to {to}: {error}"));
}

/// Waits for a datagram to `victim`, port 9, from `source`, which sends last. The test fails if one from another sender
/// arrived before it.
pub(crate) fn comes_alone(capture: &Capture, what: &str, source: IpAddr, victim: IpAddr) {
    capture.find(what, |frame| {
        let packet = ip_packet(ethernet(frame)?.2)?;
        datagram(&packet, 9)?;
        if packet.destination != victim {
            return None;
        }
        assert_eq!(packet.source, source, "{what}: to {victim}");
        Some(())
    });
}

/// Runs code that needs the host network for itself. A process that another test starts right now holds all sockets,
/// and with them the lock, until it has its own program.
pub(crate) async fn once_free<T, E: Into<ResetError>>(attempt: impl AsyncFn() -> Result<T, E>) -> T {
    let free = async {
        loop {
            match attempt().await.map_err(E::into) {
                Err(ResetError::Local(NetworkError::InUse)) => tokio::task::yield_now().await,
                done => return done.unwrap_or_else(|error| panic!("{error}")),
            }
        }
    };
    tokio::time::timeout(LIMIT, free).await.expect("the host network is free")
}

/// Why code that needs the host network for itself is refused, once it has it: see [`once_free`].
pub(crate) async fn refusal_once_free<T>(attempt: impl AsyncFn() -> Result<T, NetworkError>) -> NetworkError {
    let refusal = async {
        loop {
            match attempt().await.err().expect("it is refused") {
                NetworkError::InUse => tokio::task::yield_now().await,
                why => return why,
            }
        }
    };
    tokio::time::timeout(LIMIT, refusal).await.expect("the host network is free")
}
