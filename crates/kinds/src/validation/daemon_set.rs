//! DaemonSets (`pkg/apis/apps/validation`).

use object::Value;
use object::field::Errors;

use super::field::Field;
use super::pod::validate_pod_template;
use super::workload::{
    int_or_percent, validate_at_most_all, validate_collisions, validate_int_or_percent,
    validate_selector_stays, validate_shared_disks,
};

const DAEMON_SET: &str = "io.k8s.api.apps.v1.DaemonSet";

/// Checks a DaemonSet, except its metadata.
pub fn validate_daemon_set(set: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(set, DAEMON_SET);
    let spec = root.child("spec");
    let (selector, template) = (spec.child("selector"), spec.child("template"));
    errors.append(selector.selector().validate(&selector.path, false));
    let metadata = template.child("metadata");
    let labels = metadata.child("labels");
    let matches = |parsed: object::Selector| selector.is_set() && parsed.matches(labels.value);
    if semantics::try_selector(selector.value).is_ok_and(|parsed| !matches(parsed)) {
        labels.invalid(&mut errors, "`selector` does not match template `labels`");
    }
    if selector.is_set() && selector.selector().is_empty() {
        selector.invalid(&mut errors, "empty selector is invalid for daemonset");
    }
    validate_pod_template(&mut errors, &template);
    validate_pod(&mut errors, &template.child("spec"));
    spec.child("minReadySeconds").check_not_negative(&mut errors);
    validate_strategy(&mut errors, &spec.child("updateStrategy"));
    spec.child("revisionHistoryLimit").check_not_negative(&mut errors);
    errors
}

/// Checks that pods are meant to run permanently, on many nodes.
fn validate_pod(errors: &mut Errors, pod: &Field<'_, '_>) {
    validate_shared_disks(errors, pod);
    let policy = pod.child("restartPolicy");
    if policy.text() != "Always" {
        policy.not_supported(errors, &["Always"]);
    }
    let deadline = pod.child("activeDeadlineSeconds");
    if deadline.is_set() {
        deadline.invalid(errors, "must not be specified");
    }
}

fn validate_strategy(errors: &mut Errors, strategy: &Field<'_, '_>) {
    let rolling = strategy.child("rollingUpdate");
    match strategy.child("type").text() {
        "OnDelete" => {}
        "RollingUpdate" if !rolling.is_set() => rolling.required(errors, ""),
        "RollingUpdate" => validate_rolling_update(errors, &rolling),
        _ => errors.not_supported(&strategy.path, strategy.value.clone(), &["RollingUpdate", "OnDelete"]),
    }
}

/// New pods are created either before old ones are deleted or afterwards: exactly one of the two numbers counts.
fn validate_rolling_update(errors: &mut Errors, rolling: &Field<'_, '_>) {
    let (unavailable, surge) = (rolling.child("maxUnavailable"), rolling.child("maxSurge"));
    validate_int_or_percent(errors, &unavailable);
    validate_int_or_percent(errors, &surge);
    validate_at_most_all(errors, &unavailable);
    validate_at_most_all(errors, &surge);
    match (int_or_percent(unavailable.value) != 0, int_or_percent(surge.value) != 0) {
        (true, true) => surge.invalid(errors, "may not be set when maxUnavailable is non-zero"),
        (false, false) => unavailable.required(errors, "cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}

/// Checks a change of a DaemonSet, except its metadata.
pub fn validate_daemon_set_update(set: &Value, old: &Value) -> Errors {
    let mut errors = validate_daemon_set(set);
    validate_selector_stays(&mut errors, &Field::root(set, DAEMON_SET), old);
    errors
}

/// Checks a change of a DaemonSet's status, except its metadata.
pub fn validate_daemon_set_status_update(set: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(set, DAEMON_SET);
    let status = root.child("status");
    let counts = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    for name in counts {
        status.child(name).check_not_negative(&mut errors);
    }
    validate_collisions(&mut errors, &status, old);
    errors
}
