//! Label keys in affinity terms and spread constraints: the pod's own values for these keys are added to the selectors
//! when the pod is created (KEP-3633, KEP-3243).

use std::collections::HashMap;

use object::{Value, value};

/// How long the value of a label may be.
const LABEL_BYTES_MAX: usize = 63;

/// Merges the keys of all terms and constraints of a pod into their selectors.
pub(super) fn merge(pod: &mut Value) {
    let labels = pod.at("metadata.labels").clone();
    // Values that no label may have are not copied into every term: validation refuses them in their place.
    let is_label = |value: &&str| value.len() <= LABEL_BYTES_MAX;
    let labels = labels.entries().filter_map(|(key, value)| Some((key, value.as_str().filter(is_label)?)));
    let labels: HashMap<&str, &str> = labels.collect();
    for affinity in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = pod.at_mut("spec.affinity").and_then(|all| all.get_mut(affinity)) else {
            continue;
        };
        for term in items_of(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
            merge_into(term, &labels);
        }
        for weighted in items_of(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = weighted.get_mut("podAffinityTerm") {
                merge_into(term, &labels);
            }
        }
    }
    if let Some(constraints) = pod.at_mut("spec.topologySpreadConstraints") {
        constraints.items_mut().for_each(|constraint| merge_into(constraint, &labels));
    }
}

fn items_of<'a>(object: &'a mut Value, member: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(member).into_iter().flat_map(Value::items_mut)
}

/// A term without a selector selects nothing, whatever its keys.
fn merge_into(term: &mut Value, labels: &HashMap<&str, &str>) {
    if term.get("labelSelector").is_null() {
        return;
    }
    let mut added = Vec::new();
    for (member, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in term.get(member).items().filter_map(Value::as_str) {
            if let Some(&own) = labels.get(key) {
                added.push(value!({"key": key, "operator": operator, "values": [own]}));
            }
        }
    }
    if added.is_empty() {
        return;
    }
    let expressions = term.entry("labelSelector").entry("matchExpressions");
    match expressions.as_list_mut() {
        Some(list) => list.extend(added),
        None => *expressions = Value::from(added),
    }
}
