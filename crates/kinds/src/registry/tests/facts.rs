//! Tables over many resources: what of a kind is only data needs one line here rather than a test of its own.

use object::{Value, value};

use crate::registry::strategy;

/// The fields that select objects, each with its value for an object that has it.
#[test]
fn fields_select_objects() {
    let text = |path: &'static str| {
        let (outer, inner) = path.rsplit_once('.').unwrap_or(("", path));
        let mut object = value!({"metadata": {"name": "a"}});
        let names: Vec<&'static str> =
            outer.split('.').filter(|name| !name.is_empty()).chain([inner]).collect();
        object.set_path(&names, Value::from("x"));
        object
    };
    let cases: &[(&str, &str, &[&'static str])] = &[
        ("", "namespaces", &["status.phase"]),
        ("", "secrets", &["type"]),
        ("", "services", &["spec.clusterIP", "spec.type"]),
        ("certificates.k8s.io", "certificatesigningrequests", &["spec.signerName"]),
        ("certificates.k8s.io", "clustertrustbundles", &["spec.signerName"]),
        (
            "certificates.k8s.io",
            "podcertificaterequests",
            &["spec.signerName", "spec.podName", "spec.serviceAccountName", "spec.nodeName"],
        ),
        ("networking.k8s.io", "ipaddresses", &["spec.parentRef.group", "spec.parentRef.resource"]),
        ("resource.k8s.io", "resourceslices", &["spec.nodeName", "spec.driver"]),
    ];
    for (group, plural, fields) in cases {
        let strategy = strategy(group, plural);
        assert_eq!(strategy.selectable_field_names(), *fields, "{plural}");
        for field in *fields {
            assert!(
                strategy.selectable_fields(&text(field)).contains(&(*field, "x".to_owned())),
                "{plural}: {field}"
            );
            assert!(
                strategy
                    .selectable_fields(&value!({}))
                    .iter()
                    .any(|(name, value)| name == field && value.is_empty())
            );
        }
    }
    // Numbers and truth values have one as their zero.
    let counted =
        |group: &str, plural: &str, object: Value| strategy(group, plural).selectable_fields(&object);
    for (group, plural, field, member) in [
        ("", "replicationcontrollers", "status.replicas", "replicas"),
        ("apps", "replicasets", "status.replicas", "replicas"),
        ("batch", "jobs", "status.successful", "succeeded"),
    ] {
        let mut object = value!({"status": {}});
        assert_eq!(counted(group, plural, object.clone()), [(field, "0".to_owned())]);
        object.entry("status").set(member, 3);
        assert_eq!(counted(group, plural, object), [(field, "3".to_owned())]);
    }
    let unschedulable = |node: Value| counted("", "nodes", node);
    assert_eq!(unschedulable(value!({})), [("spec.unschedulable", "false".to_owned())]);
    assert_eq!(
        unschedulable(value!({"spec": {"unschedulable": true}})),
        [("spec.unschedulable", "true".to_owned())]
    );
}

/// What is unset, and what it becomes.
#[test]
fn unset_fields_are_filled_in() {
    let group = "rbac.authorization.k8s.io";
    let cases = [
        (
            "",
            "endpoints",
            value!({"subsets": [{"ports": [{"port": 1}]}]}),
            "subsets",
            value!([{"ports": [{"port": 1, "protocol": "TCP"}]}]),
        ),
        (
            "",
            "nodes",
            value!({"status": {"capacity": {"cpu": "1"}}}),
            "status.allocatable",
            value!({"cpu": "1"}),
        ),
        (
            "",
            "persistentvolumes",
            value!({}),
            "spec",
            value!({"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"}),
        ),
        (
            "",
            "persistentvolumes",
            value!({"spec": {"hostPath": {"path": "/x"}}}),
            "spec.hostPath.type",
            "".into(),
        ),
        ("", "persistentvolumeclaims", value!({}), "spec.volumeMode", "Filesystem".into()),
        ("", "persistentvolumeclaims", value!({}), "status.phase", "Pending".into()),
        ("", "podtemplates", value!({}), "template.spec.restartPolicy", "Always".into()),
        ("", "replicationcontrollers", value!({}), "spec.replicas", 1.into()),
        (
            "",
            "replicationcontrollers",
            value!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}}),
            "spec.selector",
            value!({"a": "b"}),
        ),
        ("", "resourcequotas", value!({"spec": {"hard": {"cpu": "0.0001"}}}), "spec.hard.cpu", "1m".into()),
        ("apps", "replicasets", value!({}), "spec.replicas", 1.into()),
        ("apps", "replicasets", value!({}), "spec.template.spec.dnsPolicy", "ClusterFirst".into()),
        (
            "admissionregistration.k8s.io",
            "mutatingadmissionpolicies",
            value!({}),
            "spec.failurePolicy",
            "Fail".into(),
        ),
        (
            "admissionregistration.k8s.io",
            "mutatingadmissionpolicybindings",
            value!({"spec": {"matchResources": {}}}),
            "spec.matchResources.matchPolicy",
            "Equivalent".into(),
        ),
        (
            "admissionregistration.k8s.io",
            "validatingwebhookconfigurations",
            value!({"webhooks": [{"timeoutSeconds": 5, "rules": [{}], "clientConfig": {"service": {}}}]}),
            "webhooks",
            value!([{
                "timeoutSeconds": 5, "rules": [{"scope": "*"}], "clientConfig": {"service": {"port": 443}},
                "failurePolicy": "Fail", "matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}
            }]),
        ),
        (
            "admissionregistration.k8s.io",
            "validatingadmissionpolicies",
            value!({}),
            "spec.failurePolicy",
            "Fail".into(),
        ),
        (
            "admissionregistration.k8s.io",
            "validatingadmissionpolicybindings",
            value!({"spec": {"matchResources": {}}}),
            "spec.matchResources.matchPolicy",
            "Equivalent".into(),
        ),
        (
            "apiregistration.k8s.io",
            "apiservices",
            value!({"spec": {"service": {"name": "a"}}}),
            "spec.service.port",
            443.into(),
        ),
        ("flowcontrol.apiserver.k8s.io", "flowschemas", value!({}), "spec.matchingPrecedence", 1000.into()),
        (
            "flowcontrol.apiserver.k8s.io",
            "prioritylevelconfigurations",
            value!({"spec": {"exempt": {}}}),
            "spec.exempt",
            value!({"nominalConcurrencyShares": 0, "lendablePercent": 0}),
        ),
        (
            "flowcontrol.apiserver.k8s.io",
            "prioritylevelconfigurations",
            value!({"spec": {"limited": {"limitResponse": {"queuing": {}}}}}),
            "spec.limited.limitResponse.queuing",
            value!({"queues": 64, "handSize": 8, "queueLengthLimit": 50}),
        ),
        (
            "networking.k8s.io",
            "ingressclasses",
            value!({"spec": {"parameters": {}}}),
            "spec.parameters.scope",
            "Cluster".into(),
        ),
        (
            group,
            "clusterrolebindings",
            value!({"subjects": [{"kind": "Group"}]}),
            "roleRef.apiGroup",
            group.into(),
        ),
        (
            "scheduling.k8s.io",
            "priorityclasses",
            value!({}),
            "preemptionPolicy",
            "PreemptLowerPriority".into(),
        ),
        ("storage.k8s.io", "storageclasses", value!({}), "reclaimPolicy", "Delete".into()),
        ("storage.k8s.io", "storageclasses", value!({}), "volumeBindingMode", "Immediate".into()),
        (
            "certificates.k8s.io",
            "podcertificaterequests",
            value!({"spec": {}}),
            "spec.maxExpirationSeconds",
            86_400.into(),
        ),
    ];
    for (group, plural, mut object, path, expected) in cases {
        strategy(group, plural).default(&mut object);
        assert_eq!(object.at(path), &expected, "{path} of {plural}: {object:?}");
        let filled = object.clone();
        strategy(group, plural).default(&mut object);
        assert_eq!(object, filled, "{plural} again");
    }
}

/// The older version of an autoscaler has one default; the newer one has those of metrics, too.
#[test]
fn horizontalpodautoscalers_get_their_defaults() {
    let mut autoscaler = value!({"spec": {"maxReplicas": 3}});
    crate::defaults::default_horizontal_pod_autoscaler_v1(&mut autoscaler);
    assert_eq!(autoscaler, value!({"spec": {"maxReplicas": 3, "minReplicas": 1}}));
}

/// A status is written in its own way: an object's creator and its owner do not set it, and its reporter sets nothing else.
#[test]
fn a_status_is_a_part_of_its_own() {
    for (group, plural) in [
        ("", "replicationcontrollers"),
        ("", "resourcequotas"),
        ("apps", "daemonsets"),
        ("apps", "replicasets"),
        ("apps", "statefulsets"),
        ("autoscaling", "horizontalpodautoscalers"),
        ("batch", "cronjobs"),
        ("certificates.k8s.io", "podcertificaterequests"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("networking.k8s.io", "servicecidrs"),
        ("policy", "poddisruptionbudgets"),
        ("resource.k8s.io", "devicetaintrules"),
        ("resource.k8s.io", "resourceclaims"),
    ] {
        let strategy = strategy(group, plural);
        let object =
            |number: i64| value!({"metadata": {"name": "a"}, "spec": {"x": number}, "status": {"y": number}});
        let (old, new) = (object(1), object(2));
        let mut created = new.clone();
        strategy.prepare_create(&mut created);
        assert!(created.get("status").is_null(), "{plural}: {created:?}");
        let mut updated = new.clone();
        strategy.prepare_update(&mut updated, &old);
        let parts = |object: &Value| (object.at("spec.x").as_i64(), object.at("status.y").as_i64());
        assert_eq!(parts(&updated), (Some(2), Some(1)), "{plural}");
        let mut reported = new.clone();
        strategy.prepare_status_update(&mut reported, &old);
        assert_eq!(parts(&reported), (Some(1), Some(2)), "{plural}");
    }
}

/// What may not be counted below zero, or beyond what there is.
#[test]
fn reported_numbers_fit_together() {
    let wrong = |group: &str, plural: &str, status: Value| {
        let mut object = value!({"metadata": {"name": "a"}, "spec": {}});
        object.set("status", status);
        let errors = strategy(group, plural).validate_status_update(&object, &object);
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for (group, plural) in [("", "replicationcontrollers"), ("apps", "replicasets"), ("apps", "statefulsets")]
    {
        assert_eq!(wrong(group, plural, value!({"replicas": 2, "readyReplicas": 1})), [""; 0], "{plural}");
        let negative = wrong(group, plural, value!({"replicas": (-1)}));
        assert_eq!(
            negative[0], "status.replicas: Invalid value: -1: must be greater than or equal to 0",
            "{plural}"
        );
        let more = wrong(group, plural, value!({"replicas": 1, "readyReplicas": 2}));
        assert_eq!(
            more,
            ["status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas"],
            "{plural}"
        );
    }
    let autoscaler = wrong(
        "autoscaling",
        "horizontalpodautoscalers",
        value!({"currentReplicas": (-1), "desiredReplicas": (-1)}),
    );
    assert_eq!(autoscaler.len(), 2, "{autoscaler:?}");
    let quota = wrong("", "resourcequotas", value!({"hard": {"pods": "-1"}, "used": {"a b": "1"}}));
    assert!(quota.iter().any(|line| line.starts_with("status.hard[pods]: Invalid value")), "{quota:?}");
}

/// The kinds of older days, in upstream's words.
#[test]
fn deprecated_kinds_say_so() {
    let told = |plural: &str| strategy("", plural).deprecation();
    assert_eq!(told("componentstatuses"), Some("v1 ComponentStatus is deprecated in v1.19+"));
    assert_eq!(
        told("endpoints"),
        Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
    );
    let all =
        schema::resources().iter().filter(|def| strategy(&def.group, &def.plural).deprecation().is_some());
    assert_eq!(all.count(), 2);
}

/// A change has the rules of a new object wherever a kind has none of its own for changes.
#[test]
fn changes_have_the_rules_of_new_objects() {
    let cases = [
        ("", "limitranges", value!({"spec": {"limits": [{"type": "Odd"}]}})),
        ("", "namespaces", value!({"spec": {"finalizers": ["a b"]}})),
        ("", "replicationcontrollers", value!({"spec": {"replicas": (-1)}})),
        ("", "podtemplates", value!({"template": {"spec": {"containers": []}}})),
        ("autoscaling", "horizontalpodautoscalers", value!({"spec": {"maxReplicas": 0}})),
        ("policy", "poddisruptionbudgets", value!({"spec": {"minAvailable": (-1)}})),
        ("coordination.k8s.io", "leases", value!({"spec": {"leaseDurationSeconds": 0}})),
        ("rbac.authorization.k8s.io", "clusterroles", value!({"rules": [{}]})),
        ("rbac.authorization.k8s.io", "roles", value!({"rules": [{}]})),
        ("", "events", value!({"metadata": {"namespace": "a"}, "involvedObject": {"namespace": "b"}})),
        ("flowcontrol.apiserver.k8s.io", "flowschemas", value!({"spec": {}})),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", value!({"spec": {"type": "Odd"}})),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings", value!({"spec": {}})),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", value!({"spec": {}})),
        ("apiregistration.k8s.io", "apiservices", value!({"spec": {"group": "a b"}})),
    ];
    for (group, plural, object) in cases {
        let strategy = strategy(group, plural);
        assert!(!strategy.validate(&object).is_empty(), "{plural}");
        let (new, changed) = (strategy.validate(&object), strategy.validate_update(&object, &object));
        assert_eq!(new.to_string(), changed.to_string(), "{plural}");
    }
}
