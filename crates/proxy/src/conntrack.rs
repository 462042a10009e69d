//! Deletes UDP flows that connection tracking still directs to endpoints that are gone.
//!
//! A TCP client notices a dead endpoint. A UDP client that keeps sending from one port keeps its flow's translation
//! alive, and would never reach another endpoint.

use std::collections::{BTreeMap, BTreeSet};

use hostnet::conntrack::{self, ConntrackError, Flow, PROTOCOL_UDP};

use crate::rules::{Family, Front, Protocol, Target};

/// Deletes the UDP flows to `fronts` that do not lead to one of the front's targets; returns their number.
pub(crate) fn end_stale(fronts: &BTreeMap<Front, BTreeSet<Target>>) -> Result<usize, ConntrackError> {
    let has = |family| fronts.keys().any(|front| front.family == family);
    conntrack::end(has(Family::V4), has(Family::V6), |flow| is_stale(flow, fronts))
}

fn is_stale(flow: &Flow, fronts: &BTreeMap<Front, BTreeSet<Target>>) -> bool {
    let Flow { original, reply } = flow;
    if original.protocol != PROTOCOL_UDP {
        return false;
    }
    let (address, port) = (original.destination.ip(), original.destination.port());
    let by_address =
        Front { family: Family::of(address), address: Some(address), protocol: Protocol::Udp, port };
    let by_port = Front { address: None, ..by_address };
    let target = Target { address: reply.source.ip(), port: reply.source.port() };
    let right = fronts.get(&by_address).or_else(|| fronts.get(&by_port));
    right.is_some_and(|right| !right.contains(&target))
}
