//! HorizontalPodAutoscalers (`pkg/apis/autoscaling/validation`), in the form of `v2`; what `v1` can say becomes that first.

use object::field::Errors;
use object::{Value, names, value};

use super::field::Field;
use super::resources::{Owner, validate_name};

const AUTOSCALER: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler";
/// How far back a policy may look, in seconds.
const PERIOD_SECONDS_MAX: i64 = 1800;
/// How long recommendations may be remembered, in seconds.
const WINDOW_SECONDS_MAX: i64 = 3600;
/// The types of metrics, with the members that say more of them; in the order of the API.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];
const SOURCE_TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];

/// Checks a HorizontalPodAutoscaler, its metadata aside.
pub fn validate_horizontal_pod_autoscaler(autoscaler: &Value) -> Errors {
    match autoscaler.str_at("apiVersion") {
        "autoscaling/v1" => validate(&as_v2(autoscaler)),
        _ => validate(autoscaler),
    }
}

/// The spec of `v1` as `v2` says it.
fn as_v2(autoscaler: &Value) -> Value {
    let spec = autoscaler.get("spec");
    let mut metrics = Vec::new();
    if let Some(percent) = spec.get("targetCPUUtilizationPercentage").as_i64() {
        let target = value!({"type": "Utilization", "averageUtilization": percent});
        metrics.push(value!({"type": "Resource", "resource": {"name": "cpu", "target": target}}));
    }
    value!({"spec": {
        "minReplicas": (spec.get("minReplicas").clone()), "maxReplicas": (spec.get("maxReplicas").clone()),
        "scaleTargetRef": (spec.get("scaleTargetRef").clone()), "metrics": metrics
    }})
}

fn validate(autoscaler: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(autoscaler, AUTOSCALER);
    let spec = root.child("spec");
    let (min, max) = (spec.child("minReplicas"), spec.child("maxReplicas"));
    min.check_not_negative(&mut errors);
    if max.number() < 1 {
        errors.invalid(&max.path, max.number(), "must be greater than 0");
    }
    if min.is_set() && max.number() < min.number() {
        errors.invalid(&max.path, max.number(), "must be greater than or equal to `minReplicas`");
    }
    validate_reference(&mut errors, &spec.child("scaleTargetRef"));
    let metrics = spec.child("metrics");
    metrics.items().for_each(|metric| validate_metric(&mut errors, &metric));
    let from_outside = |metric: &Value| matches!(metric.str_at("type"), "Object" | "External");
    if min.is_set() && min.number() == 0 && !metrics.value.items().any(from_outside) {
        let why = "must specify at least one Object or External metric to support scaling to zero replicas";
        metrics.forbidden(&mut errors, why);
    }
    let behavior = spec.child("behavior");
    for name in ["scaleUp", "scaleDown"] {
        let rules = behavior.child(name);
        if rules.is_set() {
            validate_rules(&mut errors, &rules);
        }
    }
    errors
}

fn validate_reference(errors: &mut Errors, reference: &Field<'_, '_>) {
    for name in ["kind", "name"] {
        reference.child(name).check_required(errors, names::is_path_segment_name);
    }
    let version = reference.child("apiVersion");
    if version.text().matches('/').count() > 1 {
        let why = format!("unexpected GroupVersion string: {}", version.text());
        version.invalid(errors, why);
    }
}

fn validate_rules(errors: &mut Errors, rules: &Field<'_, '_>) {
    let window = rules.child("stabilizationWindowSeconds");
    if window.number() < 0 {
        window.invalid(errors, "must be greater than or equal to zero");
    }
    if window.number() > WINDOW_SECONDS_MAX {
        window.invalid(errors, format!("must be less than or equal to {WINDOW_SECONDS_MAX}"));
    }
    rules.child("selectPolicy").check_known(errors, &["Disabled", "Max", "Min"]);
    let policies = rules.child("policies");
    if policies.is_empty() {
        policies.required(errors, "must specify at least one Policy");
    }
    for policy in policies.items() {
        let kind = policy.child("type");
        if !["Pods", "Percent"].contains(&kind.text()) {
            kind.not_supported(errors, &["Percent", "Pods"]);
        }
        let (amount, period) = (policy.child("value"), policy.child("periodSeconds"));
        for number in [&amount, &period] {
            if number.number() <= 0 {
                errors.invalid(&number.path, number.number(), super::field::NOT_POSITIVE);
            }
        }
        if period.number() > PERIOD_SECONDS_MAX {
            period.invalid(errors, format!("must be less than or equal to {PERIOD_SECONDS_MAX}"));
        }
    }
    let tolerance = rules.child("tolerance");
    if tolerance.quantity().sign() < 0 {
        errors.invalid(&tolerance.path, tolerance.quantity().to_string(), super::field::NEGATIVE);
    }
}

fn validate_metric(errors: &mut Errors, metric: &Field<'_, '_>) {
    let kind = metric.child("type");
    if kind.is_empty() {
        kind.required(errors, "must specify a metric source type");
    }
    let expected = SOURCES.iter().find(|(name, _)| *name == kind.text()).map(|(_, member)| *member);
    if expected.is_none() {
        kind.not_supported(errors, &SOURCE_TYPES);
    }
    let present: Vec<&str> =
        SOURCES.iter().map(|(_, member)| *member).filter(|member| metric.child(member).is_set()).collect();
    if let Some(first) = present.first() {
        validate_source(errors, &metric.child(first), first);
    }
    if let Some(expected) = expected.filter(|expected| !present.contains(expected)) {
        metric.child(expected).required(errors, "must populate information for the given metric source");
    }
    if present.len() != 1 {
        for member in present.into_iter().filter(|member| Some(*member) != expected) {
            metric.child(member).forbidden(errors, "must populate the given metric source only");
        }
    }
}

fn validate_source(errors: &mut Errors, source: &Field<'_, '_>, member: &str) {
    if matches!(member, "resource" | "containerResource") {
        validate_resource_source(errors, source, member == "containerResource");
        return;
    }
    if member == "object" {
        validate_reference(errors, &source.child("describedObject"));
    }
    let metric = source.child("metric");
    let name = metric.child("name");
    if name.is_empty() {
        name.required(errors, "must specify a metric name");
    } else {
        name.check(errors, names::is_path_segment_name);
    }
    let target = source.child("target");
    validate_target(errors, &target);
    let (amount, average) = (target.child("value"), target.child("averageValue"));
    match (member, amount.is_set(), average.is_set()) {
        ("object", false, false) => {
            average.required(errors, "must set either a target value or averageValue")
        }
        ("external", false, false) => {
            average.required(errors, "must set either a target value for metric or a per-pod target");
        }
        ("external", true, true) => {
            amount.forbidden(errors, "may not set both a target value for metric and a per-pod target");
        }
        ("pods", _, false) => average.required(errors, "must specify a positive target averageValue"),
        _ => {}
    }
}

fn validate_resource_source(errors: &mut Errors, source: &Field<'_, '_>, of_container: bool) {
    let name = source.child("name");
    if name.is_empty() {
        name.required(errors, "must specify a resource name");
    } else if of_container {
        validate_name(errors, name.text(), &name, Owner::Container);
    }
    if of_container {
        let container = source.child("container");
        if container.is_empty() {
            container.required(errors, "must specify a container");
        } else {
            container.check(errors, names::is_dns1123_label);
        }
    }
    let target = source.child("target");
    validate_target(errors, &target);
    let (utilization, average) = (target.child("averageUtilization"), target.child("averageValue"));
    match (utilization.is_set(), average.is_set()) {
        (false, false) => {
            utilization.required(errors, "must set either a target raw value or a target utilization");
        }
        (true, true) => {
            average.forbidden(errors, "may not set both a target raw value and a target utilization");
        }
        _ => {}
    }
}

fn validate_target(errors: &mut Errors, target: &Field<'_, '_>) {
    let kind = target.child("type");
    if kind.is_empty() {
        kind.required(errors, "must specify a metric target type");
    }
    if !["Utilization", "Value", "AverageValue"].contains(&kind.text()) {
        errors.invalid(&kind.path, kind.text(), "must be either Utilization, Value, or AverageValue");
    }
    for name in ["value", "averageValue"] {
        let amount = target.child(name);
        if amount.is_set() && amount.quantity().sign() <= 0 {
            errors.invalid(&amount.path, amount.quantity().to_string(), "must be positive");
        }
    }
    let utilization = target.child("averageUtilization");
    if utilization.is_set() && utilization.number() < 1 {
        utilization.invalid(errors, "must be greater than 0");
    }
}

/// Checks a change of a HorizontalPodAutoscaler's status, its metadata aside.
pub fn validate_horizontal_pod_autoscaler_status_update(autoscaler: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    let status = autoscaler.get("status");
    let status = value!({"status": {
        "currentReplicas": (status.get("currentReplicas").clone()),
        "desiredReplicas": (status.get("desiredReplicas").clone())
    }});
    let root = Field::root(&status, AUTOSCALER);
    for name in ["currentReplicas", "desiredReplicas"] {
        root.child("status").child(name).check_not_negative(&mut errors);
    }
    errors
}
