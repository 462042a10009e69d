//! StatefulSets (`pkg/apis/apps/validation`).

use std::collections::HashSet;

use object::field::Errors;
use object::{Value, names, value};

use super::field::{Field, same};
use super::persistent_volume_claim::validate_claim_spec;
use super::pod::validate_pod_template;
use super::workload::{int_or_percent, validate_at_most_all, validate_collisions, validate_int_or_percent};

const STATEFUL_SET: &str = "io.k8s.api.apps.v1.StatefulSet";
const TEMPLATE: &str = "io.k8s.api.core.v1.PodTemplateSpec";

/// What may change; the order is that of the message.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

/// Checks a StatefulSet, its metadata aside.
pub fn validate_stateful_set(set: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(set, STATEFUL_SET);
    let spec = root.child("spec");
    validate_spec(&mut errors, &spec);
    spec.child("serviceName").check_set(&mut errors, names::is_dns1123_label);
    for claim in spec.child("volumeClaimTemplates").items() {
        validate_claim_spec(&mut errors, &claim.child("spec"), false);
    }
    errors.append(template_errors(&spec));
    errors
}

fn validate_spec(errors: &mut Errors, spec: &Field<'_, '_>) {
    let management = spec.child("podManagementPolicy");
    match management.text() {
        "" => management.required(errors, ""),
        "OrderedReady" | "Parallel" => {}
        _ => management.invalid(errors, "must be 'OrderedReady' or 'Parallel'"),
    }
    validate_strategy(errors, &spec.child("updateStrategy"));
    let retention = spec.child("persistentVolumeClaimRetentionPolicy");
    if retention.is_set() {
        for name in ["whenDeleted", "whenScaled"] {
            let policy = retention.child(name);
            if !["Retain", "Delete"].contains(&policy.text()) {
                policy.not_supported(errors, &["Retain", "Delete"]);
            }
        }
    }
    for name in ["replicas", "minReadySeconds", "revisionHistoryLimit"] {
        spec.child(name).check_not_negative(errors);
    }
    spec.child("ordinals").child("start").check_not_negative(errors);
    validate_selector(errors, spec);
    let template = spec.child("template");
    let pod = template.child("spec");
    let policy = pod.child("restartPolicy");
    if policy.text() != "Always" {
        policy.not_supported(errors, &["Always"]);
    }
    let deadline = pod.child("activeDeadlineSeconds");
    if deadline.is_set() {
        deadline.forbidden(errors, "activeDeadlineSeconds in StatefulSet is not Supported");
    }
}

fn validate_strategy(errors: &mut Errors, strategy: &Field<'_, '_>) {
    let rolling = strategy.child("rollingUpdate");
    match strategy.child("type").text() {
        "" => strategy.required(errors, ""),
        "OnDelete" if rolling.is_set() => {
            rolling.invalid(errors, "only allowed for updateStrategy 'RollingUpdate'");
        }
        "RollingUpdate" if rolling.is_set() => {
            rolling.child("partition").check_not_negative(errors);
            let unavailable = rolling.child("maxUnavailable");
            if unavailable.is_set() {
                validate_int_or_percent(errors, &unavailable);
                if int_or_percent(unavailable.value) == 0 {
                    unavailable.invalid(errors, "cannot be 0");
                }
                validate_at_most_all(errors, &unavailable);
            }
        }
        "OnDelete" | "RollingUpdate" => {}
        _ => strategy.invalid(errors, "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

fn validate_selector(errors: &mut Errors, spec: &Field<'_, '_>) {
    let selector = spec.child("selector");
    if selector.is_set() {
        errors.append(selector.selector().validate(&selector.path, false));
        if selector.selector().is_empty() {
            selector.invalid(errors, "empty selector is invalid for statefulset");
        }
    } else {
        selector.required(errors, "");
    }
    let Ok(parsed) = semantics::try_selector(selector.value) else { return selector.invalid(errors, "") };
    let template = spec.child("template");
    let metadata = template.child("metadata");
    let labels = metadata.child("labels");
    if !parsed.is_everything() && !parsed.matches(labels.value) {
        labels.invalid(errors, "`selector` does not match template `labels`");
    }
}

/// What is wrong with the template, which has the volumes that the claims become in the set's pods.
fn template_errors(spec: &Field<'_, '_>) -> Errors {
    let mut errors = Errors::new();
    let template = spec.child("template");
    let mut whole = template.value.clone();
    let volumes = whole.entry("spec").entry("volumes");
    let claims: Vec<&str> =
        spec.value.get("volumeClaimTemplates").items().map(|claim| claim.str_at("metadata.name")).collect();
    let replaced: HashSet<&str> = claims.iter().copied().collect();
    let mut list: Vec<Value> =
        volumes.items().filter(|volume| !replaced.contains(volume.str_at("name"))).cloned().collect();
    // A claim takes the place of a volume of its name.
    list.extend(
        claims.iter().map(|name| value!({"name": *name, "persistentVolumeClaim": {"claimName": *name}})),
    );
    *volumes = Value::from(list);
    validate_pod_template(&mut errors, &Field::root(&whole, TEMPLATE).named(template.path));
    errors
}

/// Checks a change of a StatefulSet, its metadata aside. A template that was wrong before may stay so.
pub fn validate_stateful_set_update(set: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let (root, before) = (Field::root(set, STATEFUL_SET), Field::root(old, STATEFUL_SET));
    let (spec, before) = (root.child("spec"), before.child("spec"));
    validate_spec(&mut errors, &spec);
    if template_errors(&before).is_empty() {
        errors.append(template_errors(&spec));
    }
    let fixed = |spec: &Value| {
        let mut spec = spec.clone();
        for name in MUTABLE {
            spec.remove(name);
        }
        spec
    };
    if !same(&fixed(spec.value), &fixed(before.value)) {
        let (last, first) = MUTABLE.split_last().expect("some may change");
        let why = format!(
            "updates to statefulset spec for fields other than '{}' and '{last}' are forbidden",
            first.join("', '")
        );
        spec.forbidden(&mut errors, why);
    }
    errors
}

/// Checks a change of a StatefulSet's status, its metadata aside.
pub fn validate_stateful_set_status_update(set: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(set, STATEFUL_SET);
    let status = root.child("status");
    let counts = [
        "replicas",
        "readyReplicas",
        "currentReplicas",
        "updatedReplicas",
        "availableReplicas",
        "observedGeneration",
        "collisionCount",
    ];
    for name in counts {
        status.child(name).check_not_negative(&mut errors);
    }
    let replicas = status.child("replicas").number();
    for name in ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"] {
        let count = status.child(name);
        if count.number() > replicas {
            count.invalid(&mut errors, "cannot be greater than status.replicas");
        }
    }
    let available = status.child("availableReplicas");
    if available.number() > status.child("readyReplicas").number() {
        available.invalid(&mut errors, "cannot be greater than status.readyReplicas");
    }
    validate_collisions(&mut errors, &status, old);
    errors
}
