use super::*;
use crate::defaults::{default_persistent_volume_claim, default_priority_class};
use crate::validation::*;

const NONE: [&str; 0] = [];

#[test]
fn limit_ranges() {
    let wrong = |limits: Value| lines(validate_limit_range(&value!({"spec": {"limits": limits}})));
    assert_eq!(
        wrong(value!([
            {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "2"}},
            {"type": "Pod", "max": {"memory": "1Gi"}},
            {"type": "PersistentVolumeClaim", "max": {"storage": "1Gi"}},
            {"type": "example.com/thing"}
        ])),
        NONE
    );
    let cases: [(Value, &[&str]); 10] = [
        (
            value!([{"type": "Odd"}]),
            &[
                r#"spec.limits[0].type: Invalid value: "Odd": must be a standard limit type or fully qualified"#,
            ],
        ),
        (value!([{"type": "Pod"}, {"type": "Pod"}]), &[r#"spec.limits[1].type: Duplicate value: "Pod""#]),
        (
            value!([{"type": "Pod", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "1"}}]),
            &[
                "spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
                "spec.limits[0].defaultRequest: Forbidden: may not be specified when `type` is 'Pod'",
            ],
        ),
        (
            value!([{"type": "PersistentVolumeClaim", "max": {"cpu": "1"}}]),
            &[
                "spec.limits[0].limits: Required value: either minimum or maximum storage value is required, but neither was provided",
            ],
        ),
        (
            value!([{"type": "Container", "max": {"storage": "1"}}]),
            &[
                r#"spec.limits[0].max[storage]: Invalid value: "storage": must be a standard resource for containers"#,
            ],
        ),
        (
            value!([{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}}]),
            &[r#"spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1"#],
        ),
        (
            value!([{"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "1"}, "defaultRequest": {"cpu": "3"}, "default": {"cpu": "500m"}}]),
            &[
                r#"spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than max value 2"#,
                r#"spec.limits[0].defaultRequest[cpu]: Invalid value: "3": default request value 3 is greater than default limit value 500m"#,
                r#"spec.limits[0].default[cpu]: Invalid value: "1": min value 1 is greater than default value 500m"#,
            ],
        ),
        (
            value!([{"type": "Container", "min": {"cpu": "1"}, "defaultRequest": {"cpu": "500m"}}]),
            &[
                r#"spec.limits[0].defaultRequest[cpu]: Invalid value: "500m": min value 1 is greater than default request value 500m"#,
            ],
        ),
        (
            value!([{"type": "Container", "min": {"cpu": "1"}, "max": {"cpu": "2"}, "maxLimitRequestRatio": {"cpu": "3", "memory": "500m"}}]),
            &[
                r#"spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "3": ratio 3 is greater than max/min = 2.000000"#,
                r#"spec.limits[0].maxLimitRequestRatio[memory]: Invalid value: "500m": ratio 500m is less than 1"#,
            ],
        ),
        (
            value!([{"type": "Container", "default": {"a.com/b": "2"}, "defaultRequest": {"a.com/b": "1"}}]),
            &[
                r#"spec.limits[0].defaultRequest[a.com/b]: Invalid value: "1": default value 2 must equal to defaultRequest value 1 in a.com/b"#,
            ],
        ),
    ];
    for (limits, expected) in cases {
        assert_eq!(wrong(limits.clone()), expected, "{limits:?}");
    }
}

#[test]
fn resource_quotas() {
    let wrong = |spec: Value| lines(validate_resource_quota(&value!({"spec": spec})));
    assert_eq!(
        wrong(value!({"hard": {
            "pods": "5", "limits.cpu": "2", "requests.nvidia.com/gpu": "1", "count/deployments.apps": "2",
            "gold.storageclass.storage.k8s.io/requests.storage": "1Gi", "requests.hugepages-2Mi": "2Mi"
        }})),
        NONE
    );
    assert_eq!(
        wrong(value!({"hard": {"odd": "1", "storage": "1", "pods": "500m", "cpu": "-1"}})),
        [
            r#"spec.hard[odd]: Invalid value: "odd": must be a standard resource type or fully qualified"#,
            r#"spec.hard[odd]: Invalid value: "odd": must be a standard resource for quota"#,
            r#"spec.hard[storage]: Invalid value: "storage": must be a standard resource for quota"#,
            r#"spec.hard[pods]: Invalid value: "500m": must be an integer"#,
            r#"spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0"#,
        ]
    );
    assert_eq!(
        wrong(
            value!({"hard": {"services": "1", "pods": "1"}, "scopes": ["Terminating", "NotTerminating", "Odd"]})
        ),
        [
            r#"spec.scopes: Invalid value: ["Terminating","NotTerminating","Odd"]: unsupported scope applied to resource"#,
            r#"spec.scopes: Invalid value: ["Terminating","NotTerminating","Odd"]: unsupported scope applied to resource"#,
            r#"spec.scopes: Invalid value: ["Terminating","NotTerminating","Odd"]: unsupported scope"#,
            r#"spec.scopes: Invalid value: ["Terminating","NotTerminating","Odd"]: conflicting scopes"#,
        ]
    );
    let selector = |requirement: Value| {
        wrong(value!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [requirement]}}))
    };
    assert_eq!(selector(value!({"scopeName": "PriorityClass", "operator": "In", "values": ["high"]})), NONE);
    assert_eq!(
        selector(value!({"scopeName": "PriorityClass", "operator": "In"})),
        [
            "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
        ]
    );
    assert_eq!(
        selector(value!({"scopeName": "Odd", "operator": "Odd"})),
        [
            r#"spec.scopeSelector.matchExpressions.scopeName: Invalid value: "Odd": unsupported scope"#,
            r#"spec.scopeSelector.matchExpressions.operator: Invalid value: "Odd": not a valid selector operator"#,
        ]
    );
    assert_eq!(
        selector(value!({"scopeName": "BestEffort", "operator": "DoesNotExist", "values": ["a"]})),
        [
            r#"spec.scopeSelector.matchExpressions.operator: Invalid value: "DoesNotExist": must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"#,
            r#"spec.scopeSelector.matchExpressions.values: Invalid value: ["a"]: must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"#,
        ]
    );
    let (old, new) =
        (value!({"spec": {"scopes": ["BestEffort"]}}), value!({"spec": {"scopes": ["NotBestEffort"]}}));
    assert_eq!(lines(validate_resource_quota_update(&old, &old)), NONE);
    assert_eq!(
        lines(validate_resource_quota_update(&new, &old)),
        [r#"spec.scopes: Invalid value: ["NotBestEffort"]: field is immutable"#]
    );
    let status = value!({"status": {"used": {"pods": "-1"}}});
    assert_eq!(
        lines(validate_resource_quota_status_update(&status, &old)),
        [r#"status.used[pods]: Invalid value: "-1": must be greater than or equal to 0"#]
    );
}

#[test]
fn priority_classes() {
    let class = |patch: Value| {
        patched(&value!({"metadata": {"name": "high"}, "value": 5}), &patch, default_priority_class)
    };
    let wrong = |patch: Value| lines(validate_priority_class(&class(patch)));
    assert_eq!(wrong(value!({})), NONE);
    assert_eq!(
        wrong(value!({"value": 1_000_000_001})),
        ["value: Forbidden: maximum allowed value of a user defined priority is 1000000000"]
    );
    assert_eq!(
        wrong(value!({"preemptionPolicy": "Odd"})),
        [r#"preemptionPolicy: Unsupported value: "Odd": supported values: "PreemptLowerPriority", "Never""#]
    );
    let reserved = "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: ";
    for (name, value, global, why) in [
        ("system-mine", 5, false, "system-mine is not a known system priority class"),
        ("system-node-critical", 5, false, "value of system-node-critical PriorityClass must be 2000001000"),
        (
            "system-node-critical",
            2_000_001_000,
            true,
            "globalDefault of system-node-critical PriorityClass must be false",
        ),
    ] {
        let patch = value!({"metadata": {"name": name}, "value": value, "globalDefault": global});
        assert_eq!(wrong(patch), [format!("{reserved}{why}")]);
    }
    assert_eq!(
        wrong(value!({"metadata": {"name": "system-cluster-critical"}, "value": 2_000_000_000})),
        NONE
    );
    let old = class(value!({}));
    let changed = class(value!({"value": 6, "preemptionPolicy": "Never"}));
    assert_eq!(
        lines(validate_priority_class_update(&changed, &old)),
        [
            "value: Forbidden: may not be changed in an update.",
            r#"preemptionPolicy: Invalid value: "Never": field is immutable"#,
        ]
    );
    assert_eq!(lines(validate_priority_class_update(&class(value!({"description": "x"})), &old)), NONE);
}

fn claim(spec: Value) -> Value {
    let base =
        value!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
    patched(&base, &value!({"spec": spec}), default_persistent_volume_claim)
}

#[test]
fn volume_claims() {
    let wrong = |spec: Value| lines(validate_persistent_volume_claim(&claim(spec)));
    assert_eq!(wrong(value!({})), NONE);
    assert_eq!(
        wrong(value!({"accessModes": null})),
        ["spec.accessModes: Required value: at least 1 access mode is required"]
    );
    assert_eq!(
        wrong(value!({"accessModes": ["Odd", "ReadWriteOncePod", "ReadWriteOnce"]})),
        [
            r#"spec.accessModes: Unsupported value: "Odd": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod""#,
            "spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes",
        ]
    );
    assert_eq!(wrong(value!({"resources": null})), ["spec.resources[storage]: Required value"]);
    assert_eq!(
        wrong(value!({"resources": {"requests": {"storage": "0"}}})),
        [r#"spec.resources[storage]: Invalid value: "0": must be greater than zero"#]
    );
    assert_eq!(
        wrong(value!({"volumeMode": "Odd"})),
        [r#"spec.volumeMode: Unsupported value: "Odd": supported values: "Block", "Filesystem""#]
    );
    assert_eq!(wrong(value!({"storageClassName": "A"})).len(), 1);
    assert_eq!(
        wrong(value!({"dataSource": {"kind": "VolumeSnapshot", "name": ""}})),
        [
            "spec.dataSource.name: Required value",
            r#"spec.dataSource: Invalid value: "VolumeSnapshot": must be 'PersistentVolumeClaim' when referencing the default apiGroup"#,
        ]
    );
    let source = |name: &str| value!({"kind": "PersistentVolumeClaim", "name": name});
    assert_eq!(wrong(value!({"dataSource": (source("a")), "dataSourceRef": (source("a"))})), NONE);
    assert_eq!(
        wrong(value!({"dataSource": (source("a")), "dataSourceRef": (source("b"))})),
        [r#"spec: Invalid value: "spec.dataSource": must match dataSourceRef"#]
    );
}

#[test]
fn changes_of_volume_claims() {
    let old = claim(value!({}));
    let wrong = |old: &Value, patch: Value| {
        let new = merge_patch(old.clone(), patch).unwrap();
        lines(validate_persistent_volume_claim_update(&new, old))
    };
    assert_eq!(wrong(&old, value!({"spec": {"volumeName": "v"}})), NONE);
    assert_eq!(wrong(&old, value!({"spec": {"storageClassName": "fast"}})), NONE);
    assert_eq!(wrong(&old, value!({"spec": {"volumeAttributesClassName": "gold"}})), NONE);
    let immutable = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n";
    let grown = value!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    let refused = wrong(&old, grown.clone());
    assert!(refused.len() == 1 && refused[0].starts_with(immutable), "{refused:?}");
    let mut bound = old.clone();
    bound.set("status", value!({"phase": "Bound", "capacity": {"storage": "1Gi"}}));
    bound.set_path(&["spec", "volumeName"], Value::from("v"));
    assert_eq!(wrong(&bound, grown), NONE);
    let changed = wrong(&bound, value!({"spec": {"volumeName": "w"}}));
    assert!(changed[0].starts_with(immutable), "{changed:?}");
    assert_eq!(
        wrong(&bound, value!({"spec": {"resources": {"requests": {"storage": "500Mi"}}}})),
        ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]
    );
    let mut classy = bound.clone();
    classy.set_path(&["spec", "volumeAttributesClassName"], Value::from("gold"));
    assert_eq!(
        wrong(&classy, value!({"spec": {"volumeAttributesClassName": null}})),
        ["spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"]
    );
    let block = wrong(&old, value!({"spec": {"volumeMode": "Block"}}));
    assert_eq!(block.last().unwrap(), r#"volumeMode: Invalid value: "Block": field is immutable"#);
    // The class of an annotation moves into the field.
    let mut annotated = old.clone();
    annotated.set("metadata", value!({"annotations": {"volume.beta.kubernetes.io/storage-class": "slow"}}));
    assert_eq!(wrong(&annotated, value!({"spec": {"storageClassName": "slow"}})), NONE);
    assert_eq!(wrong(&annotated, value!({"metadata": null, "spec": {"storageClassName": "slow"}})), NONE);
    assert_eq!(wrong(&annotated, value!({"metadata": null})).len(), 1);
    assert_eq!(wrong(&annotated, value!({"spec": {"storageClassName": "fast"}})).len(), 1);
}

#[test]
fn statuses_of_volume_claims() {
    let wrong = |status: Value| {
        let mut claim = claim(value!({}));
        claim.set("status", status);
        lines(validate_persistent_volume_claim_status_update(&claim, &Value::Null))
    };
    assert_eq!(
        wrong(value!({
            "capacity": {"storage": "1Gi"}, "allocatedResources": {"storage": "2Gi"},
            "allocatedResourceStatuses": {"storage": "ControllerResizeInProgress"}
        })),
        NONE
    );
    assert_eq!(
        wrong(value!({
            "capacity": {"storage": "-1"}, "allocatedResources": {"cpu": "1"},
            "allocatedResourceStatuses": {"storage": "Odd"}
        })),
        [
            "status.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
            r#"status.allocatedResourceStatus: Unsupported value: "storage": supported values: "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending""#,
            r#"status.allocatedResources: Unsupported value: "cpu": supported values: "storage""#,
        ]
    );
}
