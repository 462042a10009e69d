//! Labels of nodes that have other names now (`pkg/api/node/util.go`).

use object::{Value, names};

use crate::validation::field::Field;

/// Labels, each with what to do instead.
const DEPRECATED: [(&str, &str); 8] = [
    ("beta.kubernetes.io/arch", "deprecated since v1.14; use \"kubernetes.io/arch\" instead"),
    ("beta.kubernetes.io/os", "deprecated since v1.14; use \"kubernetes.io/os\" instead"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
    ),
    (
        "beta.kubernetes.io/instance-type",
        "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
    ),
    ("app.kubernetes.io/created-by", "deprecated since v1.9"),
    (
        "scheduler.alpha.kubernetes.io/preferAvoidPods",
        "deprecated since v1.22; use Taints and Tolerations instead",
    ),
    ("node-role.kubernetes.io/master", "use \"node-role.kubernetes.io/control-plane\" instead"),
];

/// What to do instead of using a label; `None` for all that are not deprecated.
pub(super) fn deprecation(label: &str) -> Option<&'static str> {
    DEPRECATED.iter().find(|(known, _)| *known == label).map(|(_, advice)| *advice)
}

/// Warns about the labels in the requirements of a term. Where terms are only preferences, validation says nothing about
/// values that no label can have.
pub(super) fn of_term(warnings: &mut Vec<String>, term: &Field<'_, '_>, checks_values: bool) {
    for expression in term.child("matchExpressions").items() {
        let key = expression.child("key");
        if let Some(advice) = deprecation(key.text()) {
            warnings.push(format!("{}: {} is {advice}", key.path, key.text()));
        }
        for value in expression.child("values").items().filter(|_| checks_values) {
            let wrong = names::is_valid_label_value(value.text()).into_iter();
            warnings.extend(
                wrong.map(|message| format!("{}: {} is invalid, {message}", value.path, value.text())),
            );
        }
    }
}

/// Warns about the labels of a StorageClass's topologies.
pub(crate) fn of_storage_class(class: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let root = Field::root(class, "io.k8s.api.storage.v1.StorageClass");
    for topology in root.child("allowedTopologies").items() {
        for expression in topology.child("matchLabelExpressions").items() {
            if let Some(advice) = deprecation(expression.value.str_at("key")) {
                warnings.push(format!("{}: {advice}", expression.path));
            }
        }
    }
    warnings
}

/// Warns about the labels of the nodes that a CSIStorageCapacity is about.
pub(crate) fn of_csi_storage_capacity(capacity: &Value, _old: Option<&Value>) -> Vec<String> {
    let mut warnings = Vec::new();
    let root = Field::root(capacity, "io.k8s.api.storage.v1.CSIStorageCapacity");
    let topology = root.child("nodeTopology");
    of_term(&mut warnings, &topology, false);
    let labels = topology.child("matchLabels");
    for (label, _) in labels.entries() {
        if let Some(advice) = deprecation(label) {
            warnings.push(format!("{}: {advice}", labels.path.child(label)));
        }
    }
    warnings
}

/// Warns about the labels of the nodes that a RuntimeClass is for.
pub(crate) fn of_runtime_class(class: &Value, _old: Option<&Value>) -> Vec<String> {
    let root = Field::root(class, "io.k8s.api.node.v1.RuntimeClass");
    let scheduling = root.child("scheduling");
    let selector = scheduling.child("nodeSelector");
    let advice = selector.entries().filter_map(|(label, _)| deprecation(label));
    advice.map(|advice| format!("{}: {advice}", selector.path)).collect()
}
