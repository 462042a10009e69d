//! Clusters for tests, a model of the kernel with an index's rules, and the documented behaviour for comparison.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use object::ObjectKey;
use serde_json::{Value as Json, json};

use super::index::Index;
use super::pods::{Facts, Labels};
use super::rules::{Chain, Direction, Family, Peer, Ports, Slot, Value, Verdict};
use crate::host_port::Protocol;

pub(crate) const NODE: &str = "here";

/// A packet that opens a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

/// A pod of a test's cluster, on this node or another one.
#[derive(Debug, Clone)]
pub(crate) struct TestPod {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) address: IpAddr,
    pub(crate) here: bool,
}

impl TestPod {
    pub(crate) fn key(&self) -> ObjectKey {
        ObjectKey::namespaced(self.namespace.as_str(), self.name.as_str())
    }

    /// The object: with the ports of the e2e suite's pods, and one of each protocol called `web`.
    pub(crate) fn object(&self) -> client::LeanPod {
        let port = |name: &str, protocol: &str, port: u16| json!({"name": name, "containerPort": port, "protocol": protocol});
        let ports = [
            port("serve-80-tcp", "TCP", 80),
            port("serve-81-tcp", "TCP", 81),
            port("serve-80-udp", "UDP", 80),
            port("serve-81-udp", "UDP", 81),
            port("serve-80-sctp", "SCTP", 80),
            // Another number in each pod called b.
            port("web", "TCP", if self.name.starts_with('b') { 81 } else { 80 }),
        ];
        let pod = json!({
            "metadata": {"namespace": self.namespace, "name": self.name, "uid": self.name, "labels": self.labels},
            "spec": {
                "nodeName": if self.here { NODE } else { "there" },
                "containers": [{"name": "c", "ports": ports}],
            },
            "status": {"phase": "Running", "podIPs": [{"ip": self.address}]},
        });
        serde_json::from_value(pod).unwrap()
    }
}

/// A cluster as the tests see it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cluster {
    pub(crate) namespaces: BTreeMap<String, Labels>,
    pub(crate) pods: Vec<TestPod>,
    pub(crate) policies: Vec<NetworkPolicy>,
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub(crate) fn policy(namespace: &str, name: &str, spec: Json) -> NetworkPolicy {
    let policy = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
    serde_json::from_value(policy).unwrap()
}

pub(crate) fn policy_key(policy: &NetworkPolicy) -> ObjectKey {
    client::meta_key(&policy.metadata)
}

impl Cluster {
    /// The cluster of the e2e suite: pods a, b, c in namespaces x, y, z, with labels `pod` and `ns`. Those of z run
    /// on another node.
    pub(crate) fn of_e2e() -> Cluster {
        let mut cluster = Cluster::default();
        for (i, namespace) in ["x", "y", "z"].into_iter().enumerate() {
            let of_namespace = labels(&[("ns", namespace), ("kubernetes.io/metadata.name", namespace)]);
            cluster.namespaces.insert(namespace.to_owned(), of_namespace);
            for (j, name) in ["a", "b", "c"].into_iter().enumerate() {
                cluster.pods.push(TestPod {
                    namespace: namespace.to_owned(),
                    name: name.to_owned(),
                    labels: labels(&[("pod", name)]),
                    address: format!("10.42.{i}.{}", j + 2).parse().unwrap(),
                    here: namespace != "z",
                });
            }
        }
        cluster
    }

    /// The index of the whole cluster, built at once.
    pub(crate) fn index(&self) -> Index {
        let mut index = Index::new(NODE);
        for (name, labels) in &self.namespaces {
            index.namespace_changed(name, Some(labels.clone()));
        }
        for policy in &self.policies {
            index.policy_changed(&policy_key(policy), Some(policy));
        }
        for pod in &self.pods {
            tell(&mut index, pod);
        }
        index
    }

    pub(crate) fn pod(&self, namespace: &str, name: &str) -> &TestPod {
        self.pods.iter().find(|pod| pod.namespace == namespace && pod.name == name).unwrap()
    }

    /// The documented verdict for a packet, computed naively. Only this node's pods are protected here.
    pub(crate) fn allows(&self, packet: Packet) -> bool {
        let by_address = |address| self.pods.iter().find(|pod| pod.address == address);
        let (from, to) = (by_address(packet.from), by_address(packet.to));
        if packet.from == packet.to {
            return true;
        }
        let ends = [(Direction::Egress, from, packet.to, to), (Direction::Ingress, to, packet.from, from)];
        ends.into_iter().all(|(direction, protected, peer, peer_pod)| {
            let Some(protected) = protected.filter(|pod| pod.here) else { return true };
            let selecting: Vec<_> =
                self.policies.iter().filter(|p| selects(p, protected, direction)).collect();
            let lets = |policy: &&NetworkPolicy| {
                rules_of(policy, direction).into_iter().any(|(peers, ports)| {
                    let peer_fits = peers.is_empty()
                        || peers.iter().any(|one| self.peer_fits(one, policy, peer, peer_pod));
                    let port_fits = ports.is_empty() || ports.iter().any(|port| port_fits(port, packet, to));
                    peer_fits && port_fits
                })
            };
            selecting.is_empty() || selecting.iter().any(lets)
        })
    }

    fn peer_fits(
        &self,
        peer: &NetworkPolicyPeer,
        policy: &NetworkPolicy,
        address: IpAddr,
        pod: Option<&TestPod>,
    ) -> bool {
        if let Some(block) = &peer.ip_block {
            let within = |cidr: &String| cidr.parse::<IpNet>().unwrap().contains(&address);
            return within(&block.cidr) && !block.except.iter().flatten().any(within);
        }
        let Some(pod) = pod else { return false };
        let in_namespace = match &peer.namespace_selector {
            Some(selector) => fits(selector, &self.namespaces[&pod.namespace]),
            None => policy.metadata.namespace.as_deref() == Some(&pod.namespace),
        };
        in_namespace && peer.pod_selector.as_ref().is_none_or(|selector| fits(selector, &pod.labels))
    }
}

/// Adds a pod to an index, with a sandbox if it is on this node.
pub(crate) fn tell(index: &mut Index, pod: &TestPod) {
    let object = pod.object();
    index.pod_changed(&pod.key(), Some(Arc::new(object.clone())));
    if pod.here {
        index.attach(&sandbox(pod), &pod.key(), &pod.name, Facts::of(&object), &[pod.address]);
    }
}

pub(crate) fn sandbox(pod: &TestPod) -> String {
    format!("{}-{}", pod.namespace, pod.name)
}

type Rules = Vec<(Vec<NetworkPolicyPeer>, Vec<NetworkPolicyPort>)>;

fn rules_of(policy: &NetworkPolicy, direction: Direction) -> Rules {
    let spec = policy.spec.clone().unwrap();
    match direction {
        Direction::Ingress => {
            let rules = spec.ingress.unwrap_or_default().into_iter();
            rules.map(|rule| (rule.from.unwrap_or_default(), rule.ports.unwrap_or_default())).collect()
        }
        Direction::Egress => {
            let rules = spec.egress.unwrap_or_default().into_iter();
            rules.map(|rule| (rule.to.unwrap_or_default(), rule.ports.unwrap_or_default())).collect()
        }
    }
}

fn selects(policy: &NetworkPolicy, pod: &TestPod, direction: Direction) -> bool {
    let spec = policy.spec.as_ref().unwrap();
    let name = if direction == Direction::Ingress { "Ingress" } else { "Egress" };
    let types = spec.policy_types.clone().unwrap_or_default();
    let of_direction = match (types.is_empty(), direction) {
        (false, _) => types.iter().any(|one| one == name),
        (true, Direction::Ingress) => true,
        (true, Direction::Egress) => spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
    };
    of_direction
        && policy.metadata.namespace.as_deref() == Some(&pod.namespace)
        && spec.pod_selector.as_ref().is_none_or(|selector| fits(selector, &pod.labels))
}

fn fits(selector: &LabelSelector, labels: &Labels) -> bool {
    let plain = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    plain
        && selector.match_expressions.iter().flatten().all(|expression| {
            let label = labels.get(&expression.key);
            let listed = label.is_some_and(|label| expression.values.iter().flatten().any(|v| v == label));
            match expression.operator.as_str() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => label.is_some(),
                "DoesNotExist" => label.is_none(),
                other => panic!("{other}"),
            }
        })
}

fn port_fits(port: &NetworkPolicyPort, packet: Packet, destination: Option<&TestPod>) -> bool {
    let protocol = format!("{:?}", packet.protocol).to_uppercase();
    if port.protocol.as_deref().unwrap_or("TCP") != protocol {
        return false;
    }
    match &port.port {
        None => true,
        Some(IntOrString::Int(first)) => {
            let last = port.end_port.unwrap_or(*first);
            (*first..=last).contains(&i32::from(packet.port))
        }
        Some(IntOrString::String(name)) => destination.is_some_and(|pod| {
            let named = |((p, n), number): &((Protocol, String), u16)| {
                *p == packet.protocol && n == name && *number == packet.port
            };
            Facts::of(&pod.object()).ports.iter().any(named)
        }),
    }
}

/// The kernel's verdict for a forwarded packet that opens a connection, according to the index's rules.
pub(crate) fn passes(index: &Index, packet: Packet) -> bool {
    let elements: BTreeMap<Slot, Value> = index.elements.all().into_iter().collect();
    let chains: BTreeMap<Chain, _> = index.chains.all().collect();
    let own = packet.from == packet.to && elements.contains_key(&Slot::Own(packet.from));
    let ends = [(Direction::Egress, packet.from), (Direction::Ingress, packet.to)];
    own || ends.into_iter().all(|(direction, pod)| {
        let peer = if direction == Direction::Egress { packet.to } else { packet.from };
        match elements.get(&Slot::Isolated(direction, pod)) {
            None => true,
            Some(Value::Member) => panic!("a map has values"),
            Some(Value::Group(group)) => {
                let group = Chain::Group(direction, *group);
                walk(&chains, &elements, group, packet, peer).expect("a group decides")
            }
        }
    })
}

fn walk(
    chains: &BTreeMap<Chain, &Vec<super::rules::Rule>>,
    elements: &BTreeMap<Slot, Value>,
    chain: Chain,
    packet: Packet,
    peer: IpAddr,
) -> Option<bool> {
    for rule in chains[&chain] {
        let peer_fits = match rule.peer {
            None => true,
            Some(Peer::Block(block)) => block.contains(&peer),
            Some(Peer::Pods(family, scope)) => {
                family == Family::of(peer) && elements.contains_key(&Slot::Peer(scope, peer))
            }
        };
        let port_fits = match rule.ports {
            None => true,
            Some(Ports::All(protocol)) => protocol == packet.protocol,
            Some(Ports::Range(protocol, first, last)) => {
                protocol == packet.protocol && (first..=last).contains(&packet.port)
            }
            Some(Ports::Named(family, protocol, name)) => {
                family == Family::of(packet.to)
                    && protocol == packet.protocol
                    && elements.contains_key(&Slot::Port(name, packet.to, packet.port))
            }
        };
        if !(peer_fits && port_fits) {
            continue;
        }
        match rule.verdict {
            Verdict::Accept => return Some(true),
            Verdict::Drop => return Some(false),
            Verdict::Return => return None,
            Verdict::Jump(next) => {
                if let Some(decision) = walk(chains, elements, next, packet, peer) {
                    return Some(decision);
                }
            }
        }
    }
    None
}
