use object::value;
use semantics::QosClass;

use super::*;
use crate::testing::{ago, check_row, named};

/// A pod of containers `a`, `b` and so on, with this status.
fn pod(containers: usize, status: Value) -> Value {
    let containers: Vec<Value> =
        ["a", "b", "c"][..containers].iter().map(|name| value!({"name": *name})).collect();
    named("p", value!({"spec": {"containers": containers}, "status": status}))
}

fn container(state: Value, ready: bool) -> Value {
    value!({"name": "a", "state": state, "ready": ready, "started": ready})
}

fn running(ready: bool) -> Value {
    container(value!({"running": {}}), ready)
}

fn ended(code: i64, reason: &str) -> Value {
    container(value!({"terminated": {"exitCode": code, "reason": reason}}), false)
}

fn waiting(reason: &str) -> Value {
    container(value!({"waiting": {"reason": reason}}), false)
}

fn check_summary(pod: &Value, expected: &str) {
    check_row(&Pods, pod, &format!("p | {expected} | 3h | <none> | <none> | <none> | <none>"));
}

#[test]
fn containers_make_the_status() {
    let ready = || value!([{"type": "Ready", "status": "True"}]);
    let cases = [
        (pod(1, value!({"phase": "Pending"})), "0/1 | Pending | 0"),
        (pod(1, value!({"phase": "Failed", "reason": "Evicted"})), "0/1 | Evicted | 0"),
        (pod(1, value!({"phase": "Running", "containerStatuses": [(running(true))]})), "1/1 | Running | 0"),
        (pod(1, value!({"phase": "Running", "containerStatuses": [(running(false))]})), "0/1 | Running | 0"),
        (
            pod(1, value!({"phase": "Running", "containerStatuses": [(waiting("CrashLoopBackOff"))]})),
            "0/1 | CrashLoopBackOff | 0",
        ),
        (
            pod(1, value!({"phase": "Succeeded", "containerStatuses": [(ended(0, "Completed"))]})),
            "0/1 | Completed | 0",
        ),
        (pod(1, value!({"phase": "Failed", "containerStatuses": [(ended(1, "Error"))]})), "0/1 | Error | 0"),
        (pod(1, value!({"phase": "Failed", "containerStatuses": [(ended(3, ""))]})), "0/1 | ExitCode:3 | 0"),
        (
            pod(
                2,
                value!({
                    "phase": "Running", "conditions": (ready()), "containerStatuses": [(ended(0, "Completed")), (running(true))]
                }),
            ),
            "1/2 | Running | 0",
        ),
        (
            pod(
                2,
                value!({"phase": "Running", "containerStatuses": [(ended(0, "Completed")), (running(true))]}),
            ),
            "1/2 | NotReady | 0",
        ),
        (
            pod(
                2,
                value!({"phase": "Running", "containerStatuses": [(ended(0, "Completed")), (ended(1, "Error"))]}),
            ),
            "0/2 | Error | 0",
        ),
        (
            pod(
                1,
                value!({
                    "phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]
                }),
            ),
            "0/1 | SchedulingGated | 0",
        ),
    ];
    for (pod, expected) in cases {
        check_summary(&pod, expected);
    }
}

#[test]
fn init_containers_come_first() {
    let with_init = |inits: Value, status: Value| {
        let mut pod = pod(1, status);
        pod.entry("spec").set("initContainers", inits);
        pod
    };
    let two = || value!([{"name": "a"}, {"name": "z"}]);
    let sidecar = || value!([{"name": "a", "restartPolicy": "Always"}]);
    let status = |inits: Value| value!({"phase": "Pending", "initContainerStatuses": inits});
    let cases = [
        (
            with_init(two(), status(value!([(running(false)), (waiting("PodInitializing"))]))),
            "0/1 | Init:0/2 | 0",
        ),
        (
            with_init(two(), status(value!([(ended(0, "")), (waiting("PodInitializing"))]))),
            "0/1 | Init:1/2 | 0",
        ),
        (with_init(two(), status(value!([(ended(1, "Error"))]))), "0/1 | Init:Error | 0"),
        (with_init(two(), status(value!([(ended(2, ""))]))), "0/1 | Init:ExitCode:2 | 0"),
        (
            with_init(two(), status(value!([(waiting("ImagePullBackOff"))]))),
            "0/1 | Init:ImagePullBackOff | 0",
        ),
        (with_init(sidecar(), status(value!([(running(true))]))), "1/2 | Pending | 0"),
        (
            with_init(
                sidecar(),
                value!({
                    "phase": "Running", "initContainerStatuses": [(running(true))], "containerStatuses": [(running(true))]
                }),
            ),
            "2/2 | Running | 0",
        ),
    ];
    for (pod, expected) in cases {
        check_summary(&pod, expected);
    }
}

#[test]
fn restarts_tell_when() {
    let restarted = |count: i64, at: &str| {
        let mut container = running(true);
        container.set("restartCount", count);
        container.set("lastState", value!({"terminated": {"finishedAt": at}}));
        container
    };
    let status = value!({
        "phase": "Running", "containerStatuses": [(restarted(2, &ago(3600))), (restarted(1, &ago(300)))]
    });
    check_summary(&pod(2, status), "2/2 | Running | 3 (5m ago)");
}

#[test]
fn pods_that_are_deleted() {
    let deleted = |status: Value| {
        let mut pod = pod(1, status);
        pod.entry("metadata").set("deletionTimestamp", ago(1));
        pod
    };
    check_summary(&deleted(value!({"phase": "Running"})), "0/1 | Terminating | 0");
    check_summary(&deleted(value!({"phase": "Running", "reason": "NodeLost"})), "0/1 | Unknown | 0");
    check_summary(&deleted(value!({"phase": "Succeeded"})), "0/1 | Succeeded | 0");
}

#[test]
fn wide_columns() {
    let mut pod = pod(
        1,
        value!({
            "phase": "Running", "podIPs": [{"ip": "10.42.0.7"}, {"ip": "fd00::7"}], "nominatedNodeName": "n2",
            "conditions": [{"type": "x", "status": "True"}, {"type": "y", "status": "False"}]
        }),
    );
    pod.entry("spec").set("nodeName", "n1");
    pod.entry("spec").set("readinessGates", value!([{"conditionType": "x"}, {"conditionType": "y"}]));
    check_row(&Pods, &pod, "p | 0/1 | Running | 0 | 3h | 10.42.0.7 | n1 | n2 | 1/2");
    assert_eq!(Pods.row_conditions(&pod), Value::Null);
    pod.entry("status").set("phase", "Failed");
    assert_eq!(Pods.row_conditions(&pod).items().next().map(|c| c.str_at("reason")), Some("Failed"));
}

#[test]
fn classes_of_service() {
    let resources = |requests: Value, limits: Value| value!({"requests": requests, "limits": limits});
    let full = || value!({"cpu": "1", "memory": "1Gi"});
    let cases = [
        (vec![value!({})], QosClass::BestEffort),
        (vec![resources(value!({"cpu": "0"}), value!({}))], QosClass::BestEffort),
        (vec![resources(value!({"nvidia.com/gpu": "1"}), value!({}))], QosClass::BestEffort),
        (vec![resources(full(), full())], QosClass::Guaranteed),
        (vec![resources(value!({"cpu": "1000m", "memory": "1024Mi"}), full())], QosClass::Guaranteed),
        (vec![resources(full(), full()), value!({})], QosClass::Burstable),
        (vec![resources(value!({"cpu": "1"}), full())], QosClass::Burstable),
        (vec![resources(value!({"cpu": "1"}), value!({"cpu": "1"}))], QosClass::Burstable),
    ];
    for (containers, class) in cases {
        let containers: Vec<Value> = containers.into_iter().map(|r| value!({"resources": r})).collect();
        let pod = value!({"spec": {"containers": containers}});
        assert_eq!(qos_class(&pod), class, "{pod:?}");
    }
    let of_pod = value!({"spec": {"resources": (resources(full(), full())), "containers": [{}]}});
    assert_eq!(qos_class(&of_pod), QosClass::Guaranteed);
}

#[test]
fn a_new_pod_is_pending() {
    let mut pod = value!({"spec": {"containers": [{}]}, "status": {"phase": "Running", "podIP": "1.2.3.4"}});
    Pods.prepare_create(&mut pod);
    assert_eq!(pod.get("status"), &value!({"phase": "Pending", "qosClass": "BestEffort"}));
    let mut gated = value!({"spec": {"schedulingGates": [{"name": "g"}]}});
    Pods.prepare_create(&mut gated);
    assert_eq!(
        gated.at("status.conditions").items().next().map(|c| c.str_at("reason")),
        Some("SchedulingGated")
    );
}

#[test]
fn label_keys_join_their_selectors() {
    let term =
        || value!({"labelSelector": {}, "matchLabelKeys": ["app"], "mismatchLabelKeys": ["tenant", "none"]});
    let mut pod = value!({
        "metadata": {"labels": {"app": "web", "tenant": "t"}},
        "spec": {
            "affinity": {
                "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [(term())]},
                "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": (term())}]}
            },
            "topologySpreadConstraints": [{"matchLabelKeys": ["app"]}]
        }
    });
    Pods.prepare_create(&mut pod);
    let merged = value!([
        {"key": "app", "operator": "In", "values": ["web"]},
        {"key": "tenant", "operator": "NotIn", "values": ["t"]}
    ]);
    let affinity = pod.at("spec.affinity");
    let first = |list: &str| affinity.at(list).items().next().cloned().unwrap();
    let required = first("podAffinity.requiredDuringSchedulingIgnoredDuringExecution");
    assert_eq!(required.at("labelSelector.matchExpressions"), &merged);
    let preferred = first("podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution");
    assert_eq!(preferred.at("podAffinityTerm.labelSelector.matchExpressions"), &merged);
    assert!(pod.at("spec.topologySpreadConstraints").items().all(|c| c.get("labelSelector").is_null()));
}

#[test]
fn grace_depends_on_who_runs_the_pod() {
    let pod = |node: &str, phase: &str| value!({"spec": {"nodeName": node, "terminationGracePeriodSeconds": 30}, "status": {"phase": phase}});
    let grace = |pod: Value, requested| Pods.deletion_grace_seconds(&pod, requested);
    assert_eq!(grace(pod("n", "Running"), None), Some(30));
    assert_eq!(grace(pod("n", "Running"), Some(5)), Some(5));
    assert_eq!(grace(pod("n", "Running"), Some(-1)), Some(1));
    assert_eq!(grace(pod("n", "Running"), Some(0)), Some(0));
    assert_eq!(grace(pod("", "Pending"), None), Some(0));
    assert_eq!(grace(pod("n", "Succeeded"), Some(60)), Some(0));
    assert_eq!(grace(pod("n", "Failed"), Some(-1)), Some(0));
}

#[test]
fn agents_change_the_status_only() {
    let old = value!({
        "metadata": {"ownerReferences": [{"name": "o"}]}, "spec": {"nodeName": "n"},
        "status": {"qosClass": "Burstable", "conditions": [{"type": "Ready", "status": "False", "observedGeneration": 2}]}
    });
    let mut new = value!({
        "metadata": {"ownerReferences": []}, "spec": {"nodeName": "m"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    });
    Pods.prepare_status_update(&mut new, &old);
    let status = value!({
        "phase": "Running", "qosClass": "Burstable",
        "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2}]
    });
    assert_eq!(new.get("status"), &status);
    assert_eq!(new.get("metadata"), old.get("metadata"));
    assert_eq!(new.get("spec"), old.get("spec"));
}

#[test]
fn fields_to_select_by() {
    let pod =
        value!({"spec": {"nodeName": "n"}, "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]}});
    let fields = Pods.selectable_fields(&pod);
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, Pods.selectable_field_names());
    let get = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
    assert_eq!(get("spec.host"), Some("n"));
    assert_eq!(get("spec.hostNetwork"), Some("false"));
    assert_eq!(get("status.podIP"), Some("10.0.0.1"));
}
