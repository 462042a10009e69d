//! Nodes and pods for tests, and clusters of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::LeanPod;
use clock::Clock;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use object::{ObjectKey, Selector};
use serde_json::{Value, json};

use crate::decide::Decider;
use crate::framework::{Filter, PreFilter, Profile, Score};
use crate::state::{Cache, PodInfo, Selecting};

pub(crate) mod random;
pub(crate) mod steps;

pub(crate) fn clock() -> Clock {
    Clock::seeded(7, "2026-01-01T00:00:00Z".parse().unwrap())
}

/// Puts the members of `extra` into `into`, level by level.
pub(crate) fn merge(into: &mut Value, extra: Value) {
    match (into, extra) {
        (Value::Object(into), Value::Object(extra)) => {
            for (key, value) in extra {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, extra) => *into = extra,
    }
}

/// A node with 4 cores, 8 GiB and room for 10 pods, and whatever else `extra` says.
pub(crate) fn node(name: &str, extra: Value) -> Arc<Node> {
    let mut node = json!({
        "metadata": {"name": name, "uid": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
    });
    merge(&mut node, extra);
    Arc::new(serde_json::from_value(node).unwrap())
}

/// A pod in `default` with one container that requests nothing, and whatever else `spec` says.
pub(crate) fn raw_pod(name: &str, spec: Value) -> LeanPod {
    serde_json::from_value(pod_json(name, spec)).unwrap()
}

/// The same as the server has it.
pub(crate) fn whole_pod(name: &str, spec: Value) -> Pod {
    serde_json::from_value(pod_json(name, spec)).unwrap()
}

fn pod_json(name: &str, spec: Value) -> Value {
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "default", "uid": name, "labels": {"app": name}},
        "spec": {"containers": [{"name": "main", "image": "app:1"}]},
    });
    merge(&mut pod["spec"], spec);
    pod
}

pub(crate) fn pod(name: &str, spec: Value) -> Arc<PodInfo> {
    Arc::new(PodInfo::new(Arc::new(raw_pod(name, spec))))
}

/// A pod whose container requests this.
pub(crate) fn pod_requesting(name: &str, requests: Value) -> Arc<PodInfo> {
    pod(name, containers(requests))
}

/// The part of a spec that is one container with these requests.
pub(crate) fn containers(requests: Value) -> Value {
    json!({"containers": [{"name": "main", "image": "app:1", "resources": {"requests": requests}}]})
}

/// The same pod with other labels.
pub(crate) fn with_labels(pod: &Arc<PodInfo>, labels: Value) -> Arc<PodInfo> {
    let mut raw = LeanPod::clone(pod.pod());
    raw.metadata.labels = serde_json::from_value(labels).unwrap();
    Arc::new(PodInfo::new(Arc::new(raw)))
}

/// The same pod, owned by a controller.
pub(crate) fn owned(pod: &Arc<PodInfo>, api_version: &str, kind: &str, name: &str) -> Arc<PodInfo> {
    let owner =
        json!([{"apiVersion": api_version, "kind": kind, "name": name, "uid": name, "controller": true}]);
    let mut raw = LeanPod::clone(pod.pod());
    raw.metadata.owner_references = serde_json::from_value(owner).unwrap();
    Arc::new(PodInfo::new(Arc::new(raw)))
}

/// Lets a Service or a controller in `default` select pods. `selector` is a map of labels, or has `matchLabels` or
/// `matchExpressions`.
pub(crate) fn select(cache: &mut Cache, kind: Selecting, name: &str, selector: Value) {
    let typed = selector.as_object().is_some_and(|all| all.keys().any(|key| key.starts_with("match")));
    let selector = if typed {
        let typed: LabelSelector = serde_json::from_value(selector).unwrap();
        semantics::selector(&typed)
    } else {
        Selector::from_labels(serde_json::from_value::<BTreeMap<String, String>>(selector).unwrap())
    };
    cache.set_selector(kind, &ObjectKey::namespaced("default", name), Some(&Arc::new(selector)));
}

/// The same pod on a node.
pub(crate) fn on(node: &str, pod: &Arc<PodInfo>) -> Arc<PodInfo> {
    let mut bound = LeanPod::clone(pod.pod());
    bound.spec.get_or_insert_default().node_name = Some(node.into());
    Arc::new(PodInfo::new(Arc::new(bound)))
}

pub(crate) fn namespace(name: &str, labels: Value) -> Namespace {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
}

/// A cluster of these nodes and pods; each pod is listed with its node.
pub(crate) fn cluster(nodes: &[Arc<Node>], pods: &[(&str, Arc<PodInfo>)]) -> Cache {
    let mut cache = Cache::default();
    for node in nodes {
        cache.set_node(Arc::clone(node));
    }
    for (node, pod) in pods {
        cache.set_pod(on(node, pod), node);
    }
    cache
}

/// A filter's verdict about each node, by name: empty, or its first reason.
pub(crate) fn verdicts<P: Filter>(plugin: P, pod: &PodInfo, cache: &mut Cache) -> Vec<(String, String)> {
    let snapshot = cache.snapshot();
    let (state, only) = match plugin.pre_filter(pod, snapshot) {
        PreFilter::Skip => (None, None),
        PreFilter::Reject(rejection) => return vec![("*".into(), rejection.joined())],
        PreFilter::Check(state) => (Some(state), None),
        PreFilter::CheckOnly(state, nodes) => (Some(state), Some(nodes)),
    };
    let mut verdicts: Vec<_> = snapshot
        .nodes()
        .map(|node| {
            let verdict = match (&state, &only) {
                (_, Some(only)) if !only.contains(&node.slot) => "not checked".to_owned(),
                (None, _) => String::new(),
                (Some(state), _) => {
                    let rejection = plugin.filter(state, pod, node).err();
                    rejection.map_or(String::new(), |rejection| rejection.joined())
                }
            };
            (node.name.to_string(), verdict)
        })
        .collect();
    verdicts.sort();
    verdicts
}

/// The names of the nodes that pass a filter.
pub(crate) fn passing<P: Filter>(plugin: P, pod: &PodInfo, cache: &mut Cache) -> Vec<String> {
    let verdicts = verdicts(plugin, pod, cache);
    verdicts.into_iter().filter(|(_, why)| why.is_empty()).map(|(node, _)| node).collect()
}

/// The normalized score of each node, by name; `None` if the plugin does not score.
pub(crate) fn scores<P: Score>(plugin: P, pod: &PodInfo, cache: &mut Cache) -> Option<Vec<(String, i64)>> {
    let snapshot = cache.snapshot();
    let mut nodes: Vec<_> = snapshot.nodes().collect();
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let state = plugin.pre_score(pod, snapshot, &nodes)?;
    let mut scores: Vec<i64> = nodes.iter().map(|node| plugin.score(&state, pod, node)).collect();
    plugin.normalize(&state, &nodes, &mut scores);
    Some(nodes.iter().map(|node| node.name.to_string()).zip(scores).collect())
}

/// The node that a profile decides for, or its message.
pub(crate) fn decide(profile: &Profile, pod: &PodInfo, cache: &mut Cache) -> Result<String, String> {
    let snapshot = cache.snapshot();
    match Decider::new(clock(), 0).decide(profile, pod, snapshot) {
        Ok(slot) => Ok(snapshot.node(slot).name.to_string()),
        Err(unfit) => Err(unfit.message),
    }
}
