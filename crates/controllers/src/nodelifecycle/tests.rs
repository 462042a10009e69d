use std::time::Duration;

use client::Patch;
use k8s_openapi::api::core::v1::{NodeCondition, Pod, PodCondition, Taint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::framework::Action;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn node(conditions: &[(&str, &str)]) -> Node {
    let mut node = Node::default();
    node.metadata.name = Some("n1".into());
    let condition = |(kind, status): &(&str, &str)| NodeCondition {
        type_: (*kind).into(),
        status: (*status).into(),
        last_heartbeat_time: Some(Time(now())),
        ..NodeCondition::default()
    };
    node.status.get_or_insert_default().conditions = Some(conditions.iter().map(condition).collect());
    node
}

fn snapshot(node: Node, silent_seconds: i64) -> Snapshot {
    let mut pod = Pod::default();
    pod.metadata.name = Some("web".into());
    let ready = PodCondition { type_: "Ready".into(), status: "True".into(), ..PodCondition::default() };
    pod.status.get_or_insert_default().conditions = Some(vec![ready]);
    Snapshot {
        node: Arc::new(node),
        pods: vec![crate::pods::lean(&pod)],
        alive_at: now() - SignedDuration::from_secs(silent_seconds),
        grace: SignedDuration::from_secs(50),
    }
}

/// The taints that a plan sets, as `key:effect`; `None` if it sets none.
fn taints(plan: &Plan) -> Option<Vec<String>> {
    let patch = plan.actions().into_iter().find_map(|action| match action {
        Action::Patch { patch: Patch::Merge(change), resource, .. } if resource.kind == "Node" => {
            Some(change)
        }
        _ => None,
    })?;
    let taints = patch["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let name = |text: &serde_json::Value| {
        text.as_str().unwrap().trim_start_matches("node.kubernetes.io/").to_owned()
    };
    Some(taints.iter().map(|taint| format!("{}:{}", name(&taint["key"]), name(&taint["effect"]))).collect())
}

#[test]
fn a_node_that_reports_is_looked_at_again_when_it_could_be_silent() {
    let plan = NodeLifecycle::plan(&snapshot(node(&[("Ready", "True")]), 20), now());
    assert!(plan.is_empty());
    assert_eq!(plan.requeue_after, Some(Duration::from_secs(31)));
}

#[test]
fn a_silent_node_becomes_unknown() {
    let plan =
        NodeLifecycle::plan(&snapshot(node(&[("Ready", "True"), ("DiskPressure", "False")]), 51), now());
    let actions = plan.actions();
    let written = actions[0].object::<Node>().unwrap();
    let ready = condition(written, "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_deref()), ("Unknown", Some("NodeStatusUnknown")));
    assert_eq!(condition(written, "DiskPressure").unwrap().reason.as_deref(), Some("NodeStatusUnknown"));
    assert_eq!(condition(written, "PIDPressure").unwrap().reason.as_deref(), Some("NodeStatusNeverUpdated"));
    assert!(
        matches!(actions[1], Action::Record(note) if note.message == "Node n1 status is now: NodeNotReady")
    );
    // Then it is tainted, and its pods are no longer ready: at once, because a pod's change wakes no key.
    let next = NodeLifecycle::plan(&snapshot(written.clone(), 52), now());
    assert!(next.actions().iter().any(|action| action.summary() == "patch Pod web"));
    assert_eq!(taints(&next).unwrap(), ["unreachable:NoSchedule", "unreachable:NoExecute"]);
}

#[test]
fn a_node_that_never_reported_gets_time_to_start() {
    assert!(NodeLifecycle::plan(&snapshot(Node::default(), 55), now()).is_empty());
    let plan = NodeLifecycle::plan(&snapshot(Node::default(), 61), now());
    let written = plan.actions()[0].object::<Node>().unwrap();
    assert_eq!(condition(written, "Ready").unwrap().reason.as_deref(), Some("NodeStatusNeverUpdated"));
}

#[test]
fn taints_follow_the_conditions() {
    for (conditions, unschedulable, expected) in [
        (vec![("Ready", "True")], false, None),
        (vec![("Ready", "False")], false, Some(vec!["not-ready:NoSchedule", "not-ready:NoExecute"])),
        (
            vec![("Ready", "True"), ("DiskPressure", "True"), ("NetworkUnavailable", "True")],
            false,
            Some(vec!["disk-pressure:NoSchedule", "network-unavailable:NoSchedule"]),
        ),
        (vec![("Ready", "True")], true, Some(vec!["unschedulable:NoSchedule"])),
    ] {
        let mut node = node(&conditions);
        node.spec.get_or_insert_default().unschedulable = Some(unschedulable);
        let plan = NodeLifecycle::plan(&snapshot(node, 0), now());
        let expected = expected.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(taints(&plan), expected, "{conditions:?}");
    }
}

#[test]
fn taints_go_with_their_cause_and_others_stay() {
    let mut node = node(&[("Ready", "True")]);
    let taint =
        |key: &str, effect: &str| Taint { key: key.into(), effect: effect.into(), ..Taint::default() };
    node.spec.get_or_insert_default().taints = Some(vec![
        taint("node.kubernetes.io/not-ready", "NoSchedule"),
        taint("node.kubernetes.io/unreachable", "NoExecute"),
        taint("dedicated", "NoExecute"),
    ]);
    let plan = NodeLifecycle::plan(&snapshot(node, 0), now());
    assert_eq!(taints(&plan).unwrap(), ["dedicated:NoExecute"]);
}
