use object::{Value, value};

use super::*;

/// Checks an object after defaulting; defaulting again must change nothing.
#[track_caller]
fn check(default: fn(&mut Value), mut object: Value, expected: Value) {
    default(&mut object);
    assert_eq!(object, expected);
    default(&mut object);
    assert_eq!(object, expected, "again");
}

/// Checks some members of an object after defaulting.
#[track_caller]
fn check_at(default: fn(&mut Value), mut object: Value, expected: &[(&str, Value)]) {
    default(&mut object);
    for (path, value) in expected {
        assert_eq!(object.at(path), value, "{path} of {object:?}");
    }
}

#[test]
fn a_pod_gets_its_defaults() {
    check(
        default_pod,
        value!({"spec": {"containers": [{"name": "a", "image": "web", "ports": [{"containerPort": 80}]}]}}),
        value!({"spec": {
            "containers": [{
                "name": "a", "image": "web", "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "imagePullPolicy": "Always", "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }],
            "dnsPolicy": "ClusterFirst", "restartPolicy": "Always", "securityContext": {},
            "terminationGracePeriodSeconds": 30, "schedulerName": "default-scheduler", "enableServiceLinks": true,
        }}),
    );
}

#[test]
fn pull_policy_follows_the_tag() {
    for (image, policy) in [
        ("web", "Always"),
        ("web:latest", "Always"),
        ("web:1", "IfNotPresent"),
        ("host.io:5000/a/web", "Always"),
        ("host.io:5000/a/web:1", "IfNotPresent"),
        ("web@sha256:abc", "IfNotPresent"),
        ("web:latest@sha256:abc", "Always"),
        ("Web", "IfNotPresent"),
        ("", "IfNotPresent"),
        ("localhost/web", "Always"),
        ("registry.k8s.io/pause:3.10", "IfNotPresent"),
    ] {
        assert_eq!(image::pull_policy(image), policy, "{image:?}");
    }
}

#[test]
fn containers_get_their_defaults() {
    let probe = |action: Value| {
        let mut probe = action;
        for (name, number) in
            [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
        {
            probe.set(name, number);
        }
        probe
    };
    let container = |container: Value| value!({"spec": {"hostNetwork": true, "containers": [container]}});
    let mut pod = container(value!({
        "image": "a:1", "ports": [{"containerPort": 80}],
        "livenessProbe": {"httpGet": {"port": 80}}, "readinessProbe": {"grpc": {"port": 1}, "timeoutSeconds": 0},
        "lifecycle": {"preStop": {"httpGet": {"port": 1}}},
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "0.0001"}},
    }));
    default_pod(&mut pod);
    let spec = &pod.at("spec.containers").items().next().unwrap();
    assert_eq!(spec.get("ports"), &value!([{"containerPort": 80, "hostPort": 80, "protocol": "TCP"}]));
    assert_eq!(
        spec.get("livenessProbe"),
        &probe(value!({"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"}}))
    );
    assert_eq!(spec.get("readinessProbe"), &probe(value!({"grpc": {"port": 1, "service": ""}})));
    assert_eq!(spec.at("lifecycle.preStop.httpGet.path"), &Value::from("/"));
    let variable = spec.get("env").items().next().unwrap();
    assert_eq!(variable.at("valueFrom.fieldRef.apiVersion"), &Value::from("v1"));
    assert_eq!(spec.at("resources.requests"), &value!({"cpu": "1m", "memory": "1Gi"}));
}

#[test]
fn volumes_get_their_defaults() {
    let mut pod = value!({"spec": {"containers": [], "volumes": [
        {"name": "a"}, {"name": "b", "hostPath": {"path": "/x"}}, {"name": "c", "secret": {"secretName": "s"}},
        {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "e", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "f", "image": {"reference": "web:1"}},
        {"name": "g", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
    ]}});
    default_pod(&mut pod);
    assert_eq!(
        pod.at("spec.volumes"),
        &value!([
            {"name": "a", "emptyDir": {}}, {"name": "b", "hostPath": {"path": "/x", "type": ""}},
            {"name": "c", "secret": {"secretName": "s", "defaultMode": 420}},
            {"name": "d", "projected": {"defaultMode": 420, "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}},
            {"name": "e", "downwardAPI": {"defaultMode": 420, "items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name", "apiVersion": "v1"}}]}},
            {"name": "f", "image": {"reference": "web:1", "pullPolicy": "IfNotPresent"}},
            {"name": "g", "ephemeral": {"volumeClaimTemplate": {"spec": {"volumeMode": "Filesystem"}}}},
        ])
    );
}

#[test]
fn resources_of_the_pod_follow_from_its_containers() {
    let pod = |resources: Value| {
        value!({"spec": {
            "resources": resources,
            "containers": [{"resources": {"requests": {"cpu": "1"}}}, {"resources": {"limits": {"cpu": "2"}}}],
            "initContainers": [{"resources": {"requests": {"cpu": "5"}}}],
        }})
    };
    check_at(
        default_pod,
        pod(value!({"limits": {"cpu": "10", "memory": "1Gi"}})),
        &[(
            "spec.resources",
            value!({"limits": {"cpu": "10", "memory": "1Gi"}, "requests": {"cpu": "5", "memory": "1Gi"}}),
        )],
    );
    check_at(default_pod, pod(value!({})), &[("spec.resources", value!({}))]);
}

#[test]
fn workloads_get_their_defaults() {
    check_at(
        default_deployment,
        value!({}),
        &[
            ("spec.replicas", 1.into()),
            (
                "spec.strategy",
                value!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}),
            ),
            ("spec.revisionHistoryLimit", 10.into()),
            ("spec.progressDeadlineSeconds", 600.into()),
            ("spec.template.spec.restartPolicy", "Always".into()),
            ("spec.template.spec.enableServiceLinks", Value::Null),
        ],
    );
    check_at(
        default_deployment,
        value!({"spec": {"replicas": 0, "strategy": {"type": "Recreate"}}}),
        &[("spec.replicas", 0.into()), ("spec.strategy", value!({"type": "Recreate"}))],
    );
    check_at(
        default_stateful_set,
        value!({"spec": {"volumeClaimTemplates": [{"spec": {}}]}}),
        &[
            ("spec.updateStrategy", value!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})),
            (
                "spec.volumeClaimTemplates",
                value!([{"spec": {"volumeMode": "Filesystem"}, "status": {"phase": "Pending"}}]),
            ),
            ("spec.podManagementPolicy", "OrderedReady".into()),
        ],
    );
    check_at(
        default_daemon_set,
        value!({}),
        &[("spec.updateStrategy.rollingUpdate", value!({"maxUnavailable": 1, "maxSurge": 0}))],
    );
    check_at(
        default_job,
        value!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}),
        &[
            ("spec.completions", 1.into()),
            ("spec.parallelism", 1.into()),
            ("spec.backoffLimit", 6.into()),
            ("spec.podReplacementPolicy", "TerminatingOrFailed".into()),
            ("metadata.labels", value!({"a": "b"})),
        ],
    );
    check_at(
        default_job,
        value!({"spec": {"parallelism": 3, "backoffLimitPerIndex": 1}}),
        &[("spec.completions", Value::Null), ("spec.backoffLimit", i32::MAX.into())],
    );
    check_at(
        default_cron_job,
        value!({}),
        &[("spec.concurrencyPolicy", "Allow".into()), ("spec.failedJobsHistoryLimit", 1.into())],
    );
    check_at(
        default_horizontal_pod_autoscaler,
        value!({"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}}}),
        &[
            ("spec.behavior.scaleUp.selectPolicy", "Max".into()),
            ("spec.behavior.scaleDown.stabilizationWindowSeconds", 5.into()),
            (
                "spec.metrics",
                value!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]),
            ),
        ],
    );
}

#[test]
fn services_get_their_defaults() {
    check(
        default_service,
        value!({"spec": {"ports": [{"port": 80}, {"port": 81, "targetPort": "web", "protocol": "UDP"}]}}),
        value!({"spec": {
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}, {"port": 81, "targetPort": "web", "protocol": "UDP"}],
            "sessionAffinity": "None", "type": "ClusterIP", "internalTrafficPolicy": "Cluster",
        }}),
    );
    check_at(
        default_service,
        value!({"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}}),
        &[
            ("spec.externalTrafficPolicy", "Cluster".into()),
            ("spec.allocateLoadBalancerNodePorts", true.into()),
            ("spec.sessionAffinityConfig.clientIP.timeoutSeconds", 10800.into()),
            ("status.loadBalancer.ingress", value!([{"ip": "1.2.3.4", "ipMode": "VIP"}])),
        ],
    );
    check_at(
        default_service,
        value!({"spec": {"type": "ExternalName"}}),
        &[("spec.internalTrafficPolicy", Value::Null)],
    );
}

#[test]
fn the_rest_gets_its_defaults() {
    check(
        default_namespace,
        value!({"metadata": {"name": "a"}}),
        value!({
            "metadata": {"name": "a", "labels": {"kubernetes.io/metadata.name": "a"}}, "status": {"phase": "Active"},
        }),
    );
    check(default_secret, value!({}), value!({"type": "Opaque"}));
    check(
        default_endpoint_slice,
        value!({"ports": [{"port": 1}]}),
        value!({"ports": [{"port": 1, "name": "", "protocol": "TCP"}]}),
    );
    check(
        default_network_policy,
        value!({"spec": {"egress": [{"ports": [{"port": 1}]}]}}),
        value!({
            "spec": {"egress": [{"ports": [{"port": 1, "protocol": "TCP"}]}], "policyTypes": ["Ingress", "Egress"]},
        }),
    );
    check(
        default_role_binding,
        value!({"roleRef": {"name": "a"}, "subjects": [{"kind": "User"}, {"kind": "ServiceAccount"}]}),
        value!({
            "roleRef": {"name": "a", "apiGroup": "rbac.authorization.k8s.io"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io"}, {"kind": "ServiceAccount"}],
        }),
    );
    check(
        default_limit_range,
        value!({"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"memory": "1"}}]}}),
        value!({
            "spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"memory": "1"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1", "memory": "1"}}]},
        }),
    );
    check_at(
        default_custom_resource_definition,
        value!({"spec": {"names": {"kind": "Foo"}}}),
        &[
            ("spec.names", value!({"kind": "Foo", "singular": "foo", "listKind": "FooList"})),
            ("spec.conversion.strategy", "None".into()),
        ],
    );
}

#[test]
fn policies_and_bindings_get_their_defaults() {
    let rule = value!({"resources": ["pods"]});
    let filled_rule = value!({"resources": ["pods"], "scope": "*"});
    let resources = value!({"resourceRules": [rule.clone()], "excludeResourceRules": [rule]});
    let filled = value!({
        "resourceRules": [filled_rule.clone()], "excludeResourceRules": [filled_rule],
        "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {},
    });
    check(
        default_policy,
        value!({"spec": {"matchConstraints": resources.clone()}}),
        value!({"spec": {"matchConstraints": filled.clone(), "failurePolicy": "Fail"}}),
    );
    check(
        default_policy_binding,
        value!({"spec": {"paramRef": {"name": "a"}, "matchResources": resources}}),
        value!({"spec": {"paramRef": {"name": "a"}, "matchResources": filled}}),
    );
    check(default_policy, value!({}), value!({"spec": {"failurePolicy": "Fail"}}));
    check(default_policy_binding, value!({"spec": {}}), value!({"spec": {}}));
}

/// The single field counts where a client has changed that alone.
#[test]
fn one_address_and_its_list_agree() {
    for (single, list, expected) in [
        (Value::Null, value!(["10.1.0.0/24", "fd00::/64"]), value!(["10.1.0.0/24", "fd00::/64"])),
        (value!("10.1.0.0/24"), Value::Null, value!(["10.1.0.0/24"])),
        (value!("10.1.0.0/24"), value!(["10.1.0.0/24", "fd00::/64"]), value!(["10.1.0.0/24", "fd00::/64"])),
        (value!("10.1.0.0/24"), value!(["10.2.0.0/24", "fd00::/64"]), value!(["10.1.0.0/24"])),
    ] {
        check(
            default_node,
            value!({"spec": {"podCIDR": single, "podCIDRs": list}}),
            value!({"spec": {"podCIDR": "10.1.0.0/24", "podCIDRs": expected}}),
        );
    }
    check_at(
        default_pod,
        value!({"spec": {}, "status": {"podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}}),
        &[("status.podIP", value!("10.0.0.2")), ("status.podIPs", value!([{"ip": "10.0.0.2"}]))],
    );
    check_at(
        default_pod,
        value!({"spec": {}, "status": {"podIPs": [{"ip": "10.0.0.1"}]}}),
        &[("status.podIP", value!("10.0.0.1"))],
    );
}

#[test]
fn devices_lose_what_belongs_to_features_that_are_off() {
    let mut slice = value!({"spec": {"skipNodeOperations": ["Prepare"], "devices": [{
        "name": "d", "attributes": {"a": {"ints": [1]}, "b": {"int": 1}}, "nodeAllocatableResources": {"cpu": {}},
        "consumesCounters": [{"counterSet": "s", "compatibilityGroups": ["g"]}]
    }]}});
    default_resource_slice(&mut slice);
    let device = value!({
        "name": "d", "attributes": {"a": {}, "b": {"int": 1}}, "consumesCounters": [{"counterSet": "s"}]
    });
    assert_eq!(slice, value!({"spec": {"devices": [device]}}));
    let wanted = || value!({"derivedAttributes": [{}], "allocationMode": "All"});
    let mut claim = value!({
        "spec": {"devices": {"requests": [{"exactly": (wanted())}, {"firstAvailable": [(wanted())]}]}},
        "status": {"allocation": {"devices": {"results": [{"request": "r", "skipNodeOperations": ["Prepare"]}]}}}
    });
    default_resource_claim(&mut claim);
    let all = || value!({"allocationMode": "All"});
    let kept = value!({
        "spec": {"devices": {"requests": [{"exactly": (all())}, {"firstAvailable": [(all())]}]}},
        "status": {"allocation": {"devices": {"results": [{"request": "r"}]}}}
    });
    assert_eq!(claim, kept);
}
