//! The rules as tables; each case runs on the tree and on the typed form of the same JSON.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::Endpoint;
use object::Value;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::*;

mod matching;
mod quota;
mod resources;

/// The result of a rule for an object, which must be the same for each form.
fn ask<K: View + DeserializeOwned, T: PartialEq + std::fmt::Debug>(
    object: &Json,
    rule: impl Fn(&dyn View) -> T,
) -> T {
    let tree: Value = object::json::parse(object.to_string().as_bytes()).unwrap();
    let typed: K = serde_json::from_value(object.clone()).unwrap();
    let (from_tree, from_typed) = (rule(&tree), rule(&typed));
    assert_eq!(from_tree, from_typed, "tree and typed form of {object}");
    from_tree
}

#[test]
fn a_field_reads_as_what_it_is() {
    let pod = json!({
        "metadata": {"name": "p", "labels": {"app": "web"}, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"priority": 7, "hostNetwork": true, "containers": [{"name": "a"}, {"name": "b"}]},
    });
    ask::<Pod, _>(&pod, |pod| {
        let (metadata, spec) = (pod.field("metadata"), pod.field("spec"));
        assert_eq!(metadata.field("name").as_text(), Some("p"));
        assert_eq!(metadata.field("labels").field("app").text(), "web");
        assert_eq!(metadata.field("creationTimestamp").as_time(), "2026-01-01T00:00:00Z".parse().ok());
        assert_eq!(spec.field("priority").as_integer(), Some(7));
        assert!(spec.field("hostNetwork").is_true());
        let names: Vec<&str> = spec.field("containers").items().map(|c| c.field("name").text()).collect();
        assert_eq!(names, ["a", "b"]);
        // A field that is missing, or of another type, is absent.
        assert!(metadata.field("uid").is_absent() && metadata.field("name").field("x").is_absent());
        assert!(
            metadata.field("name").as_integer().is_none() && spec.field("priority").items().next().is_none()
        );
        assert!(spec.field("initContainers").is_empty() && !spec.field("containers").is_empty());
        assert!(metadata.field("ownerReferences").is_empty() && !metadata.field("labels").is_empty());
        let mut labels = Vec::new();
        metadata.field("labels").each(&mut |name, value| labels.push(format!("{name}={}", value.text())));
        labels
    });
}

fn pod_with_ready(status: &str, deleting: bool, phase: &str) -> Json {
    let mut pod = json!({
        "metadata": {"name": "p"},
        "status": {"phase": phase, "conditions": [
            {"type": "Initialized", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"},
            {"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:01:00Z"},
        ]},
    });
    if deleting {
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:05:00Z");
    }
    pod
}

#[test]
fn the_life_of_a_pod() {
    // Phase and whether it is in deletion; then terminal, active, terminating.
    for (phase, deleting, expected) in [
        ("Pending", false, (false, true, false)),
        ("Running", false, (false, true, false)),
        ("Running", true, (false, false, true)),
        ("Succeeded", false, (true, false, false)),
        ("Failed", true, (true, false, false)),
        ("Unknown", false, (false, true, false)),
        ("", false, (false, true, false)),
    ] {
        let found = ask::<Pod, _>(&pod_with_ready("True", deleting, phase), |pod| {
            assert_eq!(pods::phase(pod), phase);
            (pods::is_terminal(pod), pods::is_active(pod), pods::is_terminating(pod))
        });
        assert_eq!(found, expected, "{phase} {deleting}");
    }
    let bound = json!({"spec": {"nodeName": "n1", "containers": []}});
    assert_eq!(ask::<Pod, _>(&bound, |pod| pods::node_name(pod).to_owned()), "n1");
    assert_eq!(ask::<Pod, _>(&json!({}), |pod| pods::node_name(pod).to_owned()), "");
}

/// The cases of upstream's `TestIsPodAvailable` and `TestIsPodReady`.
#[test]
fn a_pod_is_available_when_it_was_ready_for_long_enough() {
    let ready_at: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
    let available = |pod: &Json, seconds| ask::<Pod, _>(pod, |pod| pods::available_at(pod, seconds));
    let ready = pod_with_ready("True", false, "Running");
    assert_eq!(available(&ready, 0), Some(ready_at));
    assert_eq!(available(&ready, 1), "2026-01-01T00:01:01Z".parse().ok());
    for status in ["False", "Unknown"] {
        assert_eq!(available(&pod_with_ready(status, false, "Running"), 0), None, "{status}");
    }
    assert_eq!(available(&json!({"status": {"conditions": []}}), 0), None);
    assert!(!ask::<Pod, _>(&json!({}), pods::is_ready));
    // Without a time it has always been ready.
    let timeless = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    assert_eq!(ask::<Pod, _>(&timeless, pods::ready_since), Some(Timestamp::UNIX_EPOCH));
}

#[test]
fn an_endpoint_is_ready_unless_its_pod_goes() {
    let state = |ready: &str, deleting, publishes| {
        let pod = pod_with_ready(ready, deleting, "Running");
        let state = ask::<Pod, _>(&pod, |pod| EndpointState::of_pod(pod, publishes));
        (state.ready, state.serving, state.terminating)
    };
    assert_eq!(state("True", false, false), (true, true, false));
    assert_eq!(state("True", true, false), (false, true, true));
    assert_eq!(state("False", false, false), (false, false, false));
    assert_eq!(state("False", true, true), (true, false, true));

    let told = |conditions: Json| {
        let endpoint = json!({"addresses": ["10.0.0.1"], "conditions": conditions});
        let state = ask::<Endpoint, _>(&endpoint, |endpoint| EndpointState::of_endpoint(endpoint));
        (state.ready, state.serving, state.terminating)
    };
    assert_eq!(told(json!(null)), (true, true, false));
    assert_eq!(told(json!({"ready": false})), (false, false, false));
    assert_eq!(told(json!({"ready": false, "serving": true, "terminating": true})), (false, true, true));
}

#[test]
fn one_owner_controls() {
    let owned = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1"},
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "2", "controller": true},
    ]}});
    let controller = ask::<Pod, _>(&owned, |pod| {
        controller_of(&pod.field("metadata"))
            .map(|c| format!("{} {} {} {}", c.group(), c.kind, c.name, c.uid))
    });
    assert_eq!(controller.as_deref(), Some("apps ReplicaSet r 2"));
    let orphan = json!({"metadata": {"ownerReferences": [
        {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "1", "controller": false},
    ]}});
    assert!(ask::<Pod, _>(&orphan, |pod| controller_of(&pod.field("metadata")).is_none()));
}

#[test]
fn conditions_of_nodes_are_read_alike() {
    let node = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "X", "status": "False"}]}});
    let holds = |kind: &str| ask::<Node, _>(&node, |node| conditions::holds(node, kind));
    assert_eq!((holds("Ready"), holds("X"), holds("Y")), (true, false, false));
}

mod setting_conditions {
    use k8s_openapi::api::core::v1::PodCondition;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use crate::conditions::{find, is_true, remove, set, set_last};

    fn condition(kind: &str, status: &str, at: i64) -> PodCondition {
        PodCondition {
            type_: kind.into(),
            status: status.into(),
            last_transition_time: Some(Time(jiff::Timestamp::from_second(at).unwrap())),
            ..PodCondition::default()
        }
    }

    fn show(all: &Option<Vec<PodCondition>>) -> Vec<String> {
        let show = |c: &PodCondition| {
            format!("{}={}@{}", c.type_, c.status, c.last_transition_time.as_ref().unwrap().0.as_second())
        };
        all.iter().flatten().map(show).collect()
    }

    #[test]
    fn the_transition_is_that_of_the_status() {
        let mut all = None;
        set(&mut all, condition("A", "True", 1));
        set(&mut all, condition("B", "False", 2));
        set(&mut all, condition("A", "True", 3));
        assert_eq!(show(&all), ["A=True@1", "B=False@2"]);
        set(&mut all, condition("A", "False", 4));
        assert_eq!(show(&all), ["A=False@4", "B=False@2"]);
        set_last(&mut all, condition("A", "False", 5));
        assert_eq!(show(&all), ["B=False@2", "A=False@4"]);
        assert!(find(&all, "A").is_some() && !is_true(&all, "A"));
        remove(&mut all, "A");
        remove(&mut all, "B");
        assert_eq!(all, None);
    }

    #[test]
    fn a_transition_without_a_time_gets_one() {
        let mut timeless = condition("A", "True", 0);
        timeless.last_transition_time = None;
        let mut all = Some(vec![timeless]);
        set(&mut all, condition("A", "True", 7));
        assert_eq!(show(&all), ["A=True@7"]);
    }
}
