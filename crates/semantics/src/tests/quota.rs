//! What objects use of quotas' resources.

use object::{Value, value};

use super::*;
use crate::quota::{Measure, is_charged, scopes};

fn usage(group: &str, plural: &str, object: &Value) -> String {
    Measure::of(group, plural).unwrap().usage(object, Timestamp::UNIX_EPOCH).to_string()
}

/// A pod whose spec has these members too.
fn pod(spec: &Value) -> Value {
    let spec = if spec.is_null() { Value::map() } else { spec.clone() };
    let pod = value!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a"}]}});
    object::patch::merge_patch(pod, value!({"spec": (spec)})).unwrap()
}

#[test]
fn pods_use_requests_limits_and_what_vendors_name() {
    let spec = value!({
        "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "2"}}}],
        "containers": [
            {"name": "a", "resources": {
                "requests": {"cpu": "500m", "memory": "1Gi", "x.io/gpu": "3", "hugepages-2Mi": "4Mi", "foo": "1"},
                "limits": {"memory": "2Gi", "x.io/gpu": "3", "hugepages-2Mi": "4Mi"}}},
            {"name": "b", "resources": {"requests": {"ephemeral-storage": "5Gi"}}}
        ],
        "overhead": {"memory": "1Mi"}
    });
    let expected = "count/pods=1,cpu=2,ephemeral-storage=5Gi,hugepages-2Mi=4Mi,limits.memory=2049Mi,memory=1025Mi,pods=1,requests.cpu=2,requests.ephemeral-storage=5Gi,requests.hugepages-2Mi=4Mi,requests.memory=1025Mi,requests.x.io/gpu=3";
    assert_eq!(usage("", "pods", &pod(&spec)), expected);
}

#[test]
fn a_resize_in_progress_counts_what_is_larger() {
    let mut resized = pod(&value!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]}));
    let running =
        value!({"name": "a", "allocatedResources": {"cpu": "3"}, "resources": {"requests": {"cpu": "2"}}});
    resized.set("status", value!({"containerStatuses": [running]}));
    assert_eq!(usage("", "pods", &resized), "count/pods=1,cpu=3,pods=1,requests.cpu=3");
}

#[test]
fn pods_that_ended_or_are_overdue_count_as_objects_only() {
    let measure = Measure::of("", "pods").unwrap();
    for (phase, expected) in
        [("Running", "count/pods=1,pods=1"), ("Failed", "count/pods=1"), ("Succeeded", "count/pods=1")]
    {
        let mut ended = pod(&Value::Null);
        ended.set("status", value!({"phase": phase}));
        assert_eq!(measure.usage(&ended, Timestamp::UNIX_EPOCH).to_string(), expected, "{phase}");
    }
    let mut lost = pod(&Value::Null);
    lost.entry("metadata").set("deletionTimestamp", "2026-01-01T00:00:30Z");
    lost.entry("metadata").set("deletionGracePeriodSeconds", 30);
    for (now, expected) in [("2026-01-01T00:01:00Z", true), ("2026-01-01T00:01:01Z", false)] {
        assert_eq!(is_charged(&lost, now.parse().unwrap()), expected, "{now}");
    }
}

#[test]
fn services_use_ports_and_balancers() {
    let service = |spec: Value| value!({"spec": (spec)});
    let ports = || value!([{"port": 1, "nodePort": 30000}, {"port": 2}]);
    for (spec, ports, balancers) in [
        (value!({"type": "ClusterIP", "ports": (ports())}), 0, 0),
        (value!({"type": "NodePort", "ports": (ports())}), 2, 0),
        (value!({"type": "LoadBalancer", "ports": (ports())}), 2, 1),
        (value!({"type": "LoadBalancer", "allocateLoadBalancerNodePorts": false, "ports": (ports())}), 1, 1),
    ] {
        let expected = format!(
            "count/services=1,services=1,services.loadbalancers={balancers},services.nodeports={ports}"
        );
        assert_eq!(usage("", "services", &service(spec)), expected);
    }
}

#[test]
fn claims_use_storage_of_their_class() {
    let mut claim =
        value!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1500m"}}}});
    let expected = "count/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/persistentvolumeclaims=1,gold.storageclass.storage.k8s.io/requests.storage=2,persistentvolumeclaims=1,requests.storage=2";
    assert_eq!(usage("", "persistentvolumeclaims", &claim), expected);
    claim.set("status", value!({"allocatedResources": {"storage": "1Gi"}}));
    claim.entry("spec").remove("storageClassName");
    let expected = "count/persistentvolumeclaims=1,persistentvolumeclaims=1,requests.storage=1Gi";
    assert_eq!(usage("", "persistentvolumeclaims", &claim), expected);
    let devices = value!({"spec": {"devices": {"requests": [
        {"exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 2}},
        {"exactly": {"deviceClassName": "nic", "allocationMode": "All"}},
        {"firstAvailable": [
            {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1},
            {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 4}]}
    ]}}});
    let expected = "count/resourceclaims.resource.k8s.io=1,gpu.deviceclass.resource.k8s.io/devices=6,nic.deviceclass.resource.k8s.io/devices=32";
    assert_eq!(usage("resource.k8s.io", "resourceclaims", &devices), expected);
}

#[test]
fn every_name_is_counted_by_one_resource() {
    for (name, expected) in [
        ("pods", Some(("", "pods"))),
        ("count/pods", Some(("", "pods"))),
        ("requests.cpu", Some(("", "pods"))),
        ("limits.ephemeral-storage", Some(("", "pods"))),
        ("requests.hugepages-1Gi", Some(("", "pods"))),
        ("requests.x.io/gpu", Some(("", "pods"))),
        ("services.nodeports", Some(("", "services"))),
        ("requests.storage", Some(("", "persistentvolumeclaims"))),
        ("gold.storageclass.storage.k8s.io/requests.storage", Some(("", "persistentvolumeclaims"))),
        ("secrets", Some(("", "secrets"))),
        ("count/secrets", Some(("", "secrets"))),
        ("count/replicasets.apps", Some(("apps", "replicasets"))),
        ("count/widgets.example.com", Some(("example.com", "widgets"))),
        ("gpu.deviceclass.resource.k8s.io/devices", Some(("resource.k8s.io", "resourceclaims"))),
        ("count/events", None),
        ("x.io/gpu", None),
        ("storage", None),
    ] {
        let found = Measure::of_name(name);
        assert_eq!(found.map(|measure| (measure.group(), measure.plural())), expected, "{name}");
        assert!(found.is_none_or(|measure| measure.measures(name)), "{name}");
    }
    assert_eq!(usage("", "configmaps", &value!({})), "configmaps=1,count/configmaps=1");
    assert_eq!(usage("example.com", "widgets", &value!({})), "count/widgets.example.com=1");
}

#[test]
fn scopes_tell_pods_apart() {
    let pods = Measure::of("", "pods").unwrap();
    let near = value!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": "zone", "namespaceSelector": {}}]}}});
    let requests = value!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]});
    let in_high = |operator: &str, values: Value| {
        value!({"scopeSelector": {"matchExpressions": [
        {"scopeName": "PriorityClass", "operator": operator, "values": (values)}]}})
    };
    let plain = |scope: &str| value!({"scopes": [scope]});
    let (high, deadline) = (value!({"priorityClassName": "high"}), value!({"activeDeadlineSeconds": 0}));
    for (spec, quota, expected) in [
        (&Value::Null, plain("BestEffort"), true),
        (&requests, plain("BestEffort"), false),
        (&requests, plain("NotBestEffort"), true),
        (&deadline, plain("Terminating"), true),
        (&deadline, plain("NotTerminating"), false),
        (&Value::Null, plain("NotTerminating"), true),
        (&near, plain("CrossNamespacePodAffinity"), true),
        (&Value::Null, plain("CrossNamespacePodAffinity"), false),
        (&high, plain("PriorityClass"), true),
        (&high, in_high("In", value!(["high"])), true),
        (&high, in_high("NotIn", value!(["high"])), false),
        (&Value::Null, in_high("NotIn", value!(["high"])), true),
        (&Value::Null, in_high("In", value!(["high"])), false),
        (&Value::Null, in_high("DoesNotExist", Value::Null), true),
        (&Value::Null, plain("VolumeAttributesClass"), false),
    ] {
        let scopes = scopes(&value!({"spec": (quota.clone())}));
        let found = scopes.iter().all(|scope| pods.is_in(scope, &pod(spec)));
        assert_eq!(found, expected, "{quota:?} {spec:?}");
        let services = Measure::of("", "services").unwrap();
        assert!(!services.is_in(&scopes[0], &value!({})), "only pods and claims have scopes");
    }
}

#[test]
fn scopes_tell_claims_apart() {
    let claims = Measure::of("", "persistentvolumeclaims").unwrap();
    let quota = |operator: &str, values: Value| {
        value!({"spec": {"scopeSelector": {"matchExpressions": [
        {"scopeName": "VolumeAttributesClass", "operator": operator, "values": (values)}]}}})
    };
    // While a volume changes its class, it is in both.
    let changing = value!({
        "spec": {"volumeAttributesClassName": "new"}, "status": {"currentVolumeAttributesClassName": "old"}
    });
    for (claim, quota, expected) in [
        (&changing, quota("In", value!(["old"])), true),
        (&changing, quota("In", value!(["new"])), true),
        (&changing, quota("In", value!(["other"])), false),
        (&changing, quota("Exists", Value::Null), true),
        (&Value::Null, quota("Exists", Value::Null), false),
        (&Value::Null, quota("NotIn", value!(["old"])), true),
    ] {
        assert_eq!(claims.is_in(&scopes(&quota)[0], claim), expected, "{quota:?}");
    }
}

#[test]
fn containers_must_specify_cpu_and_memory() {
    let pods = Measure::of("", "pods").unwrap();
    let spec = value!({
        "initContainers": [{"name": "i"}],
        "containers": [
            {"name": "b", "resources": {"requests": {"cpu": "1"}}},
            {"name": "a", "resources": {"limits": {"memory": "1"}}}]
    });
    let required = ["cpu", "limits.memory", "pods", "requests.ephemeral-storage"];
    let expected = "must specify cpu for: a,i; limits.memory for: b,i";
    assert_eq!(pods.unspecified(&required, &pod(&spec)).as_deref(), Some(expected));
    assert_eq!(pods.unspecified(&["pods"], &pod(&spec)), None);
    let whole = value!({"resources": {"requests": {"memory": "1"}}});
    assert_eq!(pods.unspecified(&required, &pod(&whole)), None, "amounts of the pod as a whole are enough");
}
