//! What a Job's failure policy says about a failed pod.

use client::{LeanContainerStatus, LeanPod};
use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyOnPodConditionsPattern,
};

/// The action of the first rule that the pod matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// The Job fails, with this message.
    FailJob(String),
    /// The pod's index fails.
    FailIndex,
    /// The failure counts as without a policy.
    Count,
    /// The failure does not count.
    Ignore,
}

/// Matches a failed pod with the policy.
pub(super) fn matched(policy: Option<&PodFailurePolicy>, pod: &LeanPod) -> Option<Match> {
    let rules = policy.into_iter().flat_map(|policy| &policy.rules).enumerate();
    rules
        .filter_map(|(at, rule)| {
            let name = format!("{}/{}", pod.metadata.namespace(), pod.metadata.name());
            let why = if let Some(codes) = &rule.on_exit_codes {
                let (container, code) = exit_code(pod, codes)?;
                format!("Container {container} for pod {name} failed with exit code {code}")
            } else {
                let condition = condition(pod, rule.on_pod_conditions.as_deref().unwrap_or_default())?;
                format!("Pod {name} has condition {condition}")
            };
            match rule.action.as_str() {
                "FailJob" => Some(Match::FailJob(format!("{why} matching FailJob rule at index {at}"))),
                "FailIndex" => Some(Match::FailIndex),
                "Count" => Some(Match::Count),
                "Ignore" => Some(Match::Ignore),
                _ => None,
            }
        })
        .next()
}

/// The first container that ended with one of the codes.
fn exit_code<'a>(
    pod: &'a LeanPod,
    wanted: &PodFailurePolicyOnExitCodesRequirement,
) -> Option<(&'a str, i32)> {
    let status = pod.status.as_ref()?;
    let ended = |container: &'a LeanContainerStatus| {
        let code = container.state.terminated.as_ref()?.exit_code;
        let is_meant = wanted.container_name.as_ref().is_none_or(|name| **name == *container.name);
        let fits = match wanted.operator.as_str() {
            "In" => wanted.values.contains(&code),
            "NotIn" => !wanted.values.contains(&code),
            _ => false,
        };
        (is_meant && code != 0 && fits).then_some((&*container.name, code))
    };
    status.container_statuses.iter().chain(&status.init_container_statuses).find_map(ended)
}

/// The type of the pod's first condition that matches a pattern.
fn condition<'a>(pod: &'a LeanPod, patterns: &[PodFailurePolicyOnPodConditionsPattern]) -> Option<&'a str> {
    let matches = |kind: &str, status: &str| {
        let fits = |wanted: &PodFailurePolicyOnPodConditionsPattern| {
            *wanted.type_ == *kind && wanted.status.as_deref().unwrap_or("True") == status
        };
        patterns.iter().any(fits)
    };
    let conditions = pod.status.iter().flat_map(|status| &status.conditions);
    conditions
        .map(|condition| (&*condition.type_, &*condition.status))
        .find_map(|(kind, status)| matches(kind, status).then_some(kind))
}
