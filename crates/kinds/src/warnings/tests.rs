//! Objects with what is wrong about them, by kind.

use object::{Value, value};

use crate::registry::strategy;

/// The warnings for a new object of a resource.
fn of(group: &str, plural: &str, object: &Value) -> Vec<String> {
    strategy(group, plural).warnings(object, None)
}

const OLD_OS: &str = "beta.kubernetes.io/os";
const OS_ADVICE: &str = "deprecated since v1.14; use \"kubernetes.io/os\" instead";

/// A pod's spec, or a template's, with one container.
fn spec(members: Value) -> Value {
    let mut spec = value!({"containers": [{"name": "c", "image": "i"}]});
    for (name, member) in members.entries() {
        spec.set(name.to_owned(), member.clone());
    }
    spec
}

#[track_caller]
fn check_spec(members: Value, expected: &[&str]) {
    let pod = value!({"metadata": {"name": "p"}, "spec": (spec(members.clone()))});
    assert_eq!(of("", "pods", &pod), expected, "{members:?}");
}

#[test]
fn pods_and_labels_of_nodes() {
    let old = || value!([{"key": OLD_OS, "operator": "In", "values": ["-1"]}]);
    let expression = format!("key: {OLD_OS} is {OS_ADVICE}");
    let affinity = "spec.affinity.nodeAffinity";
    check_spec(
        value!({"nodeSelector": {"beta.kubernetes.io/os": "a"}}),
        &[&format!("spec.nodeSelector[{OLD_OS}]: {OS_ADVICE}")],
    );
    check_spec(
        value!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": (old())}]
        }}}}),
        &[&format!(
            "{affinity}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].{expression}"
        )],
    );
    let path = format!(
        "{affinity}.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0]"
    );
    let value = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    check_spec(
        value!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "preference": {"matchExpressions": (old())}}
        ]}}}),
        &[&format!("{path}.{expression}"), &format!("{path}.values[0]: -1 is invalid, {value}")],
    );
    check_spec(
        value!({"topologySpreadConstraints": [{"topologyKey": OLD_OS}]}),
        &[
            &format!("spec.topologySpreadConstraints[0].topologyKey: {OLD_OS} is {OS_ADVICE}"),
            "spec.topologySpreadConstraints[0].labelSelector: a null labelSelector results in matching no pod",
        ],
    );
    let null = "labelSelector: a null labelSelector results in matching no pod";
    check_spec(
        value!({"affinity": {
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "k"}]},
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": {}}]}
        }}),
        &[
            &format!("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].{null}"),
            &format!(
                "spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.{null}"
            ),
        ],
    );
}

#[test]
fn pods_and_their_volumes() {
    let volume = |name: &str, source: &'static str| {
        let mut volume = value!({"name": name});
        volume.set(source, Value::map());
        volume
    };
    check_spec(
        value!({"volumes": [(volume("a", "gitRepo")), (volume("b", "rbd")), (volume("c", "storageos"))]}),
        &[
            "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
            "spec.volumes[1].rbd: deprecated in v1.28, non-functional in v1.31+",
            "spec.volumes[2].storageOS: deprecated in v1.22, non-functional in v1.25+",
        ],
    );
    check_spec(
        value!({"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
            "resources": {"requests": {"storage": "1500m"}}
        }}}}]}),
        &[
            r#"spec.volumes[0].ephemeral.volumeClaimTemplate.spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer"#,
        ],
    );
    let items = || value!([{"key": "a", "path": "test"}, {"key": "b", "path": "test/app"}, {"key": "c", "path": "tests"}]);
    check_spec(
        value!({"volumes": [
            {"name": "v", "configMap": {"name": "m", "items": (items())}},
            {"name": "w", "downwardAPI": {"items": (items())}},
        ]}),
        &[
            r#"volume "v" (ConfigMap "m"): overlapping paths: "test/app" with "test""#,
            r#"volume "w" (DownwardAPI): overlapping paths: "test/app" with "test""#,
        ],
    );
    check_spec(
        value!({"volumes": [{"name": "v", "projected": {"sources": [
            {"clusterTrustBundle": {"signerName": "s", "path": "test/test"}},
            {"secret": {"name": "x", "items": [{"key": "a", "path": "test/"}]}},
            {"serviceAccountToken": {"path": "test"}},
            {},
        ]}}]}),
        &[
            r#"volume "v" (Projected): overlapping paths: "test" (Secret "x") with "test/test" (ClusterTrustBundle "s")"#,
            r#"volume "v" (Projected): overlapping paths: "test" (ServiceAccountToken) with "test/test" (ClusterTrustBundle "s")"#,
            r#"volume "v" (Projected): overlapping paths: "test" (ServiceAccountToken) with "test" (Secret "x")"#,
            r#"volume "v" (Projected) has no sources provided"#,
        ],
    );
}

#[test]
fn pods_and_what_is_there_twice() {
    check_spec(
        value!({
            "hostAliases": [{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}],
            "imagePullSecrets": [{"name": "a"}, {"name": "a"}, {"name": ""}]
        }),
        &[
            r#"spec.hostAliases[1].ip: duplicate ip "1.1.1.1""#,
            r#"spec.imagePullSecrets[1].name: duplicate name "a""#,
            r#"spec.imagePullSecrets[2].name: invalid empty name """#,
        ],
    );
    let hides = |index: usize| {
        format!(
            r#"spec.initContainers[0].env[{index}]: hides previous definition of "a", which may be dropped when using apply"#
        )
    };
    check_spec(
        value!({"initContainers": [{"name": "i", "env": [
            {"name": "a", "value": "a"}, {"name": "a", "value": "other"}, {"name": "a", "value": "$(a)"},
            {"name": "a", "valueFrom": {}}, {"name": "a", "value": "$(a) $(a)"}
        ]}]}),
        &[&hides(1), &hides(2), &hides(3)],
    );
    let port = |port: i64, of_node: i64, ip: &str| value!({"containerPort": port, "protocol": "TCP", "hostPort": of_node, "hostIP": ip});
    check_spec(
        value!({"containers": [
            {"name": "a", "ports": [(port(80, 0, "10.0.0.1")), (port(81, 0, "")), (port(81, 0, ""))]},
            {"name": "b", "ports": [(port(81, 5, "")), (port(82, 5, "")), (port(82, 5, "1.1.1.1")), (port(82, 6, "1.1.1.1"))]}
        ]}),
        &[
            "spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}",
            "spec.containers[0].ports[2]: duplicate port definition with spec.containers[0].ports[1]",
            "spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[1]",
            "spec.containers[1].ports[0]: overlapping port definition with spec.containers[0].ports[2]",
            "spec.containers[1].ports[2]: dangerously ambiguous port definition with spec.containers[1].ports[1]",
        ],
    );
}

#[test]
fn pods_and_their_values() {
    let fraction = "is invalid, must be an integer";
    check_spec(
        value!({
            "overhead": {"memory": "1.5"}, "terminationGracePeriodSeconds": (-1),
            "containers": [{"name": "c", "resources": {"limits": {"ephemeral-storage": "0.1", "cpu": "0.1"}}}]
        }),
        &[
            &format!(r#"spec.overhead[memory]: fractional byte value "1500m" {fraction}"#),
            &format!(
                r#"spec.containers[0].resources.limits[ephemeral-storage]: fractional byte value "100m" {fraction}"#
            ),
            "spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and will be treated as 1",
        ],
    );
    let future = "will be considered invalid in a future Kubernetes release: use";
    check_spec(
        value!({"dnsConfig": {"nameservers": ["1.2.3.4", "05.06.07.08"]}, "hostAliases": [{"ip": "::ffff:1.2.3.4"}]}),
        &[
            &format!(
                r#"spec.dnsConfig.nameservers[1]: non-standard IP address "05.06.07.08" {future} "5.6.7.8""#
            ),
            &format!(
                r#"spec.hostAliases[0].ip: non-standard IP address "::ffff:1.2.3.4" {future} "1.2.3.4""#
            ),
        ],
    );
    let advice = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
    let pod = value!({
        "metadata": {"name": "a.b", "annotations": {
            "scheduler.alpha.kubernetes.io/critical-pod": "", "seccomp.security.alpha.kubernetes.io/pod": "x",
            "container.seccomp.security.alpha.kubernetes.io/c": "x",
            "container.apparmor.security.beta.kubernetes.io/c": "x"
        }},
        "spec": (spec(value!({})))
    });
    let warnings = of("", "pods", &pod);
    assert!(warnings[0].starts_with("metadata.name: this is used in the Pod's hostname"), "{warnings:?}");
    assert_eq!(
        warnings[1..],
        [
            r#"metadata.annotations[scheduler.alpha.kubernetes.io/critical-pod]: non-functional in v1.16+; use the "priorityClassName" field instead"#.to_owned(),
            format!("metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: {advice}"),
            format!("metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: {advice}"),
        ]
    );
    // Pods are not told again, their agents are.
    let pods = strategy("", "pods");
    assert!(pods.warnings(&pod, Some(&pod)).is_empty());
    let mut reported = pod.clone();
    reported.set("status", value!({"podIPs": [{"ip": "FD00::1"}], "hostIPs": [{"ip": "10.0.0.1"}]}));
    assert_eq!(
        pods.warnings(&reported, Some(&pod)),
        [r#"status.podIPs[0].ip: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")"#]
    );
}

/// Every kind with a template warns about it under its own path, and again only when it changes.
#[test]
fn templates_of_pods() {
    let template = || {
        value!({
            "metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "x"}},
            "spec": (spec(value!({"terminationGracePeriodSeconds": (-1)})))
        })
    };
    let advice = r#"deprecated since v1.30; use the "appArmorProfile" field instead"#;
    let grace = "must be >= 0; negative values are invalid and will be treated as 1";
    let cases = [
        ("", "podtemplates", "template", "template", false),
        // Upstream's path leaves out `spec`.
        ("", "replicationcontrollers", "spec.template", "template", true),
        ("apps", "daemonsets", "spec.template", "spec.template", false),
        ("apps", "deployments", "spec.template", "spec.template", true),
        ("apps", "replicasets", "spec.template", "spec.template", true),
        ("apps", "statefulsets", "spec.template", "spec.template", false),
        ("batch", "jobs", "spec.template", "spec.template", true),
        ("batch", "cronjobs", "spec.jobTemplate.spec.template", "spec.jobTemplate.spec.template", true),
    ];
    for (group, plural, place, path, is_named) in cases {
        let strategy = strategy(group, plural);
        let place: Vec<&str> = place.split('.').collect();
        let mut object = value!({"metadata": {"name": "a.b"}});
        let inner = place.iter().fold(&mut object, |value, name| value.entry((*name).to_owned()));
        *inner = template();
        let told = [
            format!(
                "{path}.metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: {advice}"
            ),
            format!("{path}.spec.terminationGracePeriodSeconds: {grace}"),
        ];
        let mut warnings = strategy.warnings(&object, None);
        if is_named {
            assert!(
                warnings.remove(0).starts_with("metadata.name: this is used in Pod names and hostnames"),
                "{plural}"
            );
        }
        assert_eq!(warnings, told, "{plural}");
        assert_eq!(strategy.warnings(&object, Some(&value!({}))), told, "a change of {plural}");
        assert!(strategy.warnings(&object, Some(&object)).is_empty(), "no change of {plural}");
    }
}

#[test]
fn jobs_with_many_indexes() {
    let spec = |completions: i64| value!({"spec": {"completionMode": "Indexed", "completions": completions, "parallelism": 20_000}});
    let named = |mut job: Value| {
        job.set("metadata", value!({"name": "j"}));
        job
    };
    assert!(of("batch", "jobs", &named(spec(100_000))).is_empty());
    let warnings = of("batch", "jobs", &named(spec(100_001)));
    assert!(
        warnings[0].starts_with("spec: In Indexed Jobs with a number of completions higher than 10^5"),
        "{warnings:?}"
    );
    let cron = named(value!({"spec": {"jobTemplate": (spec(100_001)), "schedule": "TZ=UTC 0 * * * *"}}));
    let warnings = of("batch", "cronjobs", &cron);
    assert!(warnings[0].starts_with("spec.jobTemplate.spec: In Indexed Jobs"), "{warnings:?}");
    let warnings = strategy("batch", "cronjobs").warnings(&cron, Some(&cron));
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("cannot use TZ or CRON_TZ in spec.spec.schedule"), "{warnings:?}");
}

#[test]
fn stateful_sets() {
    let set = value!({"metadata": {"name": "s"}, "spec": {
        "template": {"spec": (spec(value!({})))}, "revisionHistoryLimit": (-1),
        "volumeClaimTemplates": [{"spec": {"resources": {"limits": {"storage": "0.5"}}}}]
    }});
    let limit = "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended";
    let fraction =
        r#"resources.limits[storage]: fractional byte value "500m" is invalid, must be an integer"#;
    assert_eq!(
        of("apps", "statefulsets", &set),
        [&format!("spec.volumeClaimTemplates[0].{fraction}"), limit]
    );
    assert_eq!(
        strategy("apps", "statefulsets").warnings(&set, Some(&set)),
        [&format!("spec.volumeClaimTemplates[0].Spec.{fraction}"), limit]
    );
}

#[test]
fn services() {
    let check = |spec: Value, expected: &[&str]| {
        let mut service =
            value!({"metadata": {"name": "s"}, "spec": {"type": "ClusterIP", "sessionAffinity": "None"}});
        for (name, member) in spec.entries() {
            service.entry("spec").set(name.to_owned(), member.clone());
        }
        assert_eq!(of("", "services", &service), expected, "{spec:?}");
    };
    let canonical = "should be in RFC 5952 canonical format";
    check(value!({"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"]}), &[]);
    check(
        value!({"clusterIP": "FD00::1", "clusterIPs": ["FD00::1"]}),
        &[&format!(r#"spec.clusterIPs[0]: IPv6 address "FD00::1" {canonical} ("fd00::1")"#)],
    );
    check(
        value!({"clusterIP": "None", "loadBalancerIP": "1.2.3.4", "externalIPs": ["1.2.3.4"], "sessionAffinity": "ClientIP"}),
        &[
            "spec.loadBalancerIP is ignored for headless services",
            "spec.externalIPs is ignored for headless services",
            "spec.SessionAffinity is ignored for headless services",
        ],
    );
    check(
        value!({"externalIPs": ["1.2.3.4"], "externalName": "x", "trafficDistribution": "PreferClose"}),
        &[
            "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
            r#"spec.externalName is ignored when spec.type is not "ExternalName""#,
            r#"spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone""#,
        ],
    );
    check(
        value!({"type": "ExternalName", "externalName": "x", "externalIPs": ["1.2.3.4"]}),
        &[r#"spec.externalIPs is ignored when spec.type is "ExternalName""#],
    );
    let ambiguous = r#"is ambiguous in this context (should be "10.0.0.0/8" or "10.0.0.1/32"?)"#;
    let future = "will be considered invalid in a future Kubernetes release: use";
    check(
        value!({"loadBalancerSourceRanges": ["10.0.0.1/8", "010.0.0.0/8", "FD00::/8", "10.0.0.0/8"]}),
        &[
            &format!(r#"spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.1/8" {ambiguous}"#),
            &format!(
                r#"spec.loadBalancerSourceRanges[1]: non-standard CIDR value "010.0.0.0/8" {future} "10.0.0.0/8""#
            ),
            &format!(
                r#"spec.loadBalancerSourceRanges[2]: IPv6 CIDR value "FD00::/8" {canonical} ("fd00::/8")"#
            ),
        ],
    );
    let hinted = value!({
        "metadata": {"annotations": {"service.kubernetes.io/topology-aware-hints": "auto"}},
        "spec": {"type": "ClusterIP", "sessionAffinity": "None"}
    });
    assert_eq!(
        of("", "services", &hinted),
        [
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use service.kubernetes.io/topology-mode instead"
        ]
    );
}

#[test]
fn endpoints_and_slices() {
    let addresses = || value!([{"ip": "FD00::1"}]);
    let told = r#"IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")"#;
    let mut endpoints =
        value!({"subsets": [{"addresses": (addresses()), "notReadyAddresses": (addresses())}]});
    assert_eq!(
        of("", "endpoints", &endpoints),
        [
            format!("subsets[0].addresses[0].ip: {told}"),
            format!("subsets[0].notReadyAddresses[0].ip: {told}")
        ]
    );
    assert!(strategy("", "endpoints").deprecation().is_some());
    endpoints
        .set("metadata", value!({"labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}}));
    assert!(of("", "endpoints", &endpoints).is_empty());

    let mut slice = value!({"addressType": "IPv6", "endpoints": [{"addresses": ["fd00::1", "FD00::1"]}]});
    assert_eq!(
        of("discovery.k8s.io", "endpointslices", &slice),
        [format!("endpoints[0].addresses[1]: {told}")]
    );
    let manager = "endpointslice-controller.k8s.io";
    slice.set("metadata", value!({"labels": {"endpointslice.kubernetes.io/managed-by": manager}}));
    assert!(of("discovery.k8s.io", "endpointslices", &slice).is_empty());
    let slice = value!({"addressType": "FQDN", "endpoints": [{"addresses": ["a.b"]}]});
    assert_eq!(
        of("discovery.k8s.io", "endpointslices", &slice),
        ["spec.addressType: FQDN endpoints are deprecated"]
    );
}

#[test]
fn ingresses_and_network_policies() {
    let mut ingress = value!({"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {}});
    let advice = "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead";
    assert_eq!(of("networking.k8s.io", "ingresses", &ingress), [advice]);
    let strategy = strategy("networking.k8s.io", "ingresses");
    assert!(strategy.warnings(&ingress, Some(&ingress)).is_empty());
    let old = ingress.clone();
    ingress.set("status", value!({"loadBalancer": {"ingress": [{"hostname": "a"}, {"ip": "FD00::1"}]}}));
    assert_eq!(
        strategy.warnings(&ingress, Some(&old)),
        [
            r#"status.loadBalancer.ingress[1].ip: IPv6 address "FD00::1" should be in RFC 5952 canonical format ("fd00::1")"#
        ]
    );
    ingress.entry("spec").set("ingressClassName", "x");
    assert!(strategy.warnings(&ingress, None).is_empty());

    let policy = value!({"spec": {
        "ingress": [{"from": [{"podSelector": {}}, {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.1/16"]}}]}],
        "egress": [{"to": [{"ipBlock": {"cidr": "FD00::/8"}}]}]
    }});
    assert_eq!(
        of("networking.k8s.io", "networkpolicies", &policy),
        [
            r#"spec.ingress[0].from[1].ipBlock.except[0]: CIDR value "10.1.0.1/16" is ambiguous in this context (should be "10.1.0.0/16" or "10.1.0.1/32"?)"#,
            r#"spec.egress[0].to[0].ipBlock.cidr: IPv6 CIDR value "FD00::/8" should be in RFC 5952 canonical format ("fd00::/8")"#,
        ]
    );
}

#[test]
fn volumes_claims_and_classes() {
    let annotations = value!({"volume.beta.kubernetes.io/storage-class": "", "volume.beta.kubernetes.io/mount-options": ""});
    let class = "metadata.annotations[volume.beta.kubernetes.io/storage-class]: deprecated since v1.8; use \"storageClassName\" attribute instead";
    let expressions = || value!([{"key": OLD_OS, "operator": "Exists"}]);
    let volume = value!({"metadata": {"annotations": (annotations.clone())}, "spec": {
        "persistentVolumeReclaimPolicy": "Recycle", "cephfs": {},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": (expressions())}]}}
    }});
    assert_eq!(
        of("", "persistentvolumes", &volume),
        [
            class.to_owned(),
            "metadata.annotations[volume.beta.kubernetes.io/mount-options]: deprecated since v1.31; use \"mountOptions\" attribute instead".to_owned(),
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.".to_owned(),
            format!("spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: {OLD_OS} is {OS_ADVICE}"),
            "spec.cephfs: deprecated in v1.28, non-functional in v1.31+".to_owned(),
        ]
    );
    let mut bound = volume.clone();
    bound.set("status", value!({"phase": "Bound"}));
    assert!(
        strategy("", "persistentvolumes").warnings(&bound, Some(&volume)).is_empty(),
        "a status is not warned of"
    );
    let claim = value!({
        "metadata": {"annotations": annotations}, "spec": {"resources": {"requests": {"storage": "1.5"}}}
    });
    let fraction =
        r#"spec.resources.requests[storage]: fractional byte value "1500m" is invalid, must be an integer"#;
    assert_eq!(of("", "persistentvolumeclaims", &claim), [class, fraction]);

    let storage = |plural: &str, object: Value| of("storage.k8s.io", plural, &object);
    assert_eq!(
        storage(
            "storageclasses",
            value!({"allowedTopologies": [{"matchLabelExpressions": (expressions())}]})
        ),
        [format!("allowedTopologies[0].matchLabelExpressions[0]: {OS_ADVICE}")]
    );
    assert_eq!(
        storage(
            "csistoragecapacities",
            value!({"nodeTopology": {"matchExpressions": (expressions()), "matchLabels": {"beta.kubernetes.io/os": "a"}}})
        ),
        [
            format!("nodeTopology.matchExpressions[0].key: {OLD_OS} is {OS_ADVICE}"),
            format!("nodeTopology.matchLabels.{OLD_OS}: {OS_ADVICE}"),
        ]
    );
}

#[test]
fn nodes_and_runtime_classes() {
    let node = value!({"spec": {"configSource": {}, "externalID": "x"}});
    assert_eq!(
        of("", "nodes", &node),
        [
            "spec.configSource: the feature is removed",
            "spec.externalID: this field is deprecated, and is unused by Kubernetes"
        ]
    );
    assert!(of("", "nodes", &value!({"spec": {}})).is_empty());
    let class = value!({"handler": "h", "scheduling": {"nodeSelector": {"beta.kubernetes.io/os": "a"}}});
    assert_eq!(
        of("node.k8s.io", "runtimeclasses", &class),
        [format!("scheduling.nodeSelector: {OS_ADVICE}")]
    );
}
