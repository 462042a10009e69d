//! The endpoints of a service port, from its EndpointSlices.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::discovery::v1::{Endpoint as ApiEndpoint, EndpointSlice};
use semantics::EndpointState;

use crate::rules::{Family, Protocol, Target};

/// The criteria for using an endpoint.
#[derive(Debug, Clone, Copy, Default)]
struct Traits {
    ready: bool,
    serving: bool,
    terminating: bool,
    local: bool,
    /// Whether the endpoint has hints for nodes or zones at all, and whether they name ours.
    node_hints: Hint,
    zone_hints: Hint,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Hint {
    #[default]
    Absent,
    Elsewhere,
    Here,
}

/// Where this proxy runs.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    pub(crate) node: String,
    /// The node's label `topology.kubernetes.io/zone`.
    pub(crate) zone: Option<String>,
    /// The families to serve.
    pub(crate) families: Vec<Family>,
}

/// The endpoints of one service port and address family, as traffic policies see them. Sorted.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Choice {
    /// For the traffic policy `Cluster`.
    pub(crate) cluster: Vec<Target>,
    /// For the traffic policy `Local`.
    pub(crate) local: Vec<Target>,
    /// Addresses of endpoints on this node, whatever their state: they may reach themselves.
    pub(crate) on_node: Vec<IpAddr>,
}

/// Chooses among the endpoints of `slices` that have the port `name` of `protocol`.
///
/// Terminating endpoints that still serve are used if no endpoint is ready (KEP-1669). Hints (KEP-2433, KEP-3015) are
/// followed only if every ready endpoint has them and one names this node or zone.
pub(crate) fn choose<'a>(
    slices: impl Iterator<Item = &'a EndpointSlice>,
    family: Family,
    name: &str,
    protocol: Protocol,
    place: &Place,
) -> Choice {
    let mut all: BTreeMap<Target, Traits> = BTreeMap::new();
    for slice in slices.filter(|slice| slice.address_type == family.address_type()) {
        let ports = slice.ports.iter().flatten().filter(|port| {
            port.name.as_deref().unwrap_or_default() == name
                && Protocol::parse(port.protocol.as_deref()) == Some(protocol)
        });
        for port in ports.filter_map(|port| u16::try_from(port.port?).ok().filter(|port| *port > 0)) {
            for endpoint in slice.endpoints.iter().flatten() {
                // The first address is the endpoint; others are for other programs (see EndpointSlice's docs).
                let address = endpoint.addresses.first().and_then(|text| text.parse::<IpAddr>().ok());
                let Some(address) = address.filter(|a| Family::of(*a) == family) else { continue };
                let traits = Traits::of(endpoint, place);
                // While a change moves an endpoint from slice to slice it is in both: the better state counts.
                let known = all.entry(Target { address, port }).or_insert(traits);
                if (traits.ready, traits.serving) > (known.ready, known.serving) {
                    *known = traits;
                }
            }
        }
    }
    choice(&all)
}

fn choice(all: &BTreeMap<Target, Traits>) -> Choice {
    let pick = |wanted: &dyn Fn(&Traits) -> bool| -> Vec<Target> {
        all.iter().filter(|(_, traits)| wanted(traits)).map(|(target, _)| *target).collect()
    };
    let hinted = hint(all.values().filter(|t| t.ready));
    let mut cluster = pick(&|t| t.ready && hinted.is_none_or(|hint| hint(t) == Hint::Here));
    if cluster.is_empty() {
        cluster = pick(&Traits::stands_in);
    }
    let mut local = pick(&|t| t.local && t.ready);
    if local.is_empty() {
        local = pick(&|t| t.local && t.stands_in());
    }
    let mut on_node: Vec<IpAddr> = pick(&|t| t.local).iter().map(|target| target.address).collect();
    on_node.dedup();
    Choice { cluster, local, on_node }
}

/// Which hint to follow, if any: hints for nodes come before hints for zones.
fn hint<'a>(ready: impl Iterator<Item = &'a Traits> + Clone) -> Option<fn(&Traits) -> Hint> {
    let candidates: [fn(&Traits) -> Hint; 2] = [|t| t.node_hints, |t| t.zone_hints];
    candidates.into_iter().find(|hint| {
        let mut hints = ready.clone().map(hint);
        hints.clone().all(|h| h != Hint::Absent) && hints.any(|h| h == Hint::Here)
    })
}

impl Traits {
    fn of(endpoint: &ApiEndpoint, place: &Place) -> Traits {
        let state = EndpointState::of_endpoint(endpoint);
        let hints = endpoint.hints.as_ref();
        let nodes = hints.and_then(|h| h.for_nodes.as_deref()).unwrap_or_default();
        let zones = hints.and_then(|h| h.for_zones.as_deref()).unwrap_or_default();
        Traits {
            ready: state.ready,
            serving: state.serving,
            terminating: state.terminating,
            local: endpoint.node_name.as_deref() == Some(place.node.as_str()),
            node_hints: Hint::of(nodes.iter().map(|n| n.name.as_str()), Some(&place.node)),
            zone_hints: Hint::of(zones.iter().map(|z| z.name.as_str()), place.zone.as_ref()),
        }
    }

    fn stands_in(&self) -> bool {
        self.serving && self.terminating
    }
}

impl Hint {
    fn of<'a>(named: impl Iterator<Item = &'a str>, ours: Option<&String>) -> Hint {
        named.fold(Hint::Absent, |hint, name| match hint {
            Hint::Here => Hint::Here,
            _ if ours.is_some_and(|ours| ours == name) => Hint::Here,
            _ => Hint::Elsewhere,
        })
    }
}

/// How many ready endpoints of a family this node has, whatever their ports.
pub(crate) fn local_ready<'a>(
    slices: impl Iterator<Item = &'a EndpointSlice>,
    family: Family,
    place: &Place,
) -> usize {
    let slices = slices.filter(|slice| slice.address_type == family.address_type());
    let endpoints = slices.flat_map(|slice| slice.endpoints.iter().flatten());
    let ready = endpoints.filter(|endpoint| {
        let traits = Traits::of(endpoint, place);
        traits.ready && traits.local
    });
    ready.filter_map(|endpoint| endpoint.addresses.first()).collect::<std::collections::HashSet<_>>().len()
}

/// Orders `wanted` so that as many as possible keep their position in `previous`: a position is a key in the kernel's
/// map, and an endpoint that keeps its position costs nothing.
pub(crate) fn keep_positions(previous: &[Target], wanted: &[Target]) -> Vec<Target> {
    let mut slots: Vec<Option<Target>> = previous.iter().take(wanted.len()).copied().map(Some).collect();
    slots.resize(wanted.len(), None);
    let wanted_set: std::collections::HashSet<&Target> = wanted.iter().collect();
    for slot in &mut slots {
        *slot = slot.filter(|target| wanted_set.contains(target));
    }
    let kept: std::collections::HashSet<Target> = slots.iter().flatten().copied().collect();
    let mut new = wanted.iter().filter(|target| !kept.contains(target)).copied();
    // The number of new endpoints equals the number of open positions, because `wanted` has no duplicates.
    slots.into_iter().filter_map(|slot| slot.or_else(|| new.next())).collect()
}

#[cfg(test)]
mod tests;
