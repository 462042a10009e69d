//! Random clusters and changes: the rules behave as documented, regardless of the order of changes.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::policy::testing::TestPod;

const KEYS: [&str; 3] = ["app", "tier", "ns"];
const VALUES: [&str; 3] = ["1", "2", "3"];
const NAMESPACES: [&str; 3] = ["x", "y", "z"];
const PODS: [&str; 3] = ["a", "b", "c"];

fn some_labels() -> impl Strategy<Value = Labels> {
    let word = |words: [&'static str; 3]| proptest::sample::select(words.to_vec()).prop_map(str::to_owned);
    proptest::collection::btree_map(word(KEYS), word(VALUES), 0..3)
}

fn selector() -> impl Strategy<Value = Json> {
    let label = (proptest::sample::select(KEYS.to_vec()), proptest::sample::select(VALUES.to_vec()));
    prop_oneof![
        2 => Just(json!({})),
        4 => label.clone().prop_map(|(key, value)| json!({"matchLabels": {key: value}})),
        1 => label.clone().prop_map(|(key, value)| {
            json!({"matchExpressions": [{"key": key, "operator": "NotIn", "values": [value, "3"]}]})
        }),
        1 => label.prop_map(|(key, _)| json!({"matchExpressions": [{"key": key, "operator": "Exists"}]})),
    ]
}

fn net() -> impl Strategy<Value = String> {
    let length = proptest::sample::select(vec![24u8, 30, 31, 32]);
    (0u8..3, length, 0u8..8).prop_map(|(third, length, host)| format!("10.42.{third}.{host}/{length}"))
}

fn peer() -> impl Strategy<Value = Json> {
    prop_oneof![
        selector().prop_map(|pods| json!({"podSelector": pods})),
        selector().prop_map(|of| json!({"namespaceSelector": of})),
        (selector(), selector()).prop_map(|(of, pods)| json!({"namespaceSelector": of, "podSelector": pods})),
        (net(), proptest::collection::vec(net(), 0..3))
            .prop_map(|(cidr, except)| json!({"ipBlock": {"cidr": cidr, "except": except}})),
        Just(json!({"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.42.1.0/24"]}})),
    ]
}

fn port() -> impl Strategy<Value = Json> {
    let protocol = || proptest::sample::select(vec!["TCP", "UDP", "SCTP"]);
    prop_oneof![
        (protocol(), 79u16..82).prop_map(|(protocol, port)| json!({"protocol": protocol, "port": port})),
        (protocol(), 79u16..81, 0u16..3).prop_map(
            |(protocol, port, more)| json!({"protocol": protocol, "port": port, "endPort": port + more})
        ),
        protocol().prop_map(|protocol| json!({"protocol": protocol})),
        protocol().prop_map(|protocol| json!({"protocol": protocol, "port": "web"})),
        Just(json!({"protocol": "UDP", "port": "serve-81-udp"})),
    ]
}

fn rules(peers: &'static str) -> impl Strategy<Value = Json> {
    let rule = (proptest::collection::vec(peer(), 0..3), proptest::collection::vec(port(), 0..3));
    let rule = rule.prop_map(move |(list, ports)| json!({peers: list, "ports": ports}));
    proptest::collection::vec(rule, 0..3).prop_map(|rules| json!(rules))
}

fn spec() -> impl Strategy<Value = Json> {
    let types = [json!(["Ingress"]), json!(["Egress"]), json!(["Ingress", "Egress"]), json!([])];
    let types = proptest::sample::select(types.to_vec());
    (selector(), types, rules("from"), rules("to")).prop_map(|(pods, types, ingress, egress)| {
        json!({"podSelector": pods, "policyTypes": types, "ingress": ingress, "egress": egress})
    })
}

/// A change of the cluster.
#[derive(Debug, Clone)]
enum Step {
    Policy(usize, usize, Option<Json>),
    Pod(usize, usize, Option<(Labels, bool)>),
    Namespace(usize, Labels),
}

fn step() -> impl Strategy<Value = Step> {
    let pod = proptest::option::weighted(0.8, (some_labels(), any::<bool>()));
    prop_oneof![
        3 => (0usize..3, 0usize..3, proptest::option::weighted(0.8, spec()))
            .prop_map(|(namespace, number, spec)| Step::Policy(namespace, number, spec)),
        2 => (0usize..3, 0usize..3, pod).prop_map(|(namespace, number, pod)| Step::Pod(namespace, number, pod)),
        1 => (0usize..3, some_labels()).prop_map(|(namespace, labels)| Step::Namespace(namespace, labels)),
    ]
}

fn apply(step: Step, cluster: &mut Cluster, index: &mut Index) {
    match step {
        Step::Policy(namespace, number, spec) => {
            let named = |spec| policy(NAMESPACES[namespace], &format!("p{number}"), spec);
            let key = policy_key(&named(json!({})));
            cluster.policies.retain(|other| policy_key(other) != key);
            let policy = spec.map(named);
            index.policy_changed(&key, policy.as_ref());
            cluster.policies.extend(policy);
        }
        Step::Pod(namespace, number, pod) => change_pod(namespace, number, pod, cluster, index),
        Step::Namespace(number, labels) => {
            index.namespace_changed(NAMESPACES[number], Some(labels.clone()));
            cluster.namespaces.insert(NAMESPACES[number].to_owned(), labels);
        }
    }
}

fn change_pod(
    namespace: usize,
    number: usize,
    pod: Option<(Labels, bool)>,
    cluster: &mut Cluster,
    index: &mut Index,
) {
    let address = format!("10.42.{namespace}.{}", number + 1).parse().unwrap();
    let (namespace, name) = (NAMESPACES[namespace].to_owned(), PODS[number].to_owned());
    let old = cluster.pods.iter().position(|pod| pod.namespace == namespace && pod.name == name);
    // A pod does not change its node: it goes, and another one comes.
    if let Some(old) = old.map(|position| cluster.pods.remove(position))
        && pod.as_ref().is_none_or(|(_, here)| *here != old.here)
    {
        index.pod_changed(&old.key(), None);
        index.detach(&sandbox(&old));
    }
    if let Some((labels, here)) = pod {
        let pod = TestPod { namespace, name, labels, address, here };
        tell(index, &pod);
        cluster.pods.push(pod);
    }
}

fn check(cluster: &Cluster, index: &Index) -> Result<(), TestCaseError> {
    let outside: IpAddr = "203.0.113.9".parse().unwrap();
    let addresses: Vec<IpAddr> = cluster.pods.iter().map(|pod| pod.address).chain([outside]).collect();
    for (from, to) in addresses.iter().flat_map(|from| addresses.iter().map(move |to| (*from, *to))) {
        for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
            for port in [79, 80, 81] {
                let packet = Packet { from, to, protocol, port };
                prop_assert_eq!(passes(index, packet), cluster.allows(packet), "{:?}", packet);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn rules_do_what_the_documents_say(steps in proptest::collection::vec(step(), 1..24)) {
        let mut cluster = Cluster::default();
        let mut index = Index::new(NODE);
        for namespace in 0..3 {
            apply(Step::Namespace(namespace, Labels::new()), &mut cluster, &mut index);
        }
        for step in steps {
            apply(step, &mut cluster, &mut index);
            commit(&mut index);
        }
        check(&cluster, &index)?;
        let afresh = cluster.index();
        let sizes = |index: &Index| {
            (index.chains.all().count(), index.sets.all().count(), index.elements.all().len())
        };
        prop_assert_eq!(sizes(&index), sizes(&afresh), "nothing is left over, nothing misses");
    }
}
