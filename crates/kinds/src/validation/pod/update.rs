//! Changes of pods.

use std::collections::{HashMap, HashSet};

use object::field::{Error, Errors, Path};
use object::{Value, names, quote};

use super::annotations::{APP_ARMOR_PREFIX, MIRROR, validate_pod_annotations};
use super::scheduling::validate_tolerations;
use super::{POD, validate_any};
use crate::restore;
use crate::validation::field::{Field, differences, same};

const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,\
    `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
    `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Checks a change of a Pod, except its metadata.
pub fn validate_pod_update(pod: &Value, old: &Value) -> Errors {
    let mut errors = validate_any(pod);
    let root = Field::root(pod, POD);
    validate_annotation_changes(&mut errors, &root, old);
    let spec = root.child("spec");
    for name in ["containers", "initContainers"] {
        let containers = spec.child(name);
        if containers.len() != old.get("spec").get(name).items().len() {
            containers.forbidden(&mut errors, "pod updates may not add or remove containers");
            return errors;
        }
        for container in containers.items() {
            container.child("image").check_present(&mut errors);
            super::container::validate_image_is_trimmed(&mut errors, &container);
        }
    }
    if !validate_deadline(&mut errors, &spec, old) {
        return errors;
    }
    validate_added_tolerations(&mut errors, &spec.child("tolerations"), old.at("spec.tolerations"));
    validate_removed_gates(&mut errors, &spec.child("schedulingGates"), old.at("spec.schedulingGates"));
    if same(spec.value, old.get("spec")) {
        return errors;
    }
    let allowed = with_allowed_changes(&mut errors, &spec, old.get("spec"));
    if !same(&allowed, old.get("spec")) {
        let diff = differences(old.get("spec"), &allowed);
        spec.forbidden(
            &mut errors,
            format!("pod updates may not change fields other than {UPDATABLE}\n{diff}"),
        );
    }
    errors
}

/// Annotations by which nodes and profiles know a pod stay as they are.
pub(super) fn validate_annotation_changes(errors: &mut Errors, pod: &Field<'_, '_>, old: &Value) {
    let metadata = pod.child("metadata");
    let annotations = metadata.child("annotations");
    let before = old.at("metadata.annotations");
    let watched = |key: &str| key == MIRROR || key.starts_with(APP_ARMOR_PREFIX);
    let (was, now): (HashMap<_, _>, HashMap<_, _>) = (
        before.entries().filter(|(key, _)| watched(key)).collect(),
        annotations.value.entries().filter(|(key, _)| watched(key)).collect(),
    );
    for (key, _) in before.entries().filter(|(key, value)| watched(key) && now.get(key) != Some(value)) {
        let path = annotations.path.key(key);
        if key.starts_with(APP_ARMOR_PREFIX) {
            errors.forbidden(&path, "may not remove or update AppArmor annotations");
        }
        if key == MIRROR {
            errors.forbidden(&path, "may not remove or update mirror pod annotation");
        }
    }
    for (key, added) in annotations.entries().filter(|(key, _)| watched(key) && !was.contains_key(key)) {
        if key.starts_with(APP_ARMOR_PREFIX) {
            added.forbidden(errors, "may not add AppArmor annotations");
        }
        if key == MIRROR {
            added.forbidden(errors, "may not add mirror pod annotation");
        }
    }
    validate_pod_annotations(errors, &annotations, &pod.child("spec"));
}

/// A deadline can be set and brought forward. Returns whether the other rules still make sense.
fn validate_deadline(errors: &mut Errors, spec: &Field<'_, '_>, old: &Value) -> bool {
    let deadline = spec.child("activeDeadlineSeconds");
    let before = old.at("spec.activeDeadlineSeconds").as_i64();
    match (deadline.value.as_i64(), before) {
        (Some(now), _) if !(0..=i64::from(i32::MAX)).contains(&now) => {
            errors.invalid_each(&deadline.path, now, names::is_in_range(now, 0, i32::MAX.into()));
            false
        }
        (Some(now), Some(before)) if before < now => {
            deadline.invalid(errors, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            deadline.invalid(errors, "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

fn validate_added_tolerations(errors: &mut Errors, tolerations: &Field<'_, '_>, old: &Value) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration.remove("tolerationSeconds");
        toleration
    };
    let text = |toleration: &Value| {
        let mut toleration = without_seconds(toleration);
        if let Some(map) = toleration.as_map_mut() {
            map.retain(|_, member| !member.is_empty());
            map.sort();
        }
        object::json::to_vec(&toleration)
    };
    let now: HashSet<Vec<u8>> = tolerations.value.items().map(text).collect();
    for before in old.items() {
        if !now.contains(&text(before)) {
            let why = "existing toleration can not be modified except its tolerationSeconds";
            return tolerations.forbidden(errors, why);
        }
    }
    validate_tolerations(errors, tolerations);
}

fn validate_removed_gates(errors: &mut Errors, gates: &Field<'_, '_>, old: &Value) {
    let before: HashSet<&str> = old.items().map(|before| before.str_at("name")).collect();
    for gate in gates.items() {
        let name = gate.child("name");
        if !before.contains(name.text()) {
            let why = format!("only deletion is allowed, but found new scheduling gate '{}'", name.text());
            name.forbidden(errors, why);
        }
    }
}

/// The new spec with those changes taken back that are allowed.
fn with_allowed_changes(errors: &mut Errors, spec: &Field<'_, '_>, old: &Value) -> Value {
    let mut munged = spec.value.clone();
    for name in ["containers", "initContainers"] {
        let before = old.get(name).items();
        let now = munged.get_mut(name).map(Value::items_mut).into_iter().flatten();
        now.zip(before).for_each(|(now, before)| restore(now, before, "image"));
    }
    for name in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        restore(&mut munged, old, name);
    }
    let grace = |spec: &Value| spec.get("terminationGracePeriodSeconds").as_i64();
    if grace(old).is_some_and(|seconds| seconds < 0) && grace(&munged) == Some(1) {
        restore(&mut munged, old, "terminationGracePeriodSeconds");
    }
    if !old.get("schedulingGates").is_empty() {
        take_back_placement(errors, spec, &mut munged, old);
    }
    munged
}

/// Pods that still wait behind gates may be placed more narrowly.
fn take_back_placement(errors: &mut Errors, spec: &Field<'_, '_>, munged: &mut Value, old: &Value) {
    let selector = spec.child("nodeSelector");
    let before = old.get("nodeSelector");
    if before.entries().any(|(key, value)| selector.value.get(key) != value) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        selector.invalid(errors, why);
    }
    restore(munged, old, "nodeSelector");
    let affinity = spec.child("affinity");
    let node = affinity.child("nodeAffinity");
    let before = old.at("affinity.nodeAffinity");
    if same(node.value, before) {
        return;
    }
    validate_affinity_change(errors, &node, before);
    match before {
        Value::Null => {
            munged.at_mut("affinity").map(|affinity| affinity.remove("nodeAffinity"));
        }
        before => munged.entry("affinity").set("nodeAffinity", before.clone()),
    }
}

fn validate_affinity_change(errors: &mut Errors, node: &Field<'_, '_>, before: &Value) {
    let required = node.child("requiredDuringSchedulingIgnoredDuringExecution");
    let terms = required.child("nodeSelectorTerms");
    let before = before.at("requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
    if before.is_empty() {
        return;
    }
    if before.items().len() != terms.len() {
        return terms
            .invalid(errors, "no additions/deletions to non-empty NodeSelectorTerms list are allowed");
    }
    for (term, before) in terms.items().zip(before.items()) {
        let kept = |name| {
            let (now, before) = (term.value.get(name).items(), before.get(name).items());
            now.len() >= before.len() && now.zip(before).all(|(now, before)| same(now, before))
        };
        // A term that matched nothing must not begin to match something.
        let was_empty = before.get("matchExpressions").is_empty() && before.get("matchFields").is_empty();
        let is_empty = term.child("matchExpressions").is_empty() && term.child("matchFields").is_empty();
        if !kept("matchExpressions") || !kept("matchFields") || was_empty && !is_empty {
            term.invalid(errors, "only additions are allowed (no mutations or deletions)");
        }
    }
}

/// Checks a change of `ephemeralcontainers`, the subresource, metadata aside.
pub fn validate_ephemeral_containers_update(pod: &Value, old: &Value) -> Errors {
    if !old.at("metadata.annotations").get(MIRROR).is_null() {
        return Error::forbidden(&Path::root(""), "static pods do not support ephemeral containers").into();
    }
    let mut errors = validate_any(pod);
    let root = Field::root(pod, POD);
    validate_annotation_changes(&mut errors, &root, old);
    let spec = root.child("spec");
    let containers = spec.child("ephemeralContainers");
    let mut by_name: HashMap<&str, &Value> = HashMap::new();
    for container in containers.value.items() {
        by_name.entry(container.str_at("name")).or_insert(container);
    }
    for before in old.at("spec.ephemeralContainers").items() {
        let name = before.str_at("name");
        let now = by_name.get(name).copied();
        let what = match now {
            None => "removed\n".to_owned(),
            Some(now) if same(now, before) => continue,
            Some(now) => format!("changed\n{}", differences(before, now)),
        };
        let why = format!("existing ephemeral containers {} may not be {what}", quote(name));
        containers.forbidden(&mut errors, why);
    }
    errors
}
