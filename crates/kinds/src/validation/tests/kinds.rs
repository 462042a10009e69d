use super::*;
use crate::defaults::{
    default_deployment, default_replica_set, default_replication_controller, default_role_binding,
    default_secret, default_service,
};
use crate::validation::*;

const NONE: [&str; 0] = [];

fn service(spec: Value) -> Value {
    patched(
        &value!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}}),
        &value!({"spec": spec}),
        default_service,
    )
}

#[track_caller]
fn check_service(spec: Value, wrong: &[&str]) {
    assert_eq!(lines(validate_service(&service(spec.clone()))), wrong, "{spec:?}");
}

#[test]
fn services() {
    check_service(value!({}), &[]);
    check_service(value!({"ports": []}), &["spec.ports: Required value"]);
    check_service(value!({"clusterIP": "None", "clusterIPs": ["None"], "ports": []}), &[]);
    check_service(
        value!({"ports": [{"port": 80}, {"port": 0, "name": "a"}]}),
        &[
            "spec.ports[0].name: Required value",
            "spec.ports[1].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[1].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
        ],
    );
    check_service(value!({"type": "ExternalName"}), &["spec.externalName: Required value"]);
    check_service(
        value!({"type": "Odd"}),
        &[
            r#"spec.type: Unsupported value: "Odd": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#,
        ],
    );
    check_service(
        value!({"ports": [{"port": 80, "nodePort": 30000}]}),
        &["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
    );
    check_service(value!({"clusterIP": "10.0.0.1"}), &["spec.clusterIPs: Required value"]);
    check_service(
        value!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1", "10.0.0.2"]}),
        &[
            r#"spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each IP family"#,
        ],
    );
    check_service(
        value!({"externalIPs": ["127.0.0.1"]}),
        &[
            r#"spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)"#,
        ],
    );
    check_service(
        value!({"loadBalancerClass": "a.io/b"}),
        &["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
    );
    check_service(
        value!({"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.1/8"]}),
        &[
            r#"spec.LoadBalancerSourceRanges[0]: Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length"#,
        ],
    );
    check_service(
        value!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"}),
        &["spec.healthCheckNodePort: Required value"],
    );
    check_service(
        value!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}}),
        &[
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: must be greater than 0 and less than 86400",
        ],
    );
    check_service(
        value!({"trafficDistribution": "Far"}),
        &[
            r#"spec.trafficDistribution: Unsupported value: "Far": supported values: "PreferClose", "PreferSameNode", "PreferSameZone""#,
        ],
    );
}

#[test]
fn service_updates() {
    let old = service(
        value!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}),
    );
    let wrong = |spec: Value| {
        lines(validate_service_update(&patched(&old, &value!({"spec": spec}), default_service), &old))
    };
    assert_eq!(wrong(value!({"selector": {"a": "b"}})), NONE);
    assert_eq!(
        wrong(value!({"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"]})),
        [r#"spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set"#]
    );
    assert_eq!(
        wrong(
            value!({"clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"})
        ),
        NONE
    );
    assert_eq!(
        wrong(value!({"clusterIP": null, "clusterIPs": null})),
        ["spec.clusterIPs[0]: Invalid value: null: primary clusterIP can not be unset"]
    );
    let balanced =
        value!({"spec": {"type": "ClusterIP"}, "status": {"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}]}}});
    assert_eq!(
        lines(validate_service_status_update(&balanced, &old)),
        ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"]
    );
}

/// Addresses that existing objects may keep but new ones may not have.
#[test]
fn what_older_versions_took_may_stay() {
    let zeros = "must not have leading 0s";
    let old = service(value!({
        "type": "LoadBalancer", "externalIPs": ["001.2.3.4"], "loadBalancerSourceRanges": [" 010.0.0.0/8 "],
        "clusterIP": "010.43.0.1", "clusterIPs": ["010.43.0.1"], "ipFamilies": ["IPv4"]
    }));
    let wrong = lines(validate_service(&old));
    assert_eq!(wrong.len(), 3, "{wrong:?}");
    assert!(wrong.iter().all(|line| line.contains(zeros)), "{wrong:?}");
    assert_eq!(lines(validate_service_update(&old, &old)), NONE);
    let new = patched(&old, &value!({"spec": {"externalIPs": ["001.2.3.4", "001.2.3.5"]}}), default_service);
    let wrong = lines(validate_service_update(&new, &old));
    assert!(wrong.len() == 1 && wrong[0].starts_with("spec.externalIPs[1]"), "{wrong:?}");

    let annotated = |ranges: &str| {
        let annotations = value!({"service.beta.kubernetes.io/load-balancer-source-ranges": ranges});
        patched(
            &service(value!({"type": "LoadBalancer"})),
            &value!({"metadata": {"annotations": annotations}}),
            default_service,
        )
    };
    let old = annotated("010.0.0.0/8, 10.0.0.1/8");
    assert_eq!(lines(validate_service(&old)).len(), 2);
    assert_eq!(lines(validate_service_update(&old, &old)), NONE);
    assert_eq!(lines(validate_service_update(&annotated("10.0.0.0/8,"), &old)).len(), 1);

    let status = |ip: &str| {
        let ingress = value!([{"ip": ip, "ipMode": "VIP"}]);
        value!({"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": ingress}}})
    };
    assert_eq!(lines(validate_service_status_update(&status("001.2.3.4"), &status("1.2.3.4"))).len(), 1);
    assert_eq!(lines(validate_service_status_update(&status("001.2.3.4"), &status("001.2.3.4"))), NONE);

    let subset = |ip: &str| value!({"subsets": [{"notReadyAddresses": [{"ip": ip}]}]});
    assert_eq!(lines(validate_endpoints(&subset("001.2.3.4"))).len(), 1);
    assert_eq!(lines(validate_endpoints_update(&subset("001.2.3.4"), &subset("001.2.3.4"))), NONE);
    assert_eq!(lines(validate_endpoints_update(&subset("127.0.0.1"), &subset("127.0.0.1"))).len(), 1);

    let slice = |address: &str| value!({"addressType": "IPv4", "endpoints": [{"addresses": [address]}]});
    assert_eq!(lines(validate_endpoint_slice(&slice("001.2.3.4"))).len(), 1);
    assert_eq!(lines(validate_endpoint_slice_update(&slice("001.2.3.4"), &slice("001.2.3.4"))), NONE);
    assert_eq!(
        lines(validate_endpoint_slice_update(&slice("1.2.3.4"), &value!({"addressType": "FQDN"}))),
        ["addressType: Invalid value: null: field is immutable"]
    );
}

#[test]
fn families_are_compared_only_where_all_else_is_right() {
    let wrong = |spec: Value| lines(validate_cluster_ips(&service(spec)));
    let mixed = r#"spec.clusterIPs[0]: Invalid value: "fd00::1": expected an IPv4 value as indicated by `ipFamilies[0]`"#;
    assert_eq!(
        wrong(value!({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"], "ipFamilies": ["IPv4"]})),
        [mixed]
    );
    assert_eq!(
        wrong(value!({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"], "ipFamilies": ["IPv4", "IPv4"]})),
        [r#"spec.ipFamilies[1]: Duplicate value: "IPv4""#]
    );
    assert_eq!(
        wrong(value!({"clusterIP": "None", "clusterIPs": ["None", "10.0.0.1"]})),
        [r#"spec.clusterIPs: Invalid value: ["None","10.0.0.1"]: 'None' must be the first and only value"#]
    );
}

#[test]
fn endpoint_slices() {
    let wrong = |patch: Value| {
        let slice = value!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": []});
        lines(validate_endpoint_slice(&merge_patch(slice, patch).unwrap()))
    };
    let hints = |list: &str, names: &[&str]| {
        let places: Vec<Value> = names.iter().map(|name| value!({"name": (*name)})).collect();
        let mut hints = Value::map();
        hints.set(list.to_owned(), places);
        value!({"endpoints": [{"addresses": ["10.0.0.1"], "hints": hints}]})
    };
    let many: Vec<String> = (0..9).map(|index| format!("z{index}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(wrong(hints("forZones", &["a", "b"])), NONE);
    assert_eq!(
        wrong(hints("forZones", &["a", "a"])),
        [r#"endpoints[0].hints.forZones[1].name: Duplicate value: "a""#]
    );
    assert_eq!(
        wrong(hints("forNodes", &many)),
        ["endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items"]
    );
    let port = |name: &str, protocol: &str| value!({"name": name, "protocol": protocol, "port": 1});
    assert_eq!(
        wrong(value!({"ports": [(port("a", "TCP")), (port("a", "ICMP"))]})),
        [
            r#"ports[1].name: Duplicate value: "a""#,
            r#"ports[1].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP""#
        ]
    );
    for (address, why) in [
        ("0.0.0.0", "may not be unspecified (0.0.0.0)"),
        ("127.0.0.1", "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        ("169.254.0.1", "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        ("224.0.0.1", "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ] {
        let told = format!(r#"endpoints[0].addresses[0]: Invalid value: "{address}": {why}"#);
        assert_eq!(wrong(value!({"endpoints": [{"addresses": [address]}]})), [told]);
    }
    assert_eq!(
        wrong(value!({"addressType": "FQDN", "endpoints": [{"addresses": ["web"]}]})),
        [
            r#"endpoints[0].addresses[0]: Invalid value: "web": should be a domain with at least two segments separated by dots"#
        ]
    );
}

fn deployment(spec: Value) -> Value {
    let base = value!({"spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "x"}]}},
    }});
    patched(&base, &value!({"spec": spec}), default_deployment)
}

#[test]
fn deployments() {
    let wrong = |spec: Value| lines(validate_deployment(&deployment(spec)));
    assert_eq!(wrong(value!({})), NONE);
    assert_eq!(
        wrong(value!({"replicas": -1})),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
    );
    assert_eq!(wrong(value!({"selector": null}))[0], "spec.selector: Required value");
    assert_eq!(
        wrong(value!({"selector": {"matchLabels": {"a": "c"}}})),
        [
            r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#
        ]
    );
    assert_eq!(
        wrong(value!({"template": {"spec": {"restartPolicy": "Never"}}})),
        [r#"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#]
    );
    assert_eq!(
        wrong(value!({"strategy": {"type": "Recreate", "rollingUpdate": {}}})),
        ["spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"]
    );
    assert_eq!(
        wrong(value!({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}})),
        ["spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0"]
    );
    assert_eq!(
        wrong(value!({"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}})),
        [
            r#"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%"#
        ]
    );
    assert_eq!(
        wrong(value!({"strategy": {"rollingUpdate": {"maxSurge": "x"}}})),
        [
            r#"spec.strategy.rollingUpdate.maxSurge: Invalid value: "x": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"#
        ]
    );
    // A number in quotes is no percentage, and refused as that alone.
    assert_eq!(
        wrong(value!({"strategy": {"rollingUpdate": {"maxUnavailable": "5", "maxSurge": 0}}})),
        [
            r#"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "5": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"#
        ]
    );
    assert_eq!(
        wrong(value!({"progressDeadlineSeconds": 5, "minReadySeconds": 5})),
        ["spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"]
    );

    let old = deployment(value!({}));
    let new = deployment(
        value!({"selector": {"matchLabels": {"c": "d"}}, "template": {"metadata": {"labels": {"c": "d"}}}}),
    );
    assert_eq!(
        lines(validate_deployment_update(&new, &old)),
        [r#"spec.selector: Invalid value: {"matchLabels":{"a":"b","c":"d"}}: field is immutable"#]
    );
    let status = value!({"status": {"replicas": 1, "readyReplicas": 2, "availableReplicas": 0}});
    assert_eq!(
        lines(validate_deployment_status_update(&status, &old)),
        ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"]
    );

    let mut set = deployment(value!({}));
    default_replica_set(&mut set);
    set.at_mut("spec").unwrap().remove("strategy");
    assert_eq!(lines(validate_replica_set(&set)), NONE);
}

#[test]
fn replication_controllers() {
    let template = |labels: Value| value!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let wrong = |spec: Value| {
        let mut controller = value!({"metadata": {"name": "x", "namespace": "default"}, "spec": spec});
        default_replication_controller(&mut controller);
        lines(validate_replication_controller(&controller))
    };
    let labels = value!({"a": "b"});
    // Selector and number come from the template and by default.
    assert_eq!(wrong(value!({"template": template(labels.clone())})), NONE);
    assert_eq!(
        wrong(value!({"selector": {"a": "b"}, "template": template(value!({"a": "b", "c": "d"}))})),
        NONE
    );
    assert_eq!(
        wrong(value!({"selector": {"a": "x"}, "template": template(labels.clone())})),
        [
            r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#
        ]
    );
    assert_eq!(
        wrong(value!({"replicas": -1, "minReadySeconds": -2, "template": template(labels.clone())})),
        [
            "spec.minReadySeconds: Invalid value: -2: must be greater than or equal to 0",
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
        ]
    );
    assert_eq!(
        wrong(value!({"replicas": 1})),
        ["spec.selector: Required value", "spec.template: Required value"]
    );
    let mut once = template(labels);
    once.entry("spec").set("restartPolicy", "Never");
    once.entry("spec").set("activeDeadlineSeconds", 5);
    assert_eq!(
        wrong(value!({"template": once})),
        [
            r#"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#,
            "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not \
             Supported",
        ]
    );
    let status = value!({"status": {"replicas": 1, "readyReplicas": 1, "availableReplicas": 2}});
    assert_eq!(
        lines(validate_replication_controller_status_update(&status, &status)),
        [
            "status.availableReplicas: Invalid value: 2: cannot be greater than status.replicas",
            "status.availableReplicas: Invalid value: 2: cannot be greater than readyReplicas",
        ]
    );
}

#[test]
fn config_maps_and_secrets() {
    let wrong = |map: Value| lines(validate_config_map(&map));
    assert_eq!(wrong(value!({"data": {"a": "b"}, "binaryData": {"c": "AA=="}})), NONE);
    assert_eq!(
        wrong(value!({"data": {"a": "b"}, "binaryData": {"a": "AA=="}})),
        [r#"data[a]: Invalid value: "a": duplicate of key present in binaryData"#]
    );
    assert_eq!(
        wrong(value!({"data": {"a": "x".repeat((1 << 20) + 1)}})),
        [": Too long: may not be more than 1048576 bytes"]
    );
    let old = value!({"immutable": true, "data": {"a": "b"}});
    assert_eq!(
        lines(validate_config_map_update(&value!({"immutable": true, "data": {"a": "c"}}), &old)),
        ["data: Forbidden: field is immutable when `immutable` is set"]
    );

    let secret = |secret: Value| patched(&value!({}), &secret, default_secret);
    let wrong = |patch: Value| lines(validate_secret(&secret(patch)));
    assert_eq!(wrong(value!({"data": {"a": "AA=="}})), NONE);
    assert_eq!(
        wrong(value!({"type": "kubernetes.io/tls"})),
        ["data[tls.crt]: Required value", "data[tls.key]: Required value"]
    );
    assert_eq!(
        wrong(value!({"type": "kubernetes.io/service-account-token"})),
        ["metadata.annotations[kubernetes.io/service-account.name]: Required value"]
    );
    assert_eq!(
        wrong(value!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "e30="}})),
        NONE
    );
    assert_eq!(
        wrong(value!({"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}}))
            .len(),
        1
    );
    assert_eq!(
        lines(validate_secret_update(&secret(value!({"type": "x"})), &secret(value!({})))),
        [r#"type: Invalid value: "x": field is immutable"#]
    );
}

#[test]
fn roles_and_bindings() {
    let rule = |rule: Value| value!({"rules": [rule]});
    assert_eq!(
        lines(validate_role(&rule(value!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]})))),
        NONE
    );
    assert_eq!(
        lines(validate_role(&rule(value!({"verbs": ["get"], "nonResourceURLs": ["/x"]})))),
        [
            r#"rules[0].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs"#
        ]
    );
    assert_eq!(
        lines(validate_cluster_role(&rule(value!({"verbs": ["get"], "nonResourceURLs": ["/x"]})))),
        NONE
    );
    assert_eq!(
        lines(validate_cluster_role(&rule(value!({})))),
        [
            "rules[0].verbs: Required value: verbs must contain at least one value",
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[0].resources: Required value: resource rules must supply at least one resource"
        ]
    );
    let binding = |binding: Value| {
        patched(&value!({"roleRef": {"kind": "Role", "name": "r"}}), &binding, default_role_binding)
    };
    assert_eq!(
        lines(validate_role_binding(&binding(value!({"subjects": [{"kind": "User", "name": "u"}]})))),
        NONE
    );
    assert_eq!(
        lines(validate_cluster_role_binding(&binding(
            value!({"subjects": [{"kind": "ServiceAccount", "name": "s"}]})
        ))),
        [
            r#"roleRef.kind: Unsupported value: "Role": supported values: "ClusterRole""#,
            "subjects[0].namespace: Required value"
        ]
    );
    let (old, new) = (binding(value!({})), binding(value!({"roleRef": {"name": "other"}})));
    assert_eq!(
        lines(validate_role_binding_update(&new, &old)),
        [
            r#"roleRef: Invalid value: {"kind":"Role","name":"other","apiGroup":"rbac.authorization.k8s.io"}: cannot change roleRef"#
        ]
    );
}

#[test]
fn nodes_namespaces_and_leases() {
    assert_eq!(lines(validate_node(&value!({"spec": {"podCIDRs": ["10.0.0.0/24"]}}))), NONE);
    assert_eq!(
        lines(validate_node(
            &value!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule"}]}})
        )),
        [
            r#"metadata.taints[1]: Duplicate value: {"key":"a","effect":"NoSchedule"}: taints must be unique by key and effect pair"#
        ]
    );
    assert_eq!(
        lines(validate_node_update(
            &value!({"spec": {"podCIDRs": ["10.1.0.0/24"]}}),
            &value!({"spec": {"podCIDRs": ["10.0.0.0/24"]}})
        )),
        [r#"spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid"#]
    );
    assert_eq!(
        lines(validate_node_update(&value!({"spec": {"podCIDRs": ["10.1.0.0/24"]}}), &value!({"spec": {}}))),
        NONE
    );
    assert_eq!(
        lines(validate_namespace(&value!({"spec": {"finalizers": ["mine"]}}))),
        [
            r#"spec.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified"#
        ]
    );
    assert_eq!(
        lines(validate_namespace_status_update(&value!({"status": {"phase": "Terminating"}}), &value!({}))),
        [
            r#"status.Phase: Invalid value: "Terminating": may only be 'Active' if `deletionTimestamp` is empty"#
        ]
    );
    assert_eq!(
        lines(validate_lease(&value!({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}))),
        [
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0"
        ]
    );
}

#[test]
fn endpoints_and_events() {
    let slice = |slice: Value| {
        lines(validate_endpoint_slice(&merge_patch(value!({"addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"name": "", "protocol": "TCP", "port": 1}]}), slice).unwrap()))
    };
    assert_eq!(slice(value!({})), NONE);
    assert_eq!(
        slice(value!({"addressType": "IPv6"})),
        [r#"endpoints[0].addresses[0]: Invalid value: "10.0.0.1": must be an IPv6 address"#]
    );
    assert_eq!(
        slice(value!({"endpoints": [{"addresses": []}]})),
        ["endpoints[0].addresses: Required value: must contain at least 1 address"]
    );
    assert_eq!(
        slice(value!({"addressType": "IP"})),
        [r#"addressType: Unsupported value: "IP": supported values: "FQDN", "IPv4", "IPv6""#]
    );
    assert_eq!(
        lines(validate_endpoints(&value!({"subsets": [{}]}))),
        ["subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"]
    );

    let event = |patch: Value| {
        merge_patch(
            value!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "a"}, "type": "Normal"}),
            patch,
        )
        .unwrap()
    };
    assert_eq!(lines(validate_event(&event(value!({})), false)), NONE);
    assert_eq!(
        lines(validate_event(&event(value!({"involvedObject": {"namespace": "b"}})), false)),
        [r#"involvedObject.namespace: Invalid value: "b": does not match event.namespace"#]
    );
    let new = event(
        value!({"eventTime": "2026-01-01T00:00:00.000000Z", "reportingComponent": "c", "reportingInstance": "i", "action": "a", "reason": "r"}),
    );
    assert_eq!(lines(validate_event(&new, true)), NONE);
    assert_eq!(lines(validate_event(&event(value!({})), true)), ["eventTime: Required value"]);
    let mut changed = new.clone();
    changed.set("reason", "other");
    assert_eq!(
        lines(validate_event_update(&changed, &new, true)).len(),
        2,
        "upstream checks the reason twice"
    );
}
