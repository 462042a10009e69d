use super::*;
use crate::defaults::{default_daemon_set, default_stateful_set};
use crate::validation::*;

const NONE: [&str; 0] = [];

/// A patch of the spec, and what is wrong then.
type Case<'a> = (Value, &'a [&'a str]);

#[track_caller]
fn check(base: &Value, default: fn(&mut Value), validate: impl Fn(&Value) -> Errors, cases: &[Case<'_>]) {
    for (patch, wrong) in cases {
        let object = patched(base, &value!({"spec": (patch.clone())}), default);
        assert_eq!(lines(validate(&object)), *wrong, "{patch:?}");
    }
}

fn template() -> Value {
    value!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "image": "x"}]}})
}

fn daemon_set() -> Value {
    value!({"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": (template())}})
}

#[test]
fn daemon_sets() {
    let rolling = |patch: Value| value!({"updateStrategy": {"rollingUpdate": patch}});
    let mismatch = r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#;
    let cases: &[Case<'_>] = &[
        (value!({}), &[]),
        (value!({"selector": {"matchLabels": {"a": "c"}}}), &[mismatch]),
        (value!({"selector": null}), &[mismatch]),
        (
            value!({"selector": {"matchLabels": null}}),
            &["spec.selector: Invalid value: {}: empty selector is invalid for daemonset"],
        ),
        (
            value!({"template": {"spec": {"containers": null}}}),
            &["spec.template.spec.containers: Required value"],
        ),
        (
            value!({"template": {"spec": {"restartPolicy": "Never", "activeDeadlineSeconds": 5}}}),
            &[
                r#"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#,
                "spec.template.spec.activeDeadlineSeconds: Invalid value: 5: must not be specified",
            ],
        ),
        (
            value!({"template": {"spec": {"volumes": [{"name": "d", "gcePersistentDisk": {"pdName": "x"}}]}}}),
            &[
                "spec.template.spec.volumes[0].gcePersistentDisk.readOnly: Invalid value: false: must be true for replicated pods > 1; GCE PD can only be mounted on multiple machines if it is read-only",
            ],
        ),
        (
            rolling(value!({"maxSurge": 1})),
            &[
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
            ],
        ),
        (rolling(value!({"maxSurge": "10%", "maxUnavailable": 0})), &[]),
        (
            rolling(value!({"maxUnavailable": 0})),
            &[
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
            ],
        ),
        (
            rolling(value!({"maxUnavailable": "101%"})),
            &[
                r#"spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%"#,
            ],
        ),
        (
            rolling(value!({"maxUnavailable": "5"})),
            &[
                r#"spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "5": a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')"#,
            ],
        ),
        (
            value!({"minReadySeconds": -1, "revisionHistoryLimit": -1}),
            &[
                "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
                "spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            value!({"updateStrategy": {"type": "Odd"}}),
            &[
                r#"spec.updateStrategy: Unsupported value: {"type":"Odd"}: supported values: "RollingUpdate", "OnDelete""#,
            ],
        ),
    ];
    check(&daemon_set(), default_daemon_set, validate_daemon_set, cases);
}

#[test]
fn changes_of_daemon_sets() {
    let old = patched(&daemon_set(), &value!({}), default_daemon_set);
    let cases: &[Case<'_>] = &[
        (value!({"minReadySeconds": 5}), &[]),
        (
            value!({"selector": {"matchLabels": {"c": "d"}}, "template": {"metadata": {"labels": {"c": "d"}}}}),
            &[r#"spec.selector: Invalid value: {"matchLabels":{"a":"b","c":"d"}}: field is immutable"#],
        ),
    ];
    check(&daemon_set(), default_daemon_set, |set| validate_daemon_set_update(set, &old), cases);
    let old = value!({"status": {"collisionCount": 2}});
    let new = value!({"status": {"numberReady": -1, "collisionCount": 1}});
    assert_eq!(
        lines(validate_daemon_set_status_update(&new, &old)),
        [
            "status.numberReady: Invalid value: -1: must be greater than or equal to 0",
            "status.collisionCount: Invalid value: 1: cannot be decremented",
        ]
    );
}

fn stateful_set() -> Value {
    let claim = value!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    });
    let mut template = template();
    let mounts = value!([{"name": "data", "mountPath": "/data"}]);
    let containers = value!([{"name": "a", "image": "x", "volumeMounts": mounts}]);
    template.set_path(&["spec", "containers"], containers);
    value!({"spec": {
        "selector": {"matchLabels": {"a": "b"}}, "serviceName": "web", "template": template,
        "volumeClaimTemplates": [claim]
    }})
}

#[test]
fn stateful_sets() {
    let cases: &[Case<'_>] = &[
        (value!({}), &[]),
        (
            value!({"podManagementPolicy": "Odd"}),
            &[r#"spec.podManagementPolicy: Invalid value: "Odd": must be 'OrderedReady' or 'Parallel'"#],
        ),
        (
            value!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": {}}}),
            &[
                "spec.updateStrategy.rollingUpdate: Invalid value: {}: only allowed for updateStrategy 'RollingUpdate'",
            ],
        ),
        (
            value!({"updateStrategy": {"type": "Odd"}}),
            &[r#"spec.updateStrategy: Invalid value: {"type":"Odd"}: must be 'RollingUpdate' or 'OnDelete'"#],
        ),
        (
            value!({"updateStrategy": {"rollingUpdate": {"partition": -1, "maxUnavailable": 0}}}),
            &[
                "spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0",
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: 0: cannot be 0",
            ],
        ),
        (
            value!({"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Odd"}}),
            &[
                r#"spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "Odd": supported values: "Retain", "Delete""#,
            ],
        ),
        (
            value!({"replicas": -1, "ordinals": {"start": -1}}),
            &[
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            value!({"selector": null}),
            &[
                "spec.selector: Required value",
                r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#,
            ],
        ),
        (
            value!({"selector": {"matchLabels": null}}),
            &["spec.selector: Invalid value: {}: empty selector is invalid for statefulset"],
        ),
        (
            value!({"selector": {"matchLabels": {"a": "c"}}}),
            &[
                r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#,
            ],
        ),
        (
            value!({"template": {"spec": {"containers": null}}}),
            &["spec.template.spec.containers: Required value"],
        ),
        (
            value!({"volumeClaimTemplates": null}),
            &[r#"spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data""#],
        ),
        (
            value!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}]}),
            &["spec.volumeClaimTemplates[0].spec.resources[storage]: Required value"],
        ),
        (
            value!({"serviceName": "a.b"}),
            &[r#"spec.serviceName: Invalid value: "a.b": must not contain dots"#],
        ),
    ];
    check(&stateful_set(), default_stateful_set, validate_stateful_set, cases);
}

#[test]
fn changes_of_replica_sets() {
    let set = |label: &str, replicas: i64| {
        let labels = value!({"a": label});
        let mut set = value!({"spec": {
            "replicas": replicas, "selector": {"matchLabels": (labels.clone())},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        }});
        crate::defaults::default_replica_set(&mut set);
        set
    };
    assert!(lines(validate_replica_set_update(&set("b", 2), &set("b", 1))).is_empty());
    assert_eq!(
        lines(validate_replica_set_update(&set("b", -1), &set("b", 1))),
        ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]
    );
    assert_eq!(
        lines(validate_replica_set_update(&set("c", 1), &set("b", 1))),
        [r#"spec.selector: Invalid value: {"matchLabels":{"a":"c"}}: field is immutable"#]
    );
}

#[test]
fn changes_of_stateful_sets() {
    let old = patched(&stateful_set(), &value!({}), default_stateful_set);
    let forbidden = "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
    let cases: &[Case<'_>] = &[
        (
            value!({
                "replicas": 3, "minReadySeconds": 1, "revisionHistoryLimit": 1, "ordinals": {"start": 1},
                "updateStrategy": {"rollingUpdate": {"partition": 1}},
                "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete"},
                "template": {"metadata": {"labels": {"c": "d"}}}
            }),
            &[],
        ),
        (value!({"serviceName": "other"}), &[forbidden]),
        (value!({"podManagementPolicy": "Parallel"}), &[forbidden]),
        (value!({"replicas": -1}), &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
    ];
    check(&stateful_set(), default_stateful_set, |set| validate_stateful_set_update(set, &old), cases);
    let status =
        value!({"status": {"replicas": 1, "readyReplicas": 1, "currentReplicas": 2, "availableReplicas": 1}});
    assert_eq!(
        lines(validate_stateful_set_status_update(&status, &old)),
        ["status.currentReplicas: Invalid value: 2: cannot be greater than status.replicas"]
    );
}

/// What was wrong before it was checked may stay, and be mended.
#[test]
fn a_template_that_was_wrong_may_stay() {
    let wrong = value!({"spec": {"template": {"spec": {"containers": null}}}});
    let old = patched(&stateful_set(), &wrong, default_stateful_set);
    let mut new = old.clone();
    new.set_path(&["spec", "replicas"], Value::from(0));
    assert_eq!(lines(validate_stateful_set_update(&new, &old)), NONE);
}

#[test]
fn disruption_budgets() {
    let base = value!({"spec": {"selector": {"matchLabels": {"a": "b"}}}});
    let percent = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
    let plain = format!(r#"spec.maxUnavailable: Invalid value: "5": {percent}"#);
    let cases: &[Case<'_>] = &[
        (value!({"minAvailable": 1}), &[]),
        (value!({"maxUnavailable": "50%"}), &[]),
        (
            value!({"maxUnavailable": 1, "minAvailable": 1, "selector": null}),
            &[
                r#"spec: Invalid value: {"maxUnavailable":1,"minAvailable":1}: minAvailable and maxUnavailable cannot be both set"#,
            ],
        ),
        (value!({"maxUnavailable": "5"}), &[&plain]),
        (
            value!({"minAvailable": "101%"}),
            &[r#"spec.minAvailable: Invalid value: "101%": must not be greater than 100%"#],
        ),
        (
            value!({"minAvailable": -1}),
            &["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            value!({"unhealthyPodEvictionPolicy": "Odd"}),
            &[
                r#"spec.unhealthyPodEvictionPolicy: Unsupported value: "Odd": supported values: "AlwaysAllow", "IfHealthyBudget""#,
            ],
        ),
    ];
    check(&base, |_| (), validate_pod_disruption_budget, cases);
    let condition = |patch: Value| {
        let good = value!({
            "type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods",
            "lastTransitionTime": "2026-01-01T00:00:00Z"
        });
        let condition = merge_patch(good, patch).unwrap();
        let status = value!({"status": {"disruptionsAllowed": -1, "conditions": [condition]}});
        lines(validate_pod_disruption_budget_status_update(&status, &Value::Null))
    };
    let negative = "status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0";
    assert_eq!(condition(value!({})), [negative]);
    assert_eq!(
        condition(value!({"status": "Odd", "reason": null})),
        [
            r#"status.conditions[0].status: Unsupported value: "Odd": supported values: "False", "True", "Unknown""#,
            "status.conditions[0].reason: Required value: must be set",
            negative,
        ]
    );
}

fn autoscaler() -> Value {
    value!({"spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"}}})
}

#[test]
fn autoscalers() {
    let metric = |metric: Value| value!({"metrics": [metric]});
    let rules = |rules: Value| value!({"behavior": {"scaleDown": rules}});
    let cases: &[Case<'_>] = &[
        (value!({}), &[]),
        (value!({"maxReplicas": 0}), &["spec.maxReplicas: Invalid value: 0: must be greater than 0"]),
        (
            value!({"minReplicas": 4}),
            &["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
        ),
        (
            value!({"minReplicas": -1}),
            &["spec.minReplicas: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            value!({"minReplicas": 0}),
            &[
                "spec.metrics: Forbidden: must specify at least one Object or External metric to support scaling to zero replicas",
            ],
        ),
        (
            value!({"scaleTargetRef": {"kind": "", "name": "a/b", "apiVersion": "a/b/c"}}),
            &[
                "spec.scaleTargetRef.kind: Required value",
                r#"spec.scaleTargetRef.name: Invalid value: "a/b": may not contain '/'"#,
                r#"spec.scaleTargetRef.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#,
            ],
        ),
        (
            metric(value!({"type": "Odd"})),
            &[
                r#"spec.metrics[0].type: Unsupported value: "Odd": supported values: "ContainerResource", "External", "Object", "Pods", "Resource""#,
            ],
        ),
        (
            metric(value!({"type": "Resource"})),
            &[
                "spec.metrics[0].resource: Required value: must populate information for the given metric source",
            ],
        ),
        (
            metric(
                value!({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 0}}}),
            ),
            &["spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0"],
        ),
        (
            metric(value!({"type": "Resource", "resource": {"target": {"type": "Odd"}}})),
            &[
                "spec.metrics[0].resource.name: Required value: must specify a resource name",
                r#"spec.metrics[0].resource.target.type: Invalid value: "Odd": must be either Utilization, Value, or AverageValue"#,
                "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
            ],
        ),
        (
            metric(value!({
                "type": "ContainerResource",
                "containerResource": {
                    "name": "odd", "target": {"type": "Utilization", "averageUtilization": 1, "averageValue": "1"}
                }
            })),
            &[
                r#"spec.metrics[0].containerResource.name: Invalid value: "odd": must be a standard resource type or fully qualified"#,
                r#"spec.metrics[0].containerResource.name: Invalid value: "odd": must be a standard resource for containers"#,
                "spec.metrics[0].containerResource.container: Required value: must specify a container",
                "spec.metrics[0].containerResource.target.averageValue: Forbidden: may not set both a target raw value and a target utilization",
            ],
        ),
        (
            metric(
                value!({"type": "Pods", "pods": {"metric": {"name": ""}, "target": {"type": "AverageValue"}}}),
            ),
            &[
                "spec.metrics[0].pods.metric.name: Required value: must specify a metric name",
                "spec.metrics[0].pods.target.averageValue: Required value: must specify a positive target averageValue",
            ],
        ),
        (
            metric(value!({
                "type": "External",
                "external": {"metric": {"name": "q"}, "target": {"type": "Value", "value": "1", "averageValue": "-1"}}
            })),
            &[
                r#"spec.metrics[0].external.target.averageValue: Invalid value: "-1": must be positive"#,
                "spec.metrics[0].external.target.value: Forbidden: may not set both a target value for metric and a per-pod target",
            ],
        ),
        (
            metric(value!({
                "type": "Object",
                "object": {
                    "describedObject": {"kind": "Service", "name": "s"}, "metric": {"name": "q"}, "target": {"type": "Value"}
                },
                "pods": {}
            })),
            &[
                "spec.metrics[0].object.target.averageValue: Required value: must set either a target value or averageValue",
                "spec.metrics[0].pods: Forbidden: must populate the given metric source only",
            ],
        ),
        (
            rules(value!({
                "stabilizationWindowSeconds": 3601, "selectPolicy": "Odd", "tolerance": "-0.1", "policies": [
                    {"type": "Odd", "value": 0, "periodSeconds": 1801}
                ]
            })),
            &[
                "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 3601: must be less than or equal to 3600",
                r#"spec.behavior.scaleDown.selectPolicy: Unsupported value: "Odd": supported values: "Disabled", "Max", "Min""#,
                r#"spec.behavior.scaleDown.policies[0].type: Unsupported value: "Odd": supported values: "Percent", "Pods""#,
                "spec.behavior.scaleDown.policies[0].value: Invalid value: 0: must be greater than zero",
                "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 1801: must be less than or equal to 1800",
                r#"spec.behavior.scaleDown.tolerance: Invalid value: "-100m": must be greater than or equal to 0"#,
            ],
        ),
        (
            rules(value!({"stabilizationWindowSeconds": -1})),
            &[
                "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: -1: must be greater than or equal to zero",
                "spec.behavior.scaleDown.policies: Required value: must specify at least one Policy",
            ],
        ),
    ];
    check(&autoscaler(), |_| (), validate_horizontal_pod_autoscaler, cases);
    let mut old_version = autoscaler();
    old_version.set("apiVersion", "autoscaling/v1");
    old_version.entry("spec").set("targetCPUUtilizationPercentage", 0);
    assert_eq!(
        lines(validate_horizontal_pod_autoscaler(&old_version)),
        ["spec.metrics[0].resource.target.averageUtilization: Invalid value: 0: must be greater than 0"]
    );
    let status = value!({"status": {"currentReplicas": -1, "desiredReplicas": 0}});
    assert_eq!(
        lines(validate_horizontal_pod_autoscaler_status_update(&status, &Value::Null)),
        ["status.currentReplicas: Invalid value: -1: must be greater than or equal to 0"]
    );
}
