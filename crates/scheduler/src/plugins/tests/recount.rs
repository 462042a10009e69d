//! Spread and affinity, compared with plugins that keep no counts and look at all pods for every node. Clusters and
//! pods are random, from a seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use object::{Requirement, Selector};
use serde_json::json;

use crate::framework::{Filter, PreFilter, Score};
use crate::plugins::{InterPodAffinity, PodTopologySpread, default_profile};
use crate::state::{
    AffinityTerm, Cache, NodeInfo, PodInfo, PodQuery, Selecting, Snapshot, SpreadConstraint, SpreadRule,
};
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

/// The constraints of a pod of one kind.
struct Constraints {
    all: Vec<SpreadConstraint>,
    /// Whether only nodes count that have the labels of all of them.
    need_all_labels: bool,
}

/// The default constraints that a pod is expected to have.
struct Expected {
    hard: Vec<SpreadRule>,
    soft: Vec<SpreadRule>,
    need_all_labels: bool,
}

impl Expected {
    fn constraints(&self, cluster: &RandomCluster, pod: &PodInfo, hard: bool) -> Constraints {
        if pod.pod_terms.has_spread() {
            let own = if hard { &pod.pod_terms.hard_spread } else { &pod.pod_terms.soft_spread };
            return Constraints { all: own.clone(), need_all_labels: true };
        }
        let like = like(cluster, pod).map(Arc::new);
        let rules = if hard { &self.hard } else { &self.soft };
        let constraint = |rule: &SpreadRule| {
            let query = Arc::new(PodQuery::new(Vec::new(), true));
            Some(SpreadConstraint { rule: Arc::new(rule.clone()), query, selector: like.clone()? })
        };
        Constraints {
            all: rules.iter().filter_map(constraint).collect(),
            need_all_labels: self.need_all_labels,
        }
    }
}

/// The labels of the pods that are selected as this one is, found by looking at all Services and controllers.
fn like(cluster: &RandomCluster, pod: &PodInfo) -> Option<Selector> {
    let owner = pod.pod().metadata.owner_references.first();
    let owner = owner.filter(|owner| owner.controller == Some(true));
    let owns = |kind: Selecting, name: &str| {
        let wanted = match kind {
            Selecting::Service => return false,
            Selecting::ReplicationController => ("v1", "ReplicationController"),
            Selecting::ReplicaSet => ("apps/v1", "ReplicaSet"),
            Selecting::StatefulSet => ("apps/v1", "StatefulSet"),
        };
        owner.is_some_and(|owner| (&*owner.api_version, &*owner.kind) == wanted && owner.name == name)
    };
    let mut all: Vec<Requirement> = Vec::new();
    for ((kind, key), selector) in &cluster.selectors {
        let selects = *kind == Selecting::Service && selector.matches(pod.labels());
        if key.namespace == pod.key.namespace && (selects || owns(*kind, &key.name)) {
            for requirement in selector.requirements().into_iter().flatten() {
                if *kind == Selecting::ReplicationController {
                    all.retain(|other| other.key() != requirement.key());
                }
                all.push(requirement.clone());
            }
        }
    }
    (!all.is_empty()).then(|| Selector::new(all))
}

fn counts(constraint: &SpreadConstraint, from: &Constraints, pod: &PodInfo, node: &NodeInfo) -> bool {
    (!from.need_all_labels || from.all.iter().all(|each| node.label(&each.rule.topology_key).is_some()))
        && (constraint.rule.ignore_affinity || node.fulfils(&pod.node_terms))
        && (!constraint.rule.honor_taints || node.is_tolerated_by(&pod.tolerations))
}

fn is_counted(constraint: &SpreadConstraint, pod: &PodInfo, other: &PodInfo) -> bool {
    other.key.namespace == pod.key.namespace
        && !other.is_deleting()
        && constraint.selector.matches(other.labels())
}

/// Whether a node passes the hard constraints.
fn spread_allows(from: &Constraints, pod: &PodInfo, snapshot: &Snapshot, node: &NodeInfo) -> bool {
    from.all.iter().all(|constraint| {
        let mut by_value: BTreeMap<&str, i64> = BTreeMap::new();
        for node in snapshot.nodes().filter(|node| counts(constraint, from, pod, node)) {
            let meant = node.pods.iter().filter(|other| is_counted(constraint, pod, other));
            *by_value.entry(node.label(&constraint.rule.topology_key).unwrap()).or_default() +=
                meant.count() as i64;
        }
        let Some(value) = node.label(&constraint.rule.topology_key) else { return false };
        let least = match by_value.values().min() {
            _ if (by_value.len() as i64) < constraint.rule.domains_min => 0,
            Some(least) => *least,
            None => i64::from(i32::MAX),
        };
        let own = i64::from(constraint.selector.matches(pod.labels()));
        by_value.get(value).copied().unwrap_or(0) + own - least <= constraint.rule.skew_max
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
        let demands = other.pod_terms.required_affinity.iter().map(|term| (1, term));
        let theirs = demands.chain(other.pod_terms.wishes());
        let theirs = theirs.filter(|(_, term)| pod.is_meant_by(&term.query, snapshot.namespaces()));
        weight += theirs.filter(|(_, term)| near(&term.topology_key)).map(|(weight, _)| weight).sum::<i64>();
        let ours = pod.pod_terms.preferred.iter();
        let ours = ours.filter(|term| other.is_meant_by(&term.term.query, snapshot.namespaces()));
        weight += ours.filter(|term| near(&term.term.topology_key)).map(|term| term.weight).sum::<i64>();
    }
    weight
}

/// The weight of the soft constraints on a node, given all feasible nodes.
fn spread_weight(
    from: &Constraints,
    pod: &PodInfo,
    snapshot: &Snapshot,
    feasible: &[&NodeInfo],
    node: &NodeInfo,
) -> i64 {
    let counts_at_all = |node: &&&NodeInfo| {
        !from.need_all_labels || from.all.iter().all(|each| node.label(&each.rule.topology_key).is_some())
    };
    if !counts_at_all(&&node) {
        return -1;
    }
    let weighted = from.all.iter().filter_map(|constraint| {
        let key = &constraint.rule.topology_key;
        let is_hostname = **key == *"kubernetes.io/hostname";
        let inside = domain(snapshot, key, node)?;
        let pods = inside.filter(|(other_node, other)| {
            is_counted(constraint, pod, other)
                && if is_hostname {
                    other_node.name == node.name
                } else {
                    counts(constraint, from, pod, other_node)
                }
        });
        let scored = feasible.iter().filter(counts_at_all);
        let mut values: Vec<_> = scored.map(|node| node.label(key)).collect();
        if !is_hostname {
            values.sort();
            values.dedup();
        }
        let weight = ((values.len() + 2) as f64).ln();
        Some(pods.count() as f64 * weight + (constraint.rule.skew_max - 1) as f64)
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

fn rule(key: &str, skew_max: i64) -> SpreadRule {
    SpreadRule {
        topology_key: key.into(),
        skew_max,
        domains_min: 1,
        ignore_affinity: false,
        honor_taints: false,
    }
}

/// The plugin with the defaults of the system, and with others, with what is expected of each.
fn plugins() -> [(PodTopologySpread, Expected); 2] {
    let system = Expected {
        hard: Vec::new(),
        soft: vec![rule("kubernetes.io/hostname", 3), rule("topology.kubernetes.io/zone", 5)],
        need_all_labels: false,
    };
    let list: Vec<TopologySpreadConstraint> = serde_json::from_value(json!([
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"},
        {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "ScheduleAnyway"},
        {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},
    ]))
    .unwrap();
    let listed = Expected {
        hard: vec![rule("topology.kubernetes.io/zone", 1)],
        soft: vec![rule("rack", 2), rule("kubernetes.io/hostname", 1)],
        need_all_labels: true,
    };
    [(PodTopologySpread::default(), system), (PodTopologySpread::with_defaults(&list), listed)]
}

/// How often a plugin was asked, and what it said.
#[derive(Default)]
struct Asked {
    verdicts: usize,
    allowed: usize,
    defaulted: usize,
}

/// Compares the spread of a pod with a recount, node by node.
fn check_spread(
    (spread, expected): &(PodTopologySpread, Expected),
    cluster: &mut RandomCluster,
    pod: &PodInfo,
    what: &str,
    asked: &mut Asked,
) {
    let [hard, soft] = [true, false].map(|hard| expected.constraints(cluster, pod, hard));
    let snapshot = cluster.cache.snapshot();
    let nodes: Vec<&NodeInfo> = snapshot.nodes().collect();
    let scored = spread.pre_score(pod, snapshot, &nodes);
    assert_eq!(scored.is_some(), !soft.all.is_empty(), "{what}");
    asked.defaulted += usize::from(scored.is_some() && !pod.pod_terms.has_spread());
    for node in &nodes {
        let what = format!("{what}, node {}", node.name);
        let found = allowed(spread, pod, snapshot, node);
        assert_eq!(found, spread_allows(&hard, pod, snapshot, node), "spread: {what}");
        asked.verdicts += 1;
        asked.allowed += usize::from(found);
        if let Some(scored) = &scored {
            let weight = spread_weight(&soft, pod, snapshot, &nodes, node);
            assert_eq!(spread.score(scored, pod, node), weight, "spread's score: {what}");
        }
    }
}

#[test]
fn verdicts_and_scores_are_those_of_a_recount() {
    let plugins = plugins();
    let mut asked = [Asked::default(), Asked::default()];
    for seed in 100..120 {
        let mut cluster = RandomCluster::new(seed);
        for step in 0..30 {
            cluster.step();
            let pod = cluster.random_pod();
            let what = format!("seed {seed}, step {step}");
            for (plugin, asked) in plugins.iter().zip(&mut asked) {
                check_spread(plugin, &mut cluster, &pod, &what, asked);
            }
            let snapshot = cluster.cache.snapshot();
            let nodes: Vec<&NodeInfo> = snapshot.nodes().collect();
            let affinity = InterPodAffinity::default();
            let preferred = affinity.pre_score(&pod, snapshot, &nodes);
            for node in &nodes {
                let what = format!("{what}, node {}", node.name);
                let found = allowed(&affinity, &pod, snapshot, node);
                assert_eq!(found, affinity_allows(&pod, snapshot, node), "affinity: {what}");
                let weight = preferred.as_ref().map_or(0, |state| affinity.score(state, &pod, node));
                assert_eq!(weight, affinity_weight(&pod, snapshot, node), "affinity's score: {what}");
            }
        }
    }
    for Asked { verdicts, allowed, defaulted } in asked {
        assert!(allowed > verdicts / 10 && allowed < verdicts, "{allowed} of {verdicts}");
        assert!(defaulted > 50, "default constraints scored {defaulted} times");
    }
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
