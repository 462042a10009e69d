//! One NetworkPolicy: parsed into the form that the index keeps, and turned into chains.
//!
//! Both steps are pure. Values that the API server would have refused (an invalid address, an unknown protocol) allow
//! nothing here, so never more than intended.

use std::collections::BTreeMap;
use std::fmt;

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use object::Selector;

use super::rules::{Chain, Direction, Family, Peer, Ports, Rule, Verdict};
use crate::host_port::Protocol;

/// Pods that a peer names: those that match in the namespaces that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) namespaces: Namespaces,
    pub(crate) pods: Selector,
}

/// Namespaces that a peer names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Namespaces {
    /// The policy's own.
    One(String),
    /// Those whose labels match.
    Matching(Selector),
}

impl fmt::Display for Scope {
    /// The same text for equivalent scopes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pods = canonical(&self.pods);
        match &self.namespaces {
            Namespaces::One(namespace) => write!(f, "{namespace}/{pods}"),
            Namespaces::Matching(selector) => write!(f, "[{}]/{pods}", canonical(selector)),
        }
    }
}

fn canonical(selector: &Selector) -> String {
    let Some(requirements) = selector.requirements() else { return "-".to_owned() };
    let mut texts: Vec<String> = requirements.iter().map(ToString::to_string).collect();
    texts.sort_unstable();
    texts.dedup();
    texts.join(",")
}

/// A NetworkPolicy as the index keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The pods of its namespace that it is for.
    pub(crate) pods: Selector,
    /// The allowed traffic by direction; `None` if the policy does not apply to that direction.
    pub(crate) rules: [Option<Vec<Allowed>>; 2],
}

/// One rule of a policy: what matches one of the peers and one of the ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Allowed {
    /// `None` is every peer.
    peers: Option<Vec<Who>>,
    /// `None` is every port of every protocol.
    ports: Option<Vec<What>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Who {
    Pods(Scope),
    Block { block: IpNet, except: Vec<IpNet> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    All(Protocol),
    Range(Protocol, u16, u16),
    Named(Protocol, String),
}

impl Policy {
    /// Reads a policy.
    pub(crate) fn read(policy: &NetworkPolicy) -> Policy {
        let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
        let default = NetworkPolicySpec::default();
        let spec = policy.spec.as_ref().unwrap_or(&default);
        let egress = spec.egress.as_deref().unwrap_or_default();
        let (mut ingress_too, mut egress_too) = (true, !egress.is_empty());
        if let Some(types) = spec.policy_types.as_ref().filter(|types| !types.is_empty()) {
            ingress_too = types.iter().any(|name| name == "Ingress");
            egress_too = types.iter().any(|name| name == "Egress");
        }
        let ingress = spec.ingress.iter().flatten();
        let ingress = ingress.map(|rule| allowed(namespace, rule.from.as_deref(), rule.ports.as_deref()));
        let egress = egress.iter();
        let egress = egress.map(|rule| allowed(namespace, rule.to.as_deref(), rule.ports.as_deref()));
        Policy {
            // A missing selector is like an empty one: all pods of the namespace.
            pods: spec.pod_selector.as_ref().map_or(Selector::everything(), selector),
            rules: [ingress_too.then(|| ingress.collect()), egress_too.then(|| egress.collect())],
        }
    }

    /// The scopes that its rules name, each as often as it is named.
    pub(crate) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        let peers = self.allowed().flat_map(|allowed| allowed.peers.iter().flatten());
        peers.filter_map(|who| if let Who::Pods(scope) = who { Some(scope) } else { None })
    }

    /// The names of ports in its rules, each as often as it is named.
    pub(crate) fn port_names(&self) -> impl Iterator<Item = (Protocol, &str)> {
        let ports = self.allowed().flat_map(|allowed| allowed.ports.iter().flatten());
        ports.filter_map(|what| {
            if let What::Named(protocol, name) = what { Some((*protocol, &**name)) } else { None }
        })
    }

    fn allowed(&self) -> impl Iterator<Item = &Allowed> {
        self.rules.iter().flatten().flatten()
    }

    /// The chains of the policy with this number.
    pub(crate) fn chains(&self, number: u32, numbers: &impl Numbers) -> BTreeMap<Chain, Vec<Rule>> {
        let mut chains = BTreeMap::new();
        for direction in Direction::BOTH {
            if let Some(allowed) = &self.rules[direction.index()] {
                let mut writer = Writer { direction, number, numbers, parts: 0, chains: &mut chains };
                let rules = allowed.iter().flat_map(|allowed| writer.rules(allowed)).collect();
                chains.insert(Chain::Policy(direction, number), rules);
            }
        }
        chains
    }
}

/// The numbers of the parts that policies share.
pub(crate) trait Numbers {
    /// The number of a scope.
    fn scope(&self, scope: &Scope) -> u32;
    /// The number of a port's name.
    fn port_name(&self, protocol: Protocol, name: &str) -> u32;
}

struct Writer<'a, N> {
    direction: Direction,
    number: u32,
    numbers: &'a N,
    parts: u32,
    chains: &'a mut BTreeMap<Chain, Vec<Rule>>,
}

impl<N: Numbers> Writer<'_, N> {
    fn rules(&mut self, allowed: &Allowed) -> Vec<Rule> {
        let ports = allowed.ports.as_ref().map(|ports| self.ports(ports));
        let accept = |ports| Rule { peer: None, ports, verdict: Verdict::Accept };
        let Some(peers) = &allowed.peers else {
            return match ports {
                None => vec![accept(None)],
                Some(ports) => ports.into_iter().map(|ports| accept(Some(ports))).collect(),
            };
        };
        // The remaining conditions once a peer matches.
        let rest = match ports.as_deref() {
            None => accept(None),
            Some([]) => return Vec::new(),
            Some([one]) => accept(Some(*one)),
            Some(many) => {
                let part = self.part(many.iter().map(|ports| accept(Some(*ports))).collect());
                Rule { peer: None, ports: None, verdict: Verdict::Jump(part) }
            }
        };
        peers.iter().flat_map(|who| self.peer(who, rest)).collect()
    }

    fn ports(&self, ports: &[What]) -> Vec<Ports> {
        let one = |what: &What| match what {
            What::All(protocol) => vec![Ports::All(*protocol)],
            What::Range(protocol, first, last) => vec![Ports::Range(*protocol, *first, *last)],
            What::Named(protocol, name) => {
                let number = self.numbers.port_name(*protocol, name);
                Family::BOTH.map(|family| Ports::Named(family, *protocol, number)).to_vec()
            }
        };
        ports.iter().flat_map(one).collect()
    }

    fn peer(&mut self, who: &Who, rest: Rule) -> Vec<Rule> {
        match who {
            Who::Pods(scope) => {
                let scope = self.numbers.scope(scope);
                Family::BOTH.map(|family| Rule { peer: Some(Peer::Pods(family, scope)), ..rest }).to_vec()
            }
            Who::Block { block, except } if except.is_empty() => {
                vec![Rule { peer: Some(Peer::Block(*block)), ..rest }]
            }
            Who::Block { block, except } => {
                let skip = |net: &IpNet| Rule {
                    peer: Some(Peer::Block(*net)),
                    ports: None,
                    verdict: Verdict::Return,
                };
                let part = self.part(except.iter().map(skip).chain([rest]).collect());
                vec![Rule { peer: Some(Peer::Block(*block)), ports: None, verdict: Verdict::Jump(part) }]
            }
        }
    }

    fn part(&mut self, rules: Vec<Rule>) -> Chain {
        let chain = Chain::Part(self.direction, self.number, self.parts);
        self.parts += 1;
        self.chains.insert(chain, rules);
        chain
    }
}

fn allowed(
    namespace: &str,
    peers: Option<&[NetworkPolicyPeer]>,
    ports: Option<&[NetworkPolicyPort]>,
) -> Allowed {
    let peers = peers.filter(|peers| !peers.is_empty());
    let ports = ports.filter(|ports| !ports.is_empty());
    Allowed {
        peers: peers.map(|peers| peers.iter().filter_map(|peer| who(namespace, peer)).collect()),
        ports: ports.map(|ports| ports.iter().filter_map(what).collect()),
    }
}

fn who(namespace: &str, peer: &NetworkPolicyPeer) -> Option<Who> {
    if let Some(block) = &peer.ip_block {
        return read_block(block);
    }
    if peer.pod_selector.is_none() && peer.namespace_selector.is_none() {
        return None;
    }
    let namespaces = match &peer.namespace_selector {
        Some(of) => Namespaces::Matching(selector(of)),
        None => Namespaces::One(namespace.to_owned()),
    };
    let pods = peer.pod_selector.as_ref().map_or(Selector::everything(), selector);
    Some(Who::Pods(Scope { namespaces, pods }))
}

fn read_block(block: &IPBlock) -> Option<Who> {
    let except = block.except.iter().flatten().map(|text| text.parse::<IpNet>());
    let parsed =
        block.cidr.parse::<IpNet>().and_then(|net| Ok((net, except.collect::<Result<Vec<_>, _>>()?)));
    match parsed {
        Ok((net, except)) => Some(Who::Block { block: net.trunc(), except: IpNet::aggregate(&except) }),
        Err(error) => {
            tracing::warn!(cidr = block.cidr, %error, "a NetworkPolicy contains an invalid CIDR block, which allows nothing");
            None
        }
    }
}

fn what(port: &NetworkPolicyPort) -> Option<What> {
    let protocol = match port.protocol.as_deref() {
        None | Some("" | "TCP") => Protocol::Tcp,
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        Some(_) => return None,
    };
    Some(match &port.port {
        None => What::All(protocol),
        Some(IntOrString::String(name)) => What::Named(protocol, name.clone()),
        Some(IntOrString::Int(first)) => {
            let first = u16::try_from(*first).ok()?;
            let last = port.end_port.map_or(Some(first), |last| u16::try_from(last).ok())?;
            (first <= last).then_some(What::Range(protocol, first, last))?
        }
    })
}

/// The matching form of a selector; one that is malformed selects nothing.
fn selector(of: &LabelSelector) -> Selector {
    semantics::try_selector(of).unwrap_or_else(|error| {
        tracing::warn!(%error, "a NetworkPolicy contains an invalid selector, which selects nothing");
        Selector::nothing()
    })
}
