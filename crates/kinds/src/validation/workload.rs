//! Deployments and ReplicaSets (`pkg/apis/apps/validation`), and ReplicationControllers (`pkg/apis/core/validation`); and
//! what the rules of workloads share.

use object::field::Errors;
use object::{Value, names};

use super::field::Field;
use super::pod::validate_pod_template;

const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const REPLICA_SET: &str = "io.k8s.api.apps.v1.ReplicaSet";
const REPLICATION_CONTROLLER: &str = "io.k8s.api.core.v1.ReplicationController";

/// Checks a Deployment, except its metadata.
pub fn validate_deployment(deployment: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(deployment, DEPLOYMENT);
    let spec = root.child("spec");
    spec.child("replicas").check_not_negative(&mut errors);
    validate_selected_template(&mut errors, &spec);
    validate_strategy(&mut errors, &spec.child("strategy"));
    for name in ["minReadySeconds", "revisionHistoryLimit"] {
        spec.child(name).check_not_negative(&mut errors);
    }
    let deadline = spec.child("progressDeadlineSeconds");
    if deadline.is_set() {
        deadline.check_not_negative(&mut errors);
        if deadline.number() <= spec.child("minReadySeconds").number() {
            deadline.invalid(&mut errors, "must be greater than minReadySeconds");
        }
    }
    errors
}

/// Checks a change of a Deployment, except its metadata.
pub fn validate_deployment_update(deployment: &Value, old: &Value) -> Errors {
    let mut errors = validate_deployment(deployment);
    validate_selector_stays(&mut errors, &Field::root(deployment, DEPLOYMENT), old);
    errors
}

/// Checks a change of a Deployment's status, except its metadata.
pub fn validate_deployment_status_update(deployment: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(deployment, DEPLOYMENT);
    let status = root.child("status");
    let counts = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ];
    validate_counts(&mut errors, &status, &counts, "updatedReplicas");
    validate_collisions(&mut errors, &status, old);
    errors
}

/// Checks a ReplicaSet, except its metadata.
pub fn validate_replica_set(set: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(set, REPLICA_SET);
    let spec = root.child("spec");
    for name in ["replicas", "minReadySeconds"] {
        spec.child(name).check_not_negative(&mut errors);
    }
    validate_selected_template(&mut errors, &spec);
    errors
}

/// Checks a change of a ReplicaSet, except its metadata.
pub fn validate_replica_set_update(set: &Value, old: &Value) -> Errors {
    let mut errors = validate_replica_set(set);
    validate_selector_stays(&mut errors, &Field::root(set, REPLICA_SET), old);
    errors
}

/// Checks a change of a ReplicaSet's status, except its metadata.
pub fn validate_replica_set_status_update(set: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(set, REPLICA_SET);
    let status = root.child("status");
    let counts = [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "terminatingReplicas",
        "observedGeneration",
    ];
    validate_counts(&mut errors, &status, &counts, "fullyLabeledReplicas");
    errors
}

/// Checks a ReplicationController, except its metadata. Unlike a ReplicaSet's, its selector may change.
pub fn validate_replication_controller(controller: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(controller, REPLICATION_CONTROLLER);
    let spec = root.child("spec");
    spec.child("minReadySeconds").check_not_negative(&mut errors);
    let (selector, template) = (spec.child("selector"), spec.child("template"));
    if selector.is_empty() {
        selector.required(&mut errors, "");
    }
    let replicas = spec.child("replicas");
    if replicas.is_set() {
        replicas.check_not_negative(&mut errors);
    } else {
        replicas.required(&mut errors, "");
    }
    if !template.is_set() {
        template.required(&mut errors, "");
        return errors;
    }
    let metadata = template.child("metadata");
    let labels = metadata.child("labels");
    if !selector.value.entries().all(|(name, value)| labels.value.get(name) == value) {
        labels.invalid(&mut errors, "`selector` does not match template `labels`");
    }
    validate_pod_template(&mut errors, &template);
    let pod = template.child("spec");
    if replicas.number() > 1 {
        validate_shared_disks(&mut errors, &pod);
    }
    validate_lasting(&mut errors, &pod, "ReplicationController");
    errors
}

/// Checks a change of a ReplicationController's status, except its metadata.
pub fn validate_replication_controller_status_update(controller: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(controller, REPLICATION_CONTROLLER);
    let counts =
        ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
    validate_counts(&mut errors, &root.child("status"), &counts, "fullyLabeledReplicas");
    errors
}

/// The pods of a workload are known by its selector, which therefore cannot change.
pub(super) fn validate_selector_stays(errors: &mut Errors, workload: &Field<'_, '_>, old: &Value) {
    let spec = workload.child("spec");
    spec.child("selector").check_immutable(errors, old.at("spec.selector"));
}

fn validate_counts(errors: &mut Errors, status: &Field<'_, '_>, counts: &[&str], kind: &str) {
    for name in counts {
        status.child(name).check_not_negative(errors);
    }
    let replicas = status.child("replicas").number();
    for name in [kind, "readyReplicas", "availableReplicas"] {
        let count = status.child(name);
        if count.number() > replicas {
            count.invalid(errors, "cannot be greater than status.replicas");
        }
    }
    let available = status.child("availableReplicas");
    if available.number() > status.child("readyReplicas").number() {
        available.invalid(errors, "cannot be greater than readyReplicas");
    }
}

/// Checks selector and template, and that the one selects the other.
fn validate_selected_template(errors: &mut Errors, spec: &Field<'_, '_>) {
    let (field, template) = (spec.child("selector"), spec.child("template"));
    if field.is_set() {
        errors.append(field.selector().validate(&field.path, false));
        if field.selector().is_empty() {
            field.invalid(errors, "empty selector is invalid for deployment");
        }
    } else {
        field.required(errors, "");
    }
    let Ok(selector) = semantics::try_selector(field.value) else {
        return field.invalid(errors, "invalid label selector");
    };
    let metadata = template.child("metadata");
    let labels = metadata.child("labels");
    if !selector.is_everything() && !selector.matches(labels.value) {
        labels.invalid(errors, "`selector` does not match template `labels`");
    }
    validate_pod_template(errors, &template);
    let pod = template.child("spec");
    if spec.child("replicas").number() > 1 {
        validate_shared_disks(errors, &pod);
    }
    validate_lasting(errors, &pod, "ReplicaSet");
}

/// Checks that pods are made to stay.
fn validate_lasting(errors: &mut Errors, pod: &Field<'_, '_>, owner: &str) {
    let policy = pod.child("restartPolicy");
    if policy.text() != "Always" {
        policy.not_supported(errors, &["Always"]);
    }
    let deadline = pod.child("activeDeadlineSeconds");
    if deadline.is_set() {
        deadline.forbidden(errors, format!("activeDeadlineSeconds in {owner} is not Supported"));
    }
}

fn validate_strategy(errors: &mut Errors, strategy: &Field<'_, '_>) {
    let rolling = strategy.child("rollingUpdate");
    match strategy.child("type").text() {
        "Recreate" if rolling.is_set() => {
            rolling.forbidden(errors, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" if rolling.is_set() => validate_rolling_update(errors, &rolling),
        "RollingUpdate" => rolling.required(errors, "this should be defaulted and never be nil"),
        _ => errors.not_supported(&strategy.path, strategy.value.clone(), &["Recreate", "RollingUpdate"]),
    }
}

fn validate_rolling_update(errors: &mut Errors, rolling: &Field<'_, '_>) {
    let (unavailable, surge) = (rolling.child("maxUnavailable"), rolling.child("maxSurge"));
    validate_int_or_percent(errors, &unavailable);
    validate_int_or_percent(errors, &surge);
    if int_or_percent(unavailable.value) == 0 && int_or_percent(surge.value) == 0 {
        unavailable.invalid(errors, "may not be 0 when `maxSurge` is 0");
    }
    validate_at_most_all(errors, &unavailable);
}

/// A number that is not negative, or a percentage.
pub(super) fn validate_int_or_percent(errors: &mut Errors, field: &Field<'_, '_>) {
    match field.value {
        Value::String(_) => field.check(errors, names::is_valid_percent),
        _ => field.check_not_negative(errors),
    }
}

/// No more than all, where it is a percentage.
pub(super) fn validate_at_most_all(errors: &mut Errors, field: &Field<'_, '_>) {
    if percent(field.value).is_some_and(|percent| percent > 100) {
        field.invalid(errors, "must not be greater than 100%");
    }
}

fn percent(value: &Value) -> Option<i64> {
    value.as_str()?.strip_suffix('%')?.parse().ok()
}

/// The number, which may be a percentage. Text that is a plain number counts as that, although it is refused.
pub(super) fn int_or_percent(value: &Value) -> i64 {
    let text = || value.as_str()?.parse().ok();
    percent(value).or(value.as_i64()).or_else(text).unwrap_or_default()
}

/// A count of collisions never falls.
pub(super) fn validate_collisions(errors: &mut Errors, status: &Field<'_, '_>, old: &Value) {
    let collisions = status.child("collisionCount");
    if collisions.number() < old.at("status.collisionCount").as_i64().unwrap_or_default() {
        errors.invalid(&collisions.path, collisions.number(), "cannot be decremented");
    }
}

/// Disks that several pods mount at once must be read only.
pub(super) fn validate_shared_disks(errors: &mut Errors, pod: &Field<'_, '_>) {
    let volumes = pod.child("volumes");
    for volume in volumes.items() {
        let disk = volume.child("gcePersistentDisk");
        let read_only = disk.child("readOnly");
        if disk.is_set() && !read_only.is_true() {
            let why = "must be true for replicated pods > 1; GCE PD can only be mounted on multiple machines if it is read-only";
            errors.invalid(&read_only.path, false, why);
        }
    }
}
