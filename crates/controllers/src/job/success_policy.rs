//! Whether the completed indexes are enough for a Job's success policy.

use k8s_openapi::api::batch::v1::SuccessPolicy;

use super::intervals::Intervals;

/// The message of success, if a rule matches.
pub(super) fn met(policy: Option<&SuccessPolicy>, succeeded: &Intervals, completions: i32) -> Option<String> {
    if succeeded.is_empty() {
        return None;
    }
    let matches = |(indexes, count): (Option<&str>, Option<i32>)| match indexes {
        Some(indexes) => {
            let wanted = Intervals::parse(indexes, completions);
            let have = wanted.common(succeeded);
            !wanted.is_empty() && (have == wanted.total() || count.is_some_and(|count| have >= count))
        }
        None => count.is_some_and(|count| succeeded.total() >= count),
    };
    let rules = policy.into_iter().flat_map(|policy| &policy.rules);
    let mut rules = rules.map(|rule| (rule.succeeded_indexes.as_deref(), rule.succeeded_count));
    rules.position(matches).map(|at| format!("Matched rules at index {at}"))
}
