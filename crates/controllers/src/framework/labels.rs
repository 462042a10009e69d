//! Selectors of typed objects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use object::{LabelSelectorRequirement, Selector};

/// Labels of an object.
pub(crate) type Labels = BTreeMap<String, String>;

/// The matching form of a selector. One that is malformed, which validation refuses, matches nothing.
pub(crate) fn selector(of: &LabelSelector) -> Selector {
    let labels = of.match_labels.iter().flatten();
    let expressions = of.match_expressions.iter().flatten();
    let selector = object::LabelSelector {
        match_labels: labels.map(|(name, value)| (name.clone(), value.clone())).collect(),
        match_expressions: expressions
            .map(|expression| LabelSelectorRequirement {
                key: expression.key.clone(),
                operator: expression.operator.clone(),
                values: expression.values.clone().unwrap_or_default(),
            })
            .collect(),
    };
    selector.to_selector().unwrap_or_else(|_| Selector::nothing())
}

/// Whether a selector selects nothing in particular, and thereby everything.
pub(crate) fn is_empty(of: &LabelSelector) -> bool {
    of.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && of.match_expressions.as_ref().is_none_or(Vec::is_empty)
}
