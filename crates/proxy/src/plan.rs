//! From one Service and its EndpointSlices to elements and chains.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::endpoints::{Choice, Place, choose, keep_positions, local_ready};
use crate::health::Check;
use crate::rules::{Family, Front, OwnChain, OwnKind, Pick, Protocol, Slot, Target, Value};

/// Upstream's `DefaultClientIPServiceAffinitySeconds`.
const AFFINITY_SECONDS_DEFAULT: i32 = 10_800;

/// Labels that take a Service or a slice out of this proxy's hands: it is another proxy's (KEP-2447), or has no
/// address.
const FOREIGN_LABELS: [&str; 2] =
    ["service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"];

/// Whether an object with these labels must be ignored by this proxy.
pub(crate) fn is_foreign(meta: &ObjectMeta) -> bool {
    meta.labels.as_ref().is_some_and(|labels| FOREIGN_LABELS.iter().any(|label| labels.contains_key(*label)))
}

/// The kernel's state for one Service.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Elements of shared sets and maps; each slot once.
    pub(crate) elements: Vec<(Slot, Value)>,
    /// Chains of the service's own, by family and name.
    pub(crate) chains: BTreeMap<(Family, String), Vec<String>>,
    /// Sets that remember clients, by family and name, with their timeout in seconds.
    pub(crate) sets: BTreeMap<(Family, String), i32>,
    /// Shared chains that the elements lead to.
    pub(crate) picks: BTreeSet<(Family, Pick)>,
    /// The endpoints behind each UDP front: flows to others are stale.
    pub(crate) udp: BTreeMap<Front, BTreeSet<Target>>,
    /// The answer to load balancers at the Service's health check port.
    pub(crate) check: Option<Check>,
}

/// A list of endpoints: of a port, in a family, on this node or anywhere.
pub(crate) type ListKey = (Family, Protocol, u16, bool);

/// Numbers for chains, never used twice.
#[derive(Debug, Default)]
pub(crate) struct Numbers(u32);

impl Numbers {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

/// State that is kept from plan to plan of one Service.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) positions: BTreeMap<ListKey, Vec<Target>>,
    /// Numbers of the chains of a port.
    pub(crate) ports: BTreeMap<(Family, Protocol, u16), u32>,
    /// Numbers of the chains of an endpoint of a port.
    pub(crate) endpoints: BTreeMap<(Family, Protocol, u16, Target), u32>,
}

/// Plans `service`. `memory` is the state after its last plan, and is updated.
pub(crate) fn plan(
    service: &Service,
    slices: &BTreeMap<String, Arc<EndpointSlice>>,
    place: &Place,
    memory: &mut Memory,
    numbers: &mut Numbers,
) -> Plan {
    let mut plan = Plan::default();
    let previous = std::mem::take(&mut memory.positions);
    let Some(spec) = service.spec.as_ref().filter(|spec| is_ours(service, spec)) else { return plan };
    plan.check = check(spec, slices, place);
    for port in spec.ports.iter().flatten() {
        let Some(protocol) = Protocol::parse(port.protocol.as_deref()) else { continue };
        for family in place.families.iter().copied() {
            let name = port.name.as_deref().unwrap_or_default();
            let slices = slices.values().map(Arc::as_ref);
            let mut choice = choose(slices, family, name, protocol, place);
            let mut planner =
                PortPlanner { plan: &mut plan, memory, numbers, spec, service, port, protocol, family };
            planner.order(&mut choice, &previous);
            planner.fronts(&choice);
        }
    }
    memory.endpoints.retain(|(family, ..), id| plan.sets.contains_key(&(*family, clients_set(*id))));
    plan.elements.sort_unstable_by_key(|(slot, _)| *slot);
    plan.elements.dedup_by_key(|(slot, _)| *slot);
    plan
}

/// Load balancers ask for a node's health if it matters which nodes have endpoints.
fn check(spec: &ServiceSpec, slices: &BTreeMap<String, Arc<EndpointSlice>>, place: &Place) -> Option<Check> {
    let is_local = spec.external_traffic_policy.as_deref() == Some("Local");
    let port =
        spec.health_check_node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)?;
    if spec.type_.as_deref() != Some("LoadBalancer") || !is_local {
        return None;
    }
    let of_family = |family| local_ready(slices.values().map(Arc::as_ref), family, place);
    // A pod with addresses of both families is one endpoint.
    let endpoints = place.families.iter().map(|family| of_family(*family)).max().unwrap_or_default();
    Some(Check { port, endpoints })
}

/// Headless services are DNS's business alone, and external names too.
fn is_ours(service: &Service, spec: &ServiceSpec) -> bool {
    let address = spec.cluster_ip.as_deref().unwrap_or_default();
    !is_foreign(&service.metadata)
        && spec.type_.as_deref() != Some("ExternalName")
        && !matches!(address, "" | "None")
}

/// The addresses in `texts` of one family; others are skipped.
fn addresses<'a>(texts: impl Iterator<Item = &'a String>, family: Family) -> impl Iterator<Item = IpAddr> {
    texts.filter_map(|text| text.parse().ok()).filter(move |address| Family::of(*address) == family)
}

/// The set of clients that were led to the endpoint with this number.
fn clients_set(endpoint: u32) -> String {
    format!("clients_{endpoint}")
}

/// How a front treats its clients.
#[derive(Clone, Copy)]
struct Policy {
    /// Only endpoints of this node.
    local: bool,
    /// Clients may be outside of the cluster.
    external: bool,
}

struct PortPlanner<'a> {
    plan: &'a mut Plan,
    memory: &'a mut Memory,
    numbers: &'a mut Numbers,
    spec: &'a ServiceSpec,
    service: &'a Service,
    port: &'a ServicePort,
    protocol: Protocol,
    family: Family,
}

impl PortPlanner<'_> {
    fn port_number(&self) -> u16 {
        u16::try_from(self.port.port).unwrap_or_default()
    }

    /// Brings the endpoint lists into the order of the last plan.
    fn order(&mut self, choice: &mut Choice, previous: &BTreeMap<ListKey, Vec<Target>>) {
        for (list, local) in [(&mut choice.cluster, false), (&mut choice.local, true)] {
            let key = (self.family, self.protocol, self.port_number(), local);
            let before = previous.get(&key).map(Vec::as_slice).unwrap_or_default();
            *list = keep_positions(before, list);
            self.memory.positions.insert(key, list.clone());
        }
    }

    fn fronts(&mut self, choice: &Choice) {
        let (family, spec) = (self.family, self.spec);
        let internal =
            Policy { local: spec.internal_traffic_policy.as_deref() == Some("Local"), external: false };
        let external =
            Policy { local: spec.external_traffic_policy.as_deref() == Some("Local"), external: true };
        let single = spec.cluster_ip.iter().filter(|_| spec.cluster_ips.as_ref().is_none_or(Vec::is_empty));
        for address in addresses(spec.cluster_ips.iter().flatten().chain(single), family) {
            self.plan.elements.push((Slot::ClusterIp(address), Value::Member));
            self.front(Some(address), self.port_number(), internal, choice);
        }
        let status = self.service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = status.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
        let to_us =
            ingress.iter().filter(|i| i.ip_mode.as_deref() != Some("Proxy")).filter_map(|i| i.ip.as_ref());
        let balancer: Vec<IpAddr> =
            addresses(to_us, family).filter(|_| spec.type_.as_deref() == Some("LoadBalancer")).collect();
        for address in addresses(spec.external_ips.iter().flatten(), family).chain(balancer.iter().copied()) {
            self.front(Some(address), self.port_number(), external, choice);
        }
        if let Some(node_port) =
            self.port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|p| *p > 0)
        {
            self.front(None, node_port, external, choice);
        }
        self.firewall(&balancer);
        let on_node = choice.on_node.iter().map(|address| (Slot::Hairpin(*address), Value::Member));
        self.plan.elements.extend(on_node);
    }

    fn front(&mut self, address: Option<IpAddr>, port: u16, policy: Policy, choice: &Choice) {
        let front = Front { family: self.family, address, protocol: self.protocol, port };
        let list = if policy.local { &choice.local } else { &choice.cluster };
        if self.protocol == Protocol::Udp {
            let targets = list.iter().chain(&choice.cluster).copied().collect();
            self.plan.udp.insert(front, targets);
        }
        if choice.cluster.is_empty() && choice.local.is_empty() {
            self.plan.elements.push((Slot::Refuse(front), Value::Reject));
            return;
        }
        if list.is_empty() {
            // There are endpoints elsewhere: clients should look there instead of considering the Service gone.
            self.plan.elements.push((Slot::Refuse(front), Value::Drop));
        } else {
            self.serve(front, false, list, policy.external && !policy.local, policy.local);
        }
        if policy.external && policy.local && !choice.cluster.is_empty() {
            // Clients inside of the cluster lose no address by a detour, so they reach every endpoint.
            self.serve(front, true, &choice.cluster, false, false);
        }
    }

    /// Leads `front` to the endpoints of `list`.
    fn serve(&mut self, front: Front, inside: bool, list: &[Target], masquerade: bool, local: bool) {
        let value = if self.affinity_seconds().is_some() {
            Value::Own(self.affinity(list, inside, masquerade, local))
        } else {
            for (position, target) in (0..).zip(list) {
                let slot = Slot::Endpoint { front, inside, position };
                self.plan.elements.push((slot, Value::Endpoint(*target)));
            }
            let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
            let pick = Pick {
                protocol: self.protocol,
                node_port: front.address.is_none(),
                inside,
                masquerade,
                count,
            };
            self.plan.picks.insert((self.family, pick));
            Value::Pick(pick)
        };
        self.plan.elements.push((Slot::Serve { front, inside }, value));
    }

    fn affinity_seconds(&self) -> Option<i32> {
        let wanted = self.spec.session_affinity.as_deref() == Some("ClientIP");
        let config = self.spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        wanted.then(|| config.and_then(|c| c.timeout_seconds).unwrap_or(AFFINITY_SECONDS_DEFAULT))
    }

    fn port_id(&mut self) -> u32 {
        let key = (self.family, self.protocol, self.port_number());
        *self.memory.ports.entry(key).or_insert_with(|| self.numbers.next())
    }

    /// Makes the chains of a port with session affinity and returns the one to begin with. Each endpoint has a chain,
    /// and a set of the clients that were led to it.
    fn affinity(&mut self, list: &[Target], inside: bool, masquerade: bool, local: bool) -> OwnChain {
        let id = self.port_id();
        let kind = if local { OwnKind::Local } else { OwnKind::Cluster };
        let chain = OwnChain { kind, id };
        let endpoints: Vec<u32> = list.iter().map(|target| self.affinity_endpoint(*target)).collect();
        let ip = self.family.nft();
        let known = endpoints.iter().map(|name| format!("{ip} saddr @clients_{name} goto endpoint_{name}"));
        let count = endpoints.len();
        let chosen = endpoints.iter().enumerate().map(|(position, name)| match count - position {
            1 => format!("goto endpoint_{name}"),
            rest => format!("numgen random mod {rest} 0 goto endpoint_{name}"),
        });
        self.plan.chains.insert((self.family, chain.name()), known.chain(chosen).collect());
        let (kind, mark) = match (inside, masquerade) {
            (true, _) => (OwnKind::Inside, "fib saddr type local jump mark_masquerade"),
            (false, true) => (OwnKind::ClusterMasquerade, "jump mark_masquerade"),
            (false, false) => return chain,
        };
        let first = OwnChain { kind, id };
        let rules = vec![mark.to_owned(), format!("goto {}", chain.name())];
        self.plan.chains.insert((self.family, first.name()), rules);
        first
    }

    /// Makes chain and set of one endpoint and returns the number in their names.
    fn affinity_endpoint(&mut self, target: Target) -> u32 {
        let key = (self.family, self.protocol, self.port_number(), target);
        let name = *self.memory.endpoints.entry(key).or_insert_with(|| self.numbers.next());
        let (ip, seconds) = (self.family.nft(), self.affinity_seconds().unwrap_or(AFFINITY_SECONDS_DEFAULT));
        let to = match target.address {
            IpAddr::V4(v4) => format!("{v4}:{}", target.port),
            IpAddr::V6(v6) => format!("[{v6}]:{}", target.port),
        };
        let protocol = self.protocol.nft();
        let rules = vec![
            format!("update @clients_{name} {{ {ip} saddr timeout {seconds}s }}"),
            format!("meta l4proto {protocol} dnat to {to}"),
        ];
        self.plan.chains.insert((self.family, format!("endpoint_{name}")), rules);
        self.plan.sets.insert((self.family, clients_set(name)), seconds);
        name
    }

    /// Limits the load balancer's addresses to `loadBalancerSourceRanges`.
    fn firewall(&mut self, balancer: &[IpAddr]) {
        let nets = self.spec.load_balancer_source_ranges.iter().flatten();
        let nets: Vec<ipnet::IpNet> = nets.filter_map(|text| text.trim().parse().ok()).collect();
        if balancer.is_empty() || nets.is_empty() {
            return;
        }
        let chain = OwnChain { kind: OwnKind::Firewall, id: self.port_id() };
        let ours = nets.iter().filter(|net| Family::of(net.addr()) == self.family);
        let allow = ours.map(|net| format!("{} saddr {net} return", self.family.nft()));
        let rules = allow.chain(std::iter::once("drop".to_owned())).collect();
        self.plan.chains.insert((self.family, chain.name()), rules);
        for address in balancer {
            let (family, protocol, port) = (self.family, self.protocol, self.port_number());
            let front = Front { family, address: Some(*address), protocol, port };
            self.plan.elements.push((Slot::Firewall(front), Value::Own(chain)));
        }
    }
}
