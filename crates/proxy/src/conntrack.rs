//! Ends UDP flows that connection tracking still leads to endpoints that are gone.
//!
//! A TCP client notices a dead endpoint. A UDP client that keeps sending from one port keeps its flow's translation
//! alive, and would never reach another endpoint.
//!
//! This speaks ctnetlink (`linux/netfilter/nfnetlink_conntrack.h`) directly: one dump, and one request for each
//! flow to delete.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use hostnet::netlink::{HEADER, NETFILTER_HEADER, aligned, attributes, messages};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::endpoints::Target;
use crate::rules::{Family, Front, Protocol};

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
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const PROTOCOL_UDP: u8 = 17;

/// The kernel refused to list or delete flows.
#[derive(Debug, thiserror::Error)]
#[error("connection tracking: {0}")]
pub(crate) struct ConntrackError(#[from] Errno);

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tuple {
    source: Target,
    destination: Target,
    protocol: u8,
}

/// Ends the UDP flows to `fronts` that do not lead to one of the front's targets; answers how many.
pub(crate) fn end_stale(fronts: &BTreeMap<Front, BTreeSet<Target>>) -> Result<usize, ConntrackError> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    let mut ended = 0;
    for (family, number) in
        [(Family::V4, number_of(AddressFamily::Inet)), (Family::V6, number_of(AddressFamily::Inet6))]
    {
        if !fronts.keys().any(|front| front.family == family) {
            continue;
        }
        request(&socket, GET, FLAGS_DUMP, number, &[])?;
        let mut stale = Vec::new();
        receive(&socket, |attributes| {
            if let Some(original) = stale_tuple(attributes, family, fronts) {
                stale.push(original.to_vec());
            }
        })?;
        for tuple in stale {
            request(&socket, DELETE, FLAG_ACK, number, &tuple)?;
            match receive(&socket, |_| {}) {
                // It ended by itself meanwhile.
                Err(Errno::ENOENT) => {}
                other => other.map(|()| ended += 1)?,
            }
        }
    }
    Ok(ended)
}

fn number_of(family: AddressFamily) -> u8 {
    // Both families in use have small numbers.
    family as i32 as u8
}

/// The attribute with the original tuple of a flow, if the flow is stale.
fn stale_tuple<'a>(
    flow: &'a [u8],
    family: Family,
    fronts: &BTreeMap<Front, BTreeSet<Target>>,
) -> Option<&'a [u8]> {
    let (whole, original) =
        attributes(flow).find(|(kind, ..)| *kind == TUPLE_ORIGINAL).map(|(_, w, b)| (w, b))?;
    let reply = attributes(flow).find(|(kind, ..)| *kind == TUPLE_REPLY).map(|(.., body)| body)?;
    let (original, reply) = (tuple(original)?, tuple(reply)?);
    if original.protocol != PROTOCOL_UDP {
        return None;
    }
    let port = original.destination.port;
    let by_address =
        Front { family, address: Some(original.destination.address), protocol: Protocol::Udp, port };
    let by_port = Front { address: None, ..by_address };
    let right = fronts.get(&by_address).or_else(|| fronts.get(&by_port))?;
    (!right.contains(&reply.source)).then_some(whole)
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
        source: Target { address: source?, port: source_port },
        destination: Target { address: destination?, port: destination_port },
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
    // Sequence and port: one request is under way at a time, and the kernel knows the socket.
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
