//! Spread and affinity, compared with plugins that keep no counts and look at all pods for every node. Clusters and
//! pods are random, from a seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::framework::{Filter, PreFilter, Score};
use crate::plugins::{InterPodAffinity, PodTopologySpread, default_profile};
use crate::state::{AffinityTerm, Cache, NodeInfo, PodInfo, Snapshot, SpreadConstraint};
use crate::testing::random::RandomCluster;

/// The pods in the domain of a node, with their nodes; `None` if it is in none.
fn domain<'s>(
    snapshot: &'s Snapshot,
    key: &'s str,
    node: &NodeInfo,
) -> Option<impl Iterator<Item = (&'s NodeInfo, &'s PodInfo)>> {
    let value = node.label(key)?.to_owned();
    let inside = snapshot.nodes().filter(move |other| other.label(key) == Some(&*value));
    Some(inside.flat_map(|node| node.pods.iter().map(move |pod| (node, &**pod))))
}

fn counts(constraint: &SpreadConstraint, all: &[SpreadConstraint], pod: &PodInfo, node: &NodeInfo) -> bool {
    all.iter().all(|each| node.label(&each.topology_key).is_some())
        && (constraint.ignore_affinity || node.fulfils(&pod.node_terms))
        && (!constraint.honor_taints || node.is_tolerated_by(pod.tolerations()))
}

fn is_counted(constraint: &SpreadConstraint, pod: &PodInfo, other: &PodInfo) -> bool {
    other.key.namespace == pod.key.namespace
        && !other.is_deleting()
        && constraint.selector.matches(other.labels())
}

/// Whether a node passes the hard constraints.
fn spread_allows(pod: &PodInfo, snapshot: &Snapshot, node: &NodeInfo) -> bool {
    let all = &pod.pod_terms.hard_spread;
    all.iter().all(|constraint| {
        let mut by_value: BTreeMap<&str, i64> = BTreeMap::new();
        for node in snapshot.nodes().filter(|node| counts(constraint, all, pod, node)) {
            let meant = node.pods.iter().filter(|other| is_counted(constraint, pod, other));
            *by_value.entry(node.label(&constraint.topology_key).unwrap()).or_default() +=
                meant.count() as i64;
        }
        let Some(value) = node.label(&constraint.topology_key) else { return false };
        let least = match by_value.values().min() {
            _ if (by_value.len() as i64) < constraint.domains_min => 0,
            Some(least) => *least,
            None => i64::from(i32::MAX),
        };
        let own = i64::from(constraint.selector.matches(pod.labels()));
        by_value.get(value).copied().unwrap_or(0) + own - least <= constraint.skew_max
    })
}

/// Whether a node passes the required terms of both sides.
fn affinity_allows(pod: &PodInfo, snapshot: &Snapshot, node: &NodeInfo) -> bool {
    let meant = |term: &AffinityTerm, other: &PodInfo| other.is_meant_by(&term.query, snapshot.namespaces());
    let wanted = &pod.pod_terms.required_affinity;
    let all_meant = |other: &PodInfo| wanted.iter().all(|term| meant(term, other));
    let met = |node: &NodeInfo, term: &AffinityTerm| {
        domain(snapshot, &term.topology_key, node).is_some_and(|mut pods| pods.any(|(_, pod)| all_meant(pod)))
    };
    let first = all_meant(pod) && !snapshot.nodes().any(|node| wanted.iter().any(|term| met(node, term)));
    let together =
        wanted.iter().all(|term| node.label(&term.topology_key).is_some() && (first || met(node, term)));
    let apart = pod.pod_terms.required_anti_affinity.iter().all(|term| {
        domain(snapshot, &term.topology_key, node)
            .is_none_or(|mut pods| !pods.any(|(_, pod)| meant(term, pod)))
    });
    let left_alone = snapshot.nodes().all(|other_node| {
        other_node.pods.iter().flat_map(|other| &other.pod_terms.required_anti_affinity).all(|term| {
            let key = &term.topology_key;
            !meant(term, pod) || node.label(key).is_none() || node.label(key) != other_node.label(key)
        })
    });
    together && apart && left_alone
}

/// The weight of the preferences of both sides on a node.
fn affinity_weight(pod: &PodInfo, snapshot: &Snapshot, node: &NodeInfo) -> i64 {
    let mut weight = 0;
    for (other_node, other) in snapshot.nodes().flat_map(|node| node.pods.iter().map(move |pod| (node, pod)))
    {
        let near = |key: &str| node.label(key).is_some() && node.label(key) == other_node.label(key);
        let theirs =
            other.pod_terms.wishes().filter(|(_, term)| pod.is_meant_by(&term.query, snapshot.namespaces()));
        weight += theirs.filter(|(_, term)| near(&term.topology_key)).map(|(weight, _)| weight).sum::<i64>();
        let ours = pod.pod_terms.preferred.iter();
        let ours = ours.filter(|term| other.is_meant_by(&term.term.query, snapshot.namespaces()));
        weight += ours.filter(|term| near(&term.term.topology_key)).map(|term| term.weight).sum::<i64>();
    }
    weight
}

/// The weight of the soft constraints on a node, given all feasible nodes.
fn spread_weight(pod: &PodInfo, snapshot: &Snapshot, feasible: &[&NodeInfo], node: &NodeInfo) -> i64 {
    let all = &pod.pod_terms.soft_spread;
    let has_all = |node: &&&NodeInfo| all.iter().all(|each| node.label(&each.topology_key).is_some());
    if !has_all(&&node) {
        return -1;
    }
    let weighted = all.iter().map(|constraint| {
        let key = &constraint.topology_key;
        let is_hostname = key == "kubernetes.io/hostname";
        let inside = domain(snapshot, key, node).unwrap();
        let pods = inside.filter(|(other_node, other)| {
            is_counted(constraint, pod, other)
                && if is_hostname {
                    other_node.name == node.name
                } else {
                    counts(constraint, all, pod, other_node)
                }
        });
        let scored = feasible.iter().filter(has_all);
        let mut values: Vec<_> = scored.map(|node| node.label(key)).collect();
        if !is_hostname {
            values.sort();
            values.dedup();
        }
        pods.count() as f64 * ((values.len() + 2) as f64).ln() + (constraint.skew_max - 1) as f64
    });
    weighted.sum::<f64>().round() as i64
}

fn allowed<P: Filter>(plugin: &P, pod: &PodInfo, snapshot: &Snapshot, node: &NodeInfo) -> bool {
    match plugin.pre_filter(pod, snapshot) {
        PreFilter::Skip => true,
        PreFilter::Check(state) => plugin.filter(&state, pod, node).is_ok(),
        other => panic!("these plugins check all nodes: {}", matches!(other, PreFilter::Reject(_))),
    }
}

#[test]
fn verdicts_and_scores_are_those_of_a_recount() {
    let (mut allowed_in_all, mut verdicts) = (0, 0);
    for seed in 100..120 {
        let mut cluster = RandomCluster::new(seed);
        for step in 0..30 {
            cluster.step();
            let pod = cluster.random_pod();
            let snapshot = cluster.cache.snapshot();
            let nodes: Vec<&NodeInfo> = snapshot.nodes().collect();
            let (spread, affinity) = (PodTopologySpread, InterPodAffinity);
            let soft = spread.pre_score(&pod, snapshot, &nodes);
            let preferred = affinity.pre_score(&pod, snapshot, &nodes);
            for node in &nodes {
                let what = format!("seed {seed}, step {step}, node {}", node.name);
                let found = allowed(&spread, &pod, snapshot, node);
                assert_eq!(found, spread_allows(&pod, snapshot, node), "spread: {what}");
                verdicts += 1;
                allowed_in_all += usize::from(found);
                let found = allowed(&affinity, &pod, snapshot, node);
                assert_eq!(found, affinity_allows(&pod, snapshot, node), "affinity: {what}");
                let weight = preferred.as_ref().map_or(0, |state| affinity.score(state, &pod, node));
                assert_eq!(weight, affinity_weight(&pod, snapshot, node), "affinity's score: {what}");
                if let Some(soft) = &soft {
                    let weight = spread.score(soft, &pod, node);
                    assert_eq!(weight, spread_weight(&pod, snapshot, &nodes, node), "spread's score: {what}");
                }
            }
        }
    }
    assert!(allowed_in_all > verdicts / 10 && allowed_in_all < verdicts, "{allowed_in_all} of {verdicts}");
}

/// The verdicts of all filters of the default profile about each node.
fn all_verdicts(cache: &mut Cache, pod: &PodInfo) -> Vec<(String, bool)> {
    let profile = default_profile();
    let snapshot = cache.snapshot();
    let filters = profile.prepare(pod, snapshot).ok();
    let passes = |node: &NodeInfo| filters.as_ref().is_some_and(|filters| filters.check(node).is_ok());
    snapshot.nodes().map(|node| (node.name.to_string(), passes(node))).collect()
}

/// The same if some pods were gone from a node and another were there.
fn suppose(
    cache: &mut Cache,
    pod: &PodInfo,
    name: &str,
    going: &[(Arc<PodInfo>, String)],
    comer: &Arc<PodInfo>,
) -> Option<Vec<(String, bool)>> {
    let profile = default_profile();
    let snapshot = cache.snapshot();
    let filters = profile.prepare(pod, snapshot).ok()?;
    let mut simulation = filters.simulate(snapshot.node_named(name).unwrap());
    going.iter().for_each(|(pod, _)| simulation.remove(&pod.uid));
    simulation.add(comer);
    let verdict = |node: &NodeInfo| {
        let here = *node.name == *name;
        let verdict = if here { simulation.check() } else { simulation.check_elsewhere(node) };
        (node.name.to_string(), verdict.is_ok())
    };
    Some(snapshot.nodes().map(verdict).collect())
}

#[test]
fn what_is_supposed_is_what_it_would_be() {
    for seed in 200..230 {
        let mut cluster = RandomCluster::new(seed);
        let (pod, comer) = (cluster.random_pod(), cluster.random_pod());
        // Some filters skip a pod without terms about others unless there are nominated pods.
        let nominated = cluster.random_pod();
        cluster.cache.nominations().set(nominated, "nowhere");
        let names: Vec<String> = cluster.cache.snapshot().nodes().map(|node| node.name.to_string()).collect();
        for name in names {
            let here = cluster.pods.iter().filter(|(_, node)| *node == name);
            let going: Vec<_> = here.take(2).cloned().collect();
            let Some(supposed) = suppose(&mut cluster.cache, &pod, &name, &going, &comer) else { continue };
            going.iter().for_each(|(pod, _)| drop(cluster.cache.remove_pod(&pod.uid)));
            cluster.cache.set_pod(comer.clone(), &name);
            assert_eq!(supposed, all_verdicts(&mut cluster.cache, &pod), "seed {seed}, node {name}");
            cluster.cache.remove_pod(&comer.uid);
            going.iter().for_each(|(pod, node)| drop(cluster.cache.set_pod(pod.clone(), node)));
        }
    }
}
