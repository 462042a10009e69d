use object::value;

use super::*;
use crate::testing::{check_row, named};

fn check(metrics: Value, current: Value, expected: &str) {
    let autoscaler = value!({
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "metrics": metrics, "maxReplicas": 5},
        "status": {"currentMetrics": current, "currentReplicas": 2}
    });
    check_row(
        &AUTOSCALERS,
        &named("h", autoscaler),
        &format!("h | Deployment/d | {expected} | <unset> | 5 | 2 | 3h"),
    );
}

#[test]
fn metrics_of_each_type() {
    let cpu = |target: Value| value!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}]);
    let used =
        |current: Value| value!([{"type": "Resource", "resource": {"name": "cpu", "current": current}}]);
    check(value!([]), value!([]), "<none>");
    check(cpu(value!({"averageUtilization": 80})), value!([]), "cpu: <unknown>/80%");
    check(cpu(value!({"averageUtilization": 80})), used(value!({"averageUtilization": 20})), "cpu: 20%/80%");
    check(cpu(value!({})), value!([]), "cpu: <unknown>/<auto>");
    check(cpu(value!({"averageValue": "100m"})), used(value!({"averageValue": "50m"})), "cpu: 50m/100m");
    let external = |target: Value| value!([{"type": "External", "external": {"target": target}}]);
    let measured = |current: Value| value!([{"type": "External", "external": {"current": current}}]);
    check(external(value!({"averageValue": "5"})), value!([]), "<unknown>/5 (avg)");
    check(external(value!({"value": "5"})), measured(value!({"value": "2"})), "2/5");
    let pods = value!([{"type": "Pods", "pods": {"target": {"averageValue": "5"}}}]);
    check(pods, value!([{"type": "Pods", "pods": {"current": {"averageValue": "3"}}}]), "3/5");
    check(value!([{"type": "Other"}]), value!([]), "<unknown type>");
}

#[test]
fn two_metrics_are_shown() {
    let one = |name: &str| value!({"type": "ContainerResource", "containerResource": {"name": name, "target": {"averageUtilization": 1}}});
    let three = value!([(one("a")), (one("b")), (one("c"))]);
    check(three, value!([]), "a: <unknown>/1%, b: <unknown>/1% + 1 more...");
}

#[test]
fn the_older_version() {
    let autoscaler = value!({
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 1, "maxReplicas": 5,
            "targetCPUUtilizationPercentage": 80
        },
        "status": {"currentReplicas": 2, "currentCPUUtilizationPercentage": 10}
    });
    check_row(&AUTOSCALERS, &named("h", autoscaler), "h | Deployment/d | cpu: 10%/80% | 1 | 5 | 2 | 3h");
}
