//! The e2e suite's cases as truth tables, and random clusters compared with the documented behaviour.

use serde_json::json;

use super::*;
use crate::policy::kernel::Kernel;
use crate::policy::testing::{Cluster, NODE, Packet, labels, passes, policy, policy_key, sandbox, tell};

mod e2e;
mod random;

fn tcp(cluster: &Cluster, from: (&str, &str), to: (&str, &str), port: u16) -> Packet {
    packet(cluster, from, to, Protocol::Tcp, port)
}

fn packet(cluster: &Cluster, from: (&str, &str), to: (&str, &str), protocol: Protocol, port: u16) -> Packet {
    let address = |(namespace, name): (&str, &str)| cluster.pod(namespace, name).address;
    Packet { from: address(from), to: address(to), protocol, port }
}

fn deny_all(namespace: &str) -> NetworkPolicy {
    policy(namespace, "deny", json!({"podSelector": {}, "policyTypes": ["Ingress"]}))
}

/// The index's desired state of the kernel, with unchanged numbers.
fn wanted(index: &Index) -> String {
    Kernel::new("t").transaction(index)
}

fn commit(index: &mut Index) {
    index.chains.commit();
    index.sets.commit();
    index.elements.commit();
}

#[test]
fn only_policies_of_this_nodes_pods_cost_the_kernel_something() {
    let mut cluster = Cluster::of_e2e();
    let from = json!([{"namespaceSelector": {}, "podSelector": {"matchLabels": {"pod": "a"}}}]);
    cluster.policies.push(policy("z", "p", json!({"podSelector": {}, "ingress": [{"from": from}]})));
    let mut index = cluster.index();
    assert_eq!(index.chains.all().count() + index.sets.all().count(), 0, "z is on another node");
    cluster.policies[0].metadata.namespace = Some("x".to_owned());
    index.policy_changed(&policy_key(&cluster.policies[0]), Some(&cluster.policies[0]));
    assert_eq!(index.chains.all().count(), 2, "one group for all pods, one policy");
    let names = index.elements.all().into_iter().filter(|(slot, _)| matches!(slot, Slot::Peer(..)));
    assert_eq!(names.count(), 3, "each a");
    for pod in cluster.pods.iter().filter(|pod| pod.namespace == "x") {
        index.detach(&sandbox(pod));
    }
    assert_eq!(index.chains.all().count() + index.sets.all().count(), 0);
    let rest = index.elements.all();
    assert!(rest.iter().all(|(slot, _)| matches!(slot, Slot::Own(_))) && rest.len() == 3, "{rest:?}");
}

#[test]
fn a_change_costs_the_change() {
    let mut cluster = Cluster::of_e2e();
    cluster.policies.push(deny_all("x"));
    let from = json!([{"podSelector": {"matchLabels": {"pod": "b"}}}]);
    cluster.policies.push(policy("x", "b", json!({"podSelector": {}, "ingress": [{"from": from}]})));
    let mut index = cluster.index();
    commit(&mut index);
    let mut pod = cluster.pod("x", "c").clone();
    pod.labels = labels(&[("pod", "b")]);
    index.pod_changed(&pod.key(), Some(Arc::new(pod.object())));
    assert_eq!(index.chains.contents().count(), 0);
    let delta = index.elements.delta();
    assert!(delta.delete.is_empty(), "{delta:?}");
    assert!(matches!(&delta.add[..], [(Slot::Peer(_, address), Value::Member)] if *address == pod.address));
    commit(&mut index);
    // The same again: nothing.
    index.pod_changed(&pod.key(), Some(Arc::new(pod.object())));
    let changed =
        policy("x", "b", json!({"podSelector": {}, "ingress": [{"from": from, "ports": [{"port": 1}]}]}));
    index.policy_changed(&policy_key(&changed), Some(&changed));
    assert!(index.elements.delta().add.is_empty() && index.elements.delta().delete.is_empty());
    assert_eq!(index.chains.changed().count(), 1, "the policy's chain alone");
    assert_eq!(index.chains.added().count() + index.chains.gone().count() + index.sets.added().count(), 0);
}

#[test]
fn sandboxes_keep_their_rules_when_their_pods_objects_go() {
    let mut cluster = Cluster::of_e2e();
    cluster.policies.push(deny_all("x"));
    let mut index = cluster.index();
    let before = wanted(&index);
    let pod = cluster.pod("x", "a").clone();
    index.pod_changed(&pod.key(), None);
    assert_eq!(wanted(&index), before);
    // A new pod of the same name does not own that sandbox.
    let mut again = pod.object();
    again.metadata.uid = "other".into();
    index.pod_changed(&pod.key(), Some(Arc::new(again)));
    assert_eq!(wanted(&index), before);
    assert!(!passes(&index, tcp(&cluster, ("y", "a"), ("x", "a"), 80)));
    index.detach(&sandbox(&pod));
    assert!(passes(&index, tcp(&cluster, ("y", "a"), ("x", "a"), 80)), "the address is nobody's");
}

#[test]
fn pods_in_the_hosts_network_and_ended_ones_are_no_peers() {
    let mut cluster = Cluster::of_e2e();
    let from = json!([{"namespaceSelector": {}}]);
    cluster.policies.push(policy("x", "p", json!({"podSelector": {}, "ingress": [{"from": from}]})));
    let mut index = cluster.index();
    let into_x = tcp(&cluster, ("z", "a"), ("x", "a"), 80);
    assert!(passes(&index, into_x));
    let pod = cluster.pod("z", "a").clone();
    let mut in_host_network = pod.object();
    in_host_network.spec.as_mut().unwrap().host_network = Some(true);
    index.pod_changed(&pod.key(), Some(Arc::new(in_host_network)));
    assert!(!passes(&index, into_x));
    index.pod_changed(&pod.key(), Some(Arc::new(pod.object())));
    assert!(passes(&index, into_x));
    let mut ended = pod.object();
    ended.status.as_mut().unwrap().phase = Some("Succeeded".into());
    index.pod_changed(&pod.key(), Some(Arc::new(ended)));
    assert!(!passes(&index, into_x));
}
