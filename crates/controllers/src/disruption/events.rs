//! The events of the controller.

use client::{EventType, LeanPod, reference_to};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::scales::Expected;
use crate::framework::Note;

/// What is to be said about a budget and the pods that it selects. It is said once, until it changes.
pub(super) fn remark(budget: &PodDisruptionBudget, pods: usize, expected: &Expected) -> Option<Note> {
    let about = |kind, reason, message| Some(Note { about: reference_to(budget), kind, reason, message });
    match expected {
        Err(why) => about(
            EventType::Warning,
            "CalculateExpectedPodCountFailed",
            format!("Failed to calculate the number of expected pods: {why}"),
        ),
        Ok(sum) if sum.leaves_out_unmanaged => {
            let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            let message = format!(
                "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, \
                 the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To \
                 account for these pods please set \".spec.minAvailable\" field of the PDB to an integer value.",
                go_text(selector)
            );
            about(EventType::Warning, "UnmanagedPods", message)
        }
        Ok(_) if pods == 0 => about(EventType::Normal, "NoPods", "No matching pods found".to_owned()),
        Ok(_) => None,
    }
}

/// A pod whose eviction was allowed is still there.
pub(super) fn not_deleted(pod: &LeanPod, budget: &PodDisruptionBudget) -> Note {
    let name = budget.metadata.name.as_deref().unwrap_or_default();
    Note {
        about: reference_to(pod),
        kind: EventType::Warning,
        reason: "NotDeleted",
        message: format!(
            "Pod was expected by PDB {}/{name} to be deleted but it wasn't",
            pod.metadata.namespace()
        ),
    }
}

/// A pod is covered by several budgets: it cannot be evicted.
pub(super) fn several(pod: &LeanPod, first: &str) -> Note {
    Note {
        about: reference_to(pod),
        kind: EventType::Warning,
        reason: "MultiplePodDisruptionBudgets",
        message: format!(
            "Pod {:?}/{:?} matches multiple PodDisruptionBudgets.  Chose {first:?} arbitrarily.",
            pod.metadata.namespace(),
            pod.metadata.name()
        ),
    }
}

/// A selector as Go prints it.
fn go_text(selector: Option<&LabelSelector>) -> String {
    let Some(selector) = selector else { return "nil".to_owned() };
    let labels = selector.match_labels.iter().flatten();
    let labels: String = labels.map(|(key, value)| format!("{key}: {value},")).collect();
    let requirements = selector.match_expressions.iter().flatten();
    let requirements: String = requirements
        .map(|requirement| {
            let values = requirement.values.as_deref().unwrap_or_default().join(" ");
            let (key, operator) = (&requirement.key, &requirement.operator);
            format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},")
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{requirements}}},}}"
    )
}
