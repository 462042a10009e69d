//! Affinity to nodes and to other pods.

use std::collections::{HashMap, HashSet};

use object::field::Errors;
use object::{Value, names};

use crate::validation::field::Field;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const IN_NEEDS_VALUES: &str = "must be specified when `operator` is 'In' or 'NotIn'";
const EXISTS_HAS_NONE: &str = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
const NO_OPERATOR: &str = "not a valid selector operator";

pub(super) fn validate_affinity(errors: &mut Errors, affinity: &Field<'_, '_>) {
    let node = affinity.child("nodeAffinity");
    let required = node.child(REQUIRED);
    if required.is_set() {
        validate_node_selector(errors, &required);
    }
    for term in node.child(PREFERRED).items() {
        validate_weight(errors, &term.child("weight"));
        // Unfit values do no harm in a preference.
        validate_node_term(errors, &term.child("preference"), true);
    }
    for name in ["podAffinity", "podAntiAffinity"] {
        let pods = affinity.child(name);
        pods.child(REQUIRED).items().for_each(|term| validate_pod_term(errors, &term));
        for term in pods.child(PREFERRED).items() {
            validate_weight(errors, &term.child("weight"));
            validate_pod_term(errors, &term.child("podAffinityTerm"));
        }
    }
}

fn validate_weight(errors: &mut Errors, weight: &Field<'_, '_>) {
    if !(1..=100).contains(&weight.number()) {
        errors.invalid(&weight.path, weight.number(), "must be in the range 1-100");
    }
}

/// Checks a NodeSelector.
pub(crate) fn validate_node_selector(errors: &mut Errors, selector: &Field<'_, '_>) {
    let terms = selector.child("nodeSelectorTerms");
    if terms.is_empty() {
        return terms.required(errors, "must have at least one node selector term");
    }
    terms.items().for_each(|term| validate_node_term(errors, &term, false));
}

fn validate_node_term(errors: &mut Errors, term: &Field<'_, '_>, any_values: bool) {
    for expression in term.child("matchExpressions").items() {
        let (operator, values) = (expression.child("operator"), expression.child("values"));
        match operator.text() {
            "In" | "NotIn" if values.is_empty() => values.required(errors, IN_NEEDS_VALUES),
            "Exists" | "DoesNotExist" if !values.is_empty() => values.forbidden(errors, EXISTS_HAS_NONE),
            "Gt" | "Lt" if values.len() != 1 => {
                values.required(errors, "must be specified single value when `operator` is 'Lt' or 'Gt'");
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => errors.invalid(&operator.path, other, NO_OPERATOR),
        }
        expression.child("key").check(errors, names::is_qualified_name);
        if !any_values {
            values.items().for_each(|value| value.check(errors, names::is_valid_label_value));
        }
    }
    for expression in term.child("matchFields").items() {
        let (operator, values) = (expression.child("operator"), expression.child("values"));
        match operator.text() {
            "In" | "NotIn" if values.len() != 1 => {
                let why = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
                values.required(errors, why);
            }
            "In" | "NotIn" => {}
            other => errors.invalid(&operator.path, other, NO_OPERATOR),
        }
        let key = expression.child("key");
        match key.text() {
            "metadata.name" => {
                values.items().for_each(|value| value.check(errors, names::is_dns1123_subdomain));
            }
            other => errors.invalid(&key.path, other, "not a valid field selector key"),
        }
    }
}

fn validate_pod_term(errors: &mut Errors, term: &Field<'_, '_>) {
    let selector = term.child("labelSelector");
    let namespaces = term.child("namespaceSelector");
    errors.append(selector.selector().validate(&selector.path, false));
    errors.append(namespaces.selector().validate(&namespaces.path, false));
    let path = term.path.child("namespace");
    for namespace in term.child("namespaces").items() {
        namespace.named(path).check(errors, names::is_dns1123_label);
    }
    validate_label_keys(errors, term, &selector);
    let key = term.child("topologyKey");
    if key.is_empty() {
        key.required(errors, "can not be empty");
    }
    key.check(errors, names::is_qualified_name);
}

/// Keys of labels whose values come from the pod itself.
fn validate_label_keys(errors: &mut Errors, term: &Field<'_, '_>, selector: &Field<'_, '_>) {
    let (matching, differing) = (term.child("matchLabelKeys"), term.child("mismatchLabelKeys"));
    for keys in [&matching, &differing].into_iter().filter(|keys| !keys.is_empty()) {
        if !selector.is_set() {
            keys.forbidden(errors, "must not be specified when labelSelector is not set");
            continue;
        }
        keys.items().for_each(|key| key.check(errors, names::is_qualified_name));
    }
    // The server has added an expression for each key: a key that appears twice was given already.
    let selector = selector.selector();
    let mut seen: HashSet<&str> = selector.match_labels.iter().map(|(key, _)| key.as_str()).collect();
    let mut places = HashMap::new();
    for (place, key) in matching.value.items().enumerate() {
        places.entry(key.as_str().unwrap_or_default()).or_insert(place);
    }
    for expression in &selector.match_expressions {
        let key = expression.key.as_str();
        if let Some(&index) = places.get(key).filter(|_| seen.contains(&key)) {
            errors.invalid(&term.path.index(index), key, "exists in both matchLabelKeys and labelSelector");
        }
        seen.insert(key);
    }
    let others: HashSet<Option<&str>> = differing.value.items().map(Value::as_str).collect();
    for key in matching.items() {
        if others.contains(&key.value.as_str()) {
            key.invalid(errors, "exists in both matchLabelKeys and mismatchLabelKeys");
        }
    }
}
