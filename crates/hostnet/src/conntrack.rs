//! Deletes flows from connection tracking.
//!
//! This speaks ctnetlink (`linux/netfilter/nfnetlink_conntrack.h`) directly: one dump per family, and one request for
//! each flow to delete. The calls block, and apply to the calling thread's network namespace.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::netlink::{HEADER, NETFILTER_HEADER, aligned, attributes, messages};

const SUBSYSTEM: u16 = 1 << 8;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;
const FLAG_REQUEST: u16 = 1;
const FLAG_ACK: u16 = 4;
const FLAGS_DUMP: u16 = 0x300;
const MESSAGE_ERROR: u16 = 2;
const MESSAGE_DONE: u16 = 3;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const ZONE: u16 = 18;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;

/// UDP's number.
pub const PROTOCOL_UDP: u8 = 17;

/// The kernel refused to list or delete flows.
#[derive(Debug, thiserror::Error)]
#[error("cannot list or delete tracked connections")]
pub struct ConntrackError(#[from] Errno);

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Who sends; the port is 0 in protocols without ports.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// The protocol's number.
    pub protocol: u8,
}

/// A flow: the direction of its first packet, and that of the replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// Before any translation.
    pub original: Tuple,
    /// After translation, in the direction of the replies.
    pub reply: Tuple,
}

impl Flow {
    /// Whether one of its ends is, or is translated to, one of these addresses.
    fn concerns(&self, addresses: &BTreeSet<IpAddr>) -> bool {
        let ends =
            [self.original.source, self.original.destination, self.reply.source, self.reply.destination];
        ends.iter().any(|end| addresses.contains(&end.ip()))
    }
}

/// Deletes the flows from and to these addresses, whatever translates them; returns their number.
///
/// # Errors
/// If the kernel refuses, as one without connection tracking.
pub fn end_of_addresses(addresses: &BTreeSet<IpAddr>) -> Result<usize, ConntrackError> {
    let has = |is_family: fn(&IpAddr) -> bool| addresses.iter().any(is_family);
    end(has(IpAddr::is_ipv4), has(IpAddr::is_ipv6), |flow| flow.concerns(addresses))
}

/// Deletes the flows that are over, of IPv4, IPv6 or both; returns their number.
///
/// # Errors
/// If the kernel refuses, as one without connection tracking.
pub fn end(v4: bool, v6: bool, is_over: impl Fn(&Flow) -> bool) -> Result<usize, ConntrackError> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    let mut ended = 0;
    let families = [(v4, AddressFamily::Inet), (v6, AddressFamily::Inet6)];
    for (_, family) in families.into_iter().filter(|(wanted, _)| *wanted) {
        // Both families in use have small numbers.
        let number = family as i32 as u8;
        request(&socket, GET, FLAGS_DUMP, number, &[])?;
        let mut over = Vec::new();
        receive(&socket, |attributes| {
            if flow(attributes).is_some_and(|flow| is_over(&flow)) {
                over.push(name(attributes));
            }
        })?;
        for name in over {
            request(&socket, DELETE, FLAG_ACK, number, &name)?;
            match receive(&socket, |_| {}) {
                // It has ended by itself in the meantime.
                Err(Errno::ENOENT) => {}
                other => other.map(|()| ended += 1)?,
            }
        }
    }
    Ok(ended)
}

fn flow(bytes: &[u8]) -> Option<Flow> {
    let direction =
        |wanted| attributes(bytes).find(|(kind, ..)| *kind == wanted).and_then(|(.., body)| tuple(body));
    Some(Flow { original: direction(TUPLE_ORIGINAL)?, reply: direction(TUPLE_REPLY)? })
}

/// The attributes that name a flow.
fn name(bytes: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    for (_, whole, _) in attributes(bytes).filter(|(kind, ..)| matches!(*kind, TUPLE_ORIGINAL | ZONE)) {
        name.extend(whole);
        name.resize(aligned(name.len()), 0);
    }
    name
}

fn tuple(body: &[u8]) -> Option<Tuple> {
    let (mut source, mut destination) = (None, None);
    let (mut source_port, mut destination_port, mut protocol) = (0, 0, 0);
    for (kind, _, inner) in attributes(body) {
        for (field, _, value) in attributes(inner) {
            match (kind, field) {
                (TUPLE_IP, 1 | 3) => source = address(value),
                (TUPLE_IP, 2 | 4) => destination = address(value),
                (TUPLE_PROTOCOL, 1) => protocol = *value.first()?,
                (TUPLE_PROTOCOL, 2) => source_port = u16::from_be_bytes(value.try_into().ok()?),
                (TUPLE_PROTOCOL, 3) => destination_port = u16::from_be_bytes(value.try_into().ok()?),
                _ => {}
            }
        }
    }
    Some(Tuple {
        source: SocketAddr::new(source?, source_port),
        destination: SocketAddr::new(destination?, destination_port),
        protocol,
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

fn request(socket: &OwnedFd, kind: u16, flags: u16, family: u8, body: &[u8]) -> Result<(), Errno> {
    let length = HEADER + NETFILTER_HEADER + aligned(body.len());
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).map_err(|_| Errno::EMSGSIZE)?.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((flags | FLAG_REQUEST).to_ne_bytes());
    // Sequence and port: one request is in progress at a time, and the kernel knows the socket.
    message.extend([0; 8]);
    message.extend([family, 0, 0, 0]);
    message.extend(body);
    message.resize(length, 0);
    send(socket.as_raw_fd(), &message, MsgFlags::empty()).map(drop)
}

/// Reads the answer to a request, with `flow` called for the attributes of each flow in it.
fn receive(socket: &OwnedFd, mut flow: impl FnMut(&[u8])) -> Result<(), Errno> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let received = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        for message in messages(&buffer[..received]) {
            match message.kind() {
                MESSAGE_DONE => return Ok(()),
                MESSAGE_ERROR => {
                    let code = message.body().get(..4).and_then(|bytes| bytes.try_into().ok());
                    return match code.map(i32::from_ne_bytes) {
                        Some(0) => Ok(()),
                        error => Err(Errno::from_raw(error.unwrap_or_default().saturating_neg())),
                    };
                }
                _ => flow(message.netfilter_attributes()),
            }
        }
    }
}
