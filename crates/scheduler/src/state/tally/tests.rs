//! The maintained counts equal a recount.

use std::collections::{BTreeMap, BTreeSet};

use crate::state::snapshot::Known;
use crate::state::{AffinityTerm, Counted, NodeFilter, NodeInfo, PodInfo, Snapshot};
use crate::testing::random::RandomCluster;

/// The amounts of the nodes that take part, by the value of a label.
fn recount(
    snapshot: &Snapshot,
    key: &str,
    takes_part: impl Fn(&NodeInfo) -> bool,
    amount: impl Fn(&PodInfo) -> i64,
) -> BTreeMap<String, i64> {
    let mut counted = BTreeMap::new();
    for node in snapshot.nodes().filter(|node| takes_part(node)) {
        let value = if key.is_empty() { Some(&*node.name) } else { node.label(key) };
        if let Some(value) = value {
            *counted.entry(value.to_owned()).or_default() +=
                node.pods.iter().map(|pod| amount(pod)).sum::<i64>();
        }
    }
    counted
}

fn assert_same(kept: &Counted, anew: &BTreeMap<String, i64>, what: &str) {
    let some: BTreeMap<&str, i64> = anew
        .iter()
        .filter(|(_, count)| **count != 0)
        .map(|(value, count)| (value.as_str(), *count))
        .collect();
    assert_eq!(kept.by_value(), some, "{what}");
    assert_eq!(kept.domains(), anew.len(), "domains of {what}");
    assert_eq!(kept.least(), anew.values().min().copied(), "the least of {what}");
    assert_eq!(kept.is_empty(), some.is_empty(), "{what}");
}

type Terms = fn(&PodInfo) -> &Vec<AffinityTerm>;

fn check(snapshot: &Snapshot) -> usize {
    let Known { queries, by_node, carried: [refused, demanded, wished] } = snapshot.known_counts();
    let namespaces = snapshot.namespaces();
    for (query, key, filter, kept) in &queries {
        let meant = |pod: &PodInfo| i64::from(pod.is_meant_by(query, namespaces));
        let anew = recount(snapshot, key, |node| filter.admits(node), meant);
        assert_same(kept, &anew, &format!("{} by {key} among {filter:?}", query.text()));
    }
    for (query, kept) in &by_node {
        for node in snapshot.nodes() {
            let meant = node.pods.iter().filter(|pod| pod.is_meant_by(query, namespaces)).count();
            assert_eq!(kept.at(node), meant as i64, "{} on {}", query.text(), node.name);
        }
    }
    let mut ids: [BTreeSet<String>; 3] = Default::default();
    for node in snapshot.nodes() {
        for pod in &node.pods {
            ids[0].extend(pod.pod_terms.required_anti_affinity.iter().map(|term| term.id.to_string()));
            ids[1].extend(pod.pod_terms.required_affinity.iter().map(|term| term.id.to_string()));
            ids[2].extend(pod.pod_terms.wishes().map(|(_, term)| term.id.to_string()));
        }
    }
    let required: [(_, Terms); 2] = [
        (&refused, |pod| &pod.pod_terms.required_anti_affinity),
        (&demanded, |pod| &pod.pod_terms.required_affinity),
    ];
    for (at, (carried, terms)) in required.into_iter().enumerate() {
        for (term, kept) in carried {
            let of = |pod: &PodInfo| terms(pod).iter().filter(|other| other.id == term.id).count() as i64;
            assert_same(kept, &recount(snapshot, &term.topology_key, |_| true, of), &term.id);
            ids[at].remove(&*term.id);
        }
    }
    for (term, kept) in &wished {
        let of = |pod: &PodInfo| {
            let same = pod.pod_terms.wishes().filter(|(_, other)| other.id == term.id);
            same.map(|(weight, _)| weight).sum()
        };
        assert_same(kept, &recount(snapshot, &term.topology_key, |_| true, of), &term.id);
        ids[2].remove(&*term.id);
    }
    assert_eq!(ids, <[BTreeSet<String>; 3]>::default(), "terms of running pods that are not kept count of");
    queries.len()
}

#[test]
fn counts_follow_whatever_happens() {
    for seed in 0..10 {
        let mut cluster = RandomCluster::new(seed);
        let mut most = 0;
        for _ in 0..60 {
            cluster.step();
            // A query that is used now has to be correct from now on.
            let pod = cluster.random_pod();
            let snapshot = cluster.cache.snapshot();
            let profile = crate::plugins::default_profile();
            drop(profile.prepare(&pod, snapshot));
            let nodes: Vec<_> = snapshot.nodes().collect();
            profile.run_score(&pod, snapshot, &nodes, &mut vec![0; nodes.len()], &mut Vec::new());
            most = most.max(check(snapshot));
        }
        assert!(most > 20, "seed {seed} asks for too little");
        assert!(cluster.cache.snapshot().knows_labels());
        cluster.pods.iter().for_each(|(pod, _)| drop(cluster.cache.remove_pod(&pod.uid)));
        assert!(!cluster.cache.snapshot().knows_labels(), "what is gone leaves nothing behind");
        check(cluster.cache.snapshot());
    }
}

#[test]
fn queries_that_nobody_asks_for_make_room() {
    let mut cluster = RandomCluster::new(1);
    for number in 0..super::QUERIES_MAX + 10 {
        let selector = crate::testing::raw_pod(
            "p",
            serde_json::json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": {"app": format!("a{number}")}}}]}),
        );
        let pod = PodInfo::new(selector.into());
        let query = &pod.pod_terms.hard_spread[0].query;
        cluster.cache.snapshot().count(query, "zone", &NodeFilter::default());
    }
    let known = check(cluster.cache.snapshot());
    assert_eq!(known, super::QUERIES_MAX);
}
