use serde_json::{Value, json};

use super::{PodInfo, Resources};
use crate::testing::{cluster, node, on, pod, pod_requesting, raw_pod};

fn requests(spec: Value) -> (i64, i64) {
    let pod = pod("p", spec);
    (pod.requests.cpu_milli, pod.requests.memory)
}

fn container(cpu: &str, memory: &str) -> Value {
    json!({"name": format!("c{cpu}{memory}"), "resources": {"requests": {"cpu": cpu, "memory": memory}}})
}

fn sidecar(cpu: &str, memory: &str) -> Value {
    let mut sidecar = container(cpu, memory);
    sidecar["restartPolicy"] = "Always".into();
    sidecar
}

#[test]
fn a_pod_requests_what_its_start_or_its_run_needs_at_most() {
    let both = json!([container("2", "1k"), container("1", "1k")]);
    let cases = [
        (json!({"containers": both}), (3000, 2000)),
        // Init containers run one after the other.
        (
            json!({"containers": both, "initContainers": [container("2", "1k"), container("2", "3k")]}),
            (3000, 3000),
        ),
        // A sidecar runs on: with the containers, and with the init containers after it.
        (
            json!({"containers": both, "initContainers": [sidecar("1", "1k"), container("4", "1k")]}),
            (5000, 3000),
        ),
        (
            json!({"containers": both, "initContainers": [container("4", "1k"), sidecar("1", "1k")]}),
            (4000, 3000),
        ),
        (json!({"containers": both, "overhead": {"cpu": "250m", "memory": "1"}}), (3250, 2001)),
        // Requests of the whole pod replace the sums; the overhead comes on top.
        (
            json!({"containers": both, "resources": {"requests": {"cpu": "5"}}, "overhead": {"cpu": "1"}}),
            (6000, 2000),
        ),
        (json!({}), (0, 0)),
    ];
    for (spec, wanted) in cases {
        assert_eq!(requests(spec.clone()), wanted, "{spec}");
    }
}

#[test]
fn containers_without_requests_count_a_little() {
    let pod = pod(
        "p",
        json!({"containers": [{"name": "a"}, container("1", "1k"),
        {"name": "zero", "resources": {"requests": {"cpu": "0", "memory": "0"}}}]}),
    );
    assert_eq!((pod.cpu_milli_nonzero, pod.memory_nonzero), (1100, 200 * 1024 * 1024 + 1000));
}

#[test]
fn a_resize_counts_with_the_larger_side() {
    for (wanted, has, infeasible, counts) in
        [("1", "2", false, 2000), ("2", "1", false, 2000), ("2", "1", true, 1000)]
    {
        let mut raw = raw_pod(
            "p",
            json!({"containers": [
            {"name": "main", "resources": {"requests": {"cpu": wanted}}}]}),
        );
        let reason = if infeasible { "Infeasible" } else { "Deferred" };
        raw.status = serde_json::from_value(json!({
            "conditions": [{"type": "PodResizePending", "status": "True", "reason": reason}],
            "containerStatuses": [{"name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "resources": {"requests": {"cpu": has}}, "allocatedResources": {"cpu": has}}],
        }))
        .unwrap();
        assert_eq!(PodInfo::new(raw.into()).requests.cpu_milli, counts, "{wanted} {has} {infeasible}");
    }
}

#[test]
fn sums_follow_the_pods() {
    let gpu = json!({"cpu": "1", "memory": "1Gi", "example.com/gpu": "2"});
    let (one, two) = (pod_requesting("one", gpu), pod_requesting("two", json!({"cpu": "500m"})));
    let mut cache = cluster(&[node("a", json!({}))], &[("a", one.clone()), ("a", two.clone())]);
    let requested = cache.snapshot().node_named("a").unwrap().requested.clone();
    assert_eq!((requested.cpu_milli, requested.scalar("example.com/gpu")), (1500, 2));
    // The same pod again, in a newer version, counts once.
    cache.set_pod(on("a", &two), "a");
    cache.remove_pod(&one.uid);
    let node = cache.snapshot().node_named("a").unwrap();
    assert_eq!(node.requested, Resources { cpu_milli: 500, ..Resources::default() });
    assert_eq!(node.pods.len(), 1);
}

#[test]
fn assumed_pods_are_confirmed_or_forgotten() {
    let pod = pod_requesting("p", json!({"cpu": "1"}));
    let mut cache = cluster(&[node("a", json!({}))], &[]);
    cache.assume(pod.clone(), "a");
    assert!(cache.is_assumed(&pod.uid));
    assert!(cache.forget(&pod.uid).is_some());
    assert_eq!(cache.snapshot().node_named("a").unwrap().requested, Resources::default());
    cache.assume(pod.clone(), "a");
    assert!(cache.set_pod(on("a", &pod), "a").is_none(), "it was not known to be bound");
    assert!(cache.forget(&pod.uid).is_none(), "what was seen bound is not forgotten");
    assert_eq!(cache.snapshot().node_named("a").unwrap().requested.cpu_milli, 1000);
}

#[test]
fn pods_may_be_known_before_their_node_and_after_it() {
    let pod = pod_requesting("p", json!({"cpu": "1"}));
    let mut cache = cluster(&[], &[("a", pod.clone())]);
    assert!(cache.snapshot().is_empty());
    assert!(cache.snapshot().node_named("a").is_none());
    cache.set_node(node("a", json!({})));
    assert_eq!(cache.snapshot().node_named("a").unwrap().requested.cpu_milli, 1000);
    cache.remove_node("a");
    assert!(cache.snapshot().is_empty());
    cache.remove_pod(&pod.uid);
    cache.set_node(node("b", json!({})));
    assert_eq!(cache.snapshot().slots(), 1, "the slot is used again");
    assert_eq!(cache.snapshot().node_named("b").unwrap().requested.cpu_milli, 0);
}

#[test]
fn nodes_stand_zone_by_zone_in_turn() {
    let in_zone =
        |name, zone| node(name, json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}));
    let nodes = [in_zone("a1", "a"), in_zone("a2", "a"), in_zone("a3", "a"), in_zone("b1", "b")];
    let mut cache = cluster(&nodes, &[]);
    let order = |cache: &mut super::Cache| -> Vec<String> {
        cache.snapshot().nodes().map(|node| node.name.to_string()).collect()
    };
    assert_eq!(order(&mut cache), ["a1", "b1", "a2", "a3"]);
    cache.set_node(in_zone("a2", "b"));
    assert_eq!(order(&mut cache), ["a1", "a2", "a3", "b1"]);
}

#[test]
fn topologies_follow_the_labels() {
    let labelled = |name, zone: &str| node(name, json!({"metadata": {"labels": {"zone": zone}}}));
    let mut cache = cluster(&[labelled("a", "1"), labelled("b", "1"), node("c", json!({}))], &[]);
    let domains = |cache: &mut super::Cache| {
        let snapshot = cache.snapshot();
        let topology = snapshot.topology("zone");
        (topology.count(), ["a", "b", "c"].map(|name| topology.domain(snapshot.node_named(name)?.slot)))
    };
    assert_eq!(domains(&mut cache), (1, [Some(0), Some(0), None]));
    cache.set_node(labelled("c", "1"));
    cache.set_node(labelled("b", "2"));
    let (count, [a, b, c]) = domains(&mut cache);
    assert_eq!((count, a == c, a == b), (2, true, false));
    cache.remove_node("b");
    assert_eq!(cache.snapshot().topology("zone").count(), 1);
    // A node that is known only from pods is in no domain.
    cache.set_pod(on("d", &pod("p", json!({}))), "d");
    cache.set_pod(on("e", &pod("q", json!({}))), "e");
    assert_eq!(cache.snapshot().topology("zone").count(), 1);
}

#[test]
fn images_are_found_under_every_name_and_forgotten() {
    let images = |names: Value| node("a", json!({"status": {"images": [{"names": names, "sizeBytes": 7}]}}));
    let mut cache = cluster(&[images(json!(["docker.io/app:latest", "app@sha256:1"]))], &[]);
    for (name, found) in [("docker.io/app", true), ("app@sha256:1", true), ("docker.io/app:2", false)] {
        assert_eq!(cache.snapshot().image_nodes(name).is_some(), found, "{name}");
    }
    cache.set_node(images(json!(["other:1"])));
    assert!(cache.snapshot().image_nodes("docker.io/app").is_none());
    cache.remove_node("a");
    assert!(cache.snapshot().image_nodes("other:1").is_none());
}
