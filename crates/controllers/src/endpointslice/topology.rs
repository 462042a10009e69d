//! Hints for Services that ask for topology aware routing (KEP-2433), by the annotation
//! `service.kubernetes.io/topology-mode: Auto`.
//!
//! Each zone gets a share of the endpoints in proportion to its share of the allocatable CPU, preferably those that are
//! in it. If no distribution keeps every endpoint's load within bounds, there are no hints at all. The rules are those
//! of upstream's `staging/src/k8s.io/endpointslice/topologycache`; where upstream picks any zone, this code picks the
//! first by name.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointHints, EndpointSlice, ForZone};
use object::Quantity;
use semantics::{EndpointState, conditions};

use super::spread::Draft;
use crate::framework::labels::Labels;

/// The annotation, and its name before Kubernetes 1.27, which takes precedence if both are set.
const ANNOTATIONS: [&str; 2] =
    ["service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"];
const ZONE: &str = "topology.kubernetes.io/zone";
/// Nodes with these labels serve no applications: their CPU does not count.
const EXCLUDED: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];
/// By how much an endpoint's expected load may exceed the mean.
const OVERLOAD_MAX: f64 = 0.2;

/// Each zone's part of the cluster's allocatable CPU. Empty if it is unknown or if there is only one zone.
pub(super) type Shares = BTreeMap<String, f64>;

/// The number of endpoints by zone.
type Counts = BTreeMap<String, usize>;

/// Why endpoints have no hints although the Service asks for them. The texts are upstream's.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Refusal {
    NodesUnknown,
    TooFewEndpoints { endpoints: usize, zones: usize },
    Overload { endpoints: usize, zones: usize },
    NoZone,
    Nothing,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NodesUnknown => f.write_str(
                "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes",
            ),
            Refusal::TooFewEndpoints { endpoints, zones } => {
                write!(f, "Insufficient number of endpoints ({endpoints} endpoints, {zones} zones)")
            }
            Refusal::Overload { endpoints, zones } => write!(
                f,
                "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold \
                 ({endpoints} endpoints, {zones} zones)"
            ),
            Refusal::NoZone => f.write_str("One or more endpoints do not have a zone specified"),
            Refusal::Nothing => f.write_str("No hints allocated for zones"),
        }
    }
}

/// Whether a Service asks for topology aware routing.
pub(super) fn is_asked(service: &Service) -> bool {
    let annotations = service.metadata.annotations.as_ref();
    let value = annotations.and_then(|all| ANNOTATIONS.iter().find_map(|name| all.get(*name)));
    value.is_some_and(|value| value == "Auto" || value == "auto")
}

/// Whether endpoints of a slice have hints for zones.
pub(super) fn is_hinted(slice: &EndpointSlice) -> bool {
    slice.endpoints.iter().flatten().any(|endpoint| hinted_zones(endpoint).is_some())
}

/// The hints that an endpoint keeps until new ones are assigned: those for zones, if it is still ready.
pub(super) fn keep(present: &Endpoint, wanted: &Endpoint) -> Option<EndpointHints> {
    present.hints.clone().filter(|hints| is_ready(wanted) && hints.for_nodes.is_none())
}

/// A node's relevant data: its zone and allocatable CPU in thousandths; `None` if it does not count.
pub(super) fn capacity(node: &Node) -> Option<(&str, i64)> {
    let labels: Option<&Labels> = node.metadata.labels.as_ref();
    let label = |name: &str| labels.and_then(|labels| labels.get(name));
    let status = node.status.as_ref();
    if !conditions::holds(node, "Ready") || EXCLUDED.iter().any(|name| label(name).is_some()) {
        return None;
    }
    let cpu = status.and_then(|status| status.allocatable.as_ref()).and_then(|all| all.get("cpu"));
    let cpu = cpu.and_then(|cpu| Quantity::parse(&cpu.0).ok()).unwrap_or_default();
    Some((label(ZONE).map_or("", String::as_str), cpu.milli_value()))
}

/// The zones' shares of the CPU. A node without zone or CPU makes all shares unknown.
pub(super) fn shares<'a>(nodes: impl Iterator<Item = &'a Node>) -> Shares {
    let mut by_zone = BTreeMap::<&str, i64>::new();
    for (zone, cpu) in nodes.filter_map(capacity) {
        if zone.is_empty() || cpu == 0 {
            return Shares::new();
        }
        *by_zone.entry(zone).or_default() += cpu;
    }
    let total: i64 = by_zone.values().sum();
    if by_zone.len() < 2 || total == 0 {
        return Shares::new();
    }
    by_zone.into_iter().map(|(zone, cpu)| (zone.to_owned(), cpu as f64 / total as f64)).collect()
}

/// The desired number of endpoints in a zone.
#[derive(Debug, PartialEq)]
struct Allocation {
    max: usize,
    desired: f64,
}

fn allocations(endpoints: usize, shares: &Shares) -> Result<BTreeMap<&str, Allocation>, Refusal> {
    let zones = shares.len();
    if zones == 0 {
        return Err(Refusal::NodesUnknown);
    }
    if zones > endpoints {
        return Err(Refusal::TooFewEndpoints { endpoints, zones });
    }
    let least = |share: f64| (share * endpoints as f64 / (1.0 + OVERLOAD_MAX)).ceil() as usize;
    let total: usize = shares.values().map(|share| least(*share)).sum();
    let Some(left) = endpoints.checked_sub(total) else {
        return Err(Refusal::Overload { endpoints, zones });
    };
    let all = shares.iter().map(|(zone, share)| {
        let min = least(*share);
        let desired = (share * endpoints as f64).max(min as f64);
        (zone.as_str(), Allocation { max: min + left, desired })
    });
    Ok(all.collect())
}

/// Gives the endpoints of one family of addresses their hints. Slices that are not written anyway keep their hints if
/// they are still valid; if hints are refused, no endpoint has any.
///
/// # Errors
/// The reason why there can be no hints.
pub(super) fn hint(drafts: &mut [&mut Draft], shares: &Shares) -> Result<(), Refusal> {
    let given = give(drafts, shares);
    if given.is_err() {
        for draft in drafts {
            draft.change(|endpoints| endpoints.iter_mut().for_each(|endpoint| endpoint.hints = None));
        }
    }
    given
}

fn give(drafts: &mut [&mut Draft], shares: &Shares) -> Result<(), Refusal> {
    let ready =
        drafts.iter().flat_map(|draft| draft.endpoints()).filter(|endpoint| is_ready(endpoint)).count();
    let allocations = allocations(ready, shares)?;
    let mut hinted = Counts::new();
    let mut open: Vec<&mut &mut Draft> = Vec::new();
    for draft in drafts {
        match kept(draft.endpoints(), &hinted, &allocations).filter(|_| !draft.is_changed()) {
            Some(kept) => {
                kept.into_iter().for_each(|(zone, count)| *hinted.entry(zone).or_default() += count)
            }
            None => open.push(draft),
        }
    }
    for endpoint in open.iter().flat_map(|draft| draft.endpoints()).filter(|endpoint| is_ready(endpoint)) {
        let zone = zone(endpoint).ok_or(Refusal::NoZone)?;
        *hinted.entry(zone.to_owned()).or_default() += 1;
    }
    if hinted.is_empty() {
        return Err(Refusal::Nothing);
    }
    let mut moves = Moves::between(&allocations, &hinted);
    for draft in open {
        draft.change(|endpoints| {
            for endpoint in endpoints {
                let own = zone(endpoint).filter(|_| is_ready(endpoint));
                let meant_for = own.map(|own| moves.next(own).unwrap_or_else(|| own.to_owned()));
                endpoint.hints = meant_for
                    .map(|name| EndpointHints { for_zones: Some(vec![ForZone { name }]), for_nodes: None });
            }
        });
    }
    Ok(())
}

fn is_ready(endpoint: &Endpoint) -> bool {
    EndpointState::of_endpoint(endpoint).ready
}

fn zone(endpoint: &Endpoint) -> Option<&str> {
    endpoint.zone.as_deref().filter(|zone| !zone.is_empty())
}

fn hinted_zones(endpoint: &Endpoint) -> Option<&[ForZone]> {
    endpoint.hints.as_ref()?.for_zones.as_deref().filter(|zones| !zones.is_empty())
}

/// Subtracts one from a zone's count; `false` if it is zero.
fn take_one(counts: &mut Counts, zone: &str) -> bool {
    let Some(count) = counts.get_mut(zone) else { return false };
    *count -= 1;
    if *count == 0 {
        counts.remove(zone);
    }
    true
}

/// The hints that a slice has; `None` if it cannot keep them: one is missing, one is for a zone that needs none, or a
/// zone would have so many that the others fall below their minimum.
fn kept(endpoints: &[Endpoint], hinted: &Counts, allocations: &BTreeMap<&str, Allocation>) -> Option<Counts> {
    let mut counts = Counts::new();
    for endpoint in endpoints.iter().filter(|endpoint| is_ready(endpoint)) {
        for zone in hinted_zones(endpoint)? {
            *counts.entry(zone.name.clone()).or_default() += 1;
        }
    }
    let fits = counts.iter().all(|(zone, count)| {
        let others = hinted.get(zone).copied().unwrap_or_default();
        allocations.get(zone.as_str()).is_some_and(|allocation| count + others <= allocation.max)
    });
    fits.then_some(counts)
}

/// How many endpoints each zone gives to and receives from others.
struct Moves {
    giving: Counts,
    receiving: Counts,
}

impl Moves {
    fn between(allocations: &BTreeMap<&str, Allocation>, hinted: &Counts) -> Moves {
        let (mut surplus, mut lack) = (BTreeMap::new(), BTreeMap::new());
        for (zone, allocation) in allocations {
            let excess = hinted.get(*zone).copied().unwrap_or_default() as f64 - allocation.desired;
            if excess > 0.0 {
                surplus.insert(*zone, excess);
            } else if excess < 0.0 {
                lack.insert(*zone, -excess);
            }
        }
        let mut moves = Moves { giving: Counts::new(), receiving: Counts::new() };
        while let (Some((giver, give)), Some((receiver, receive))) = (most(&surplus), most(&lack)) {
            if give.max(receive) < 1.0 || give.min(receive) < 0.5 {
                break;
            }
            *moves.giving.entry(giver.to_owned()).or_default() += 1;
            surplus.insert(giver, give - 1.0);
            *moves.receiving.entry(receiver.to_owned()).or_default() += 1;
            lack.insert(receiver, receive - 1.0);
        }
        moves
    }

    /// The zone that an endpoint of `zone` moves to, if any.
    fn next(&mut self, zone: &str) -> Option<String> {
        let receiver = self.receiving.keys().next()?.clone();
        if !take_one(&mut self.giving, zone) {
            return None;
        }
        take_one(&mut self.receiving, &receiver);
        Some(receiver)
    }
}

/// The zone with the largest number above zero.
fn most<'a>(zones: &BTreeMap<&'a str, f64>) -> Option<(&'a str, f64)> {
    let mut most = None;
    for (zone, number) in zones {
        if *number > most.map_or(0.0, |(_, most)| most) {
            most = Some((*zone, *number));
        }
    }
    most
}

#[cfg(test)]
mod tests;
