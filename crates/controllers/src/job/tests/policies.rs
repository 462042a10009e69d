//! Policies of failure and success.

use super::*;
use failure_policy::{Match, matched};
use intervals::Intervals;

fn policy(rules: Value) -> k8s_openapi::api::batch::v1::PodFailurePolicy {
    serde_json::from_value(json!({"rules": rules})).unwrap()
}

#[test]
fn the_first_rule_that_matches_counts() {
    let owner = job(json!({}));
    let codes = |action: &str, operator: &str, values: Value| json!({"action": action, "onExitCodes": {"operator": operator, "values": values}});
    let other = json!({"action": "FailJob", "onExitCodes": {"containerName": "other", "operator": "In", "values": [3]}});
    let fail = |at: usize| {
        Some(Match::FailJob(format!(
            "Container c for pod default/a failed with exit code 3 matching FailJob rule at index {at}"
        )))
    };
    let cases = [
        (json!([]), None),
        (json!([codes("FailJob", "In", json!([3]))]), fail(0)),
        (json!([codes("Ignore", "In", json!([4])), codes("FailJob", "NotIn", json!([4]))]), fail(1)),
        (json!([codes("Count", "In", json!([3])), codes("FailJob", "In", json!([3]))]), Some(Match::Count)),
        (json!([codes("Ignore", "NotIn", json!([3]))]), None),
        (json!([other]), None),
        (json!([codes("FailIndex", "In", json!([3]))]), Some(Match::FailIndex)),
    ];
    let pod = crate::pods::lean(&failed(&owner, "a", 3, 0));
    for (rules, expected) in cases {
        assert_eq!(matched(Some(&policy(rules.clone())), &pod), expected, "{rules}");
    }
    assert_eq!(matched(None, &pod), None);
}

#[test]
fn a_rule_can_name_conditions() {
    let owner = job(json!({}));
    let rule = |status: &str| json!([{"action": "FailJob", "onPodConditions": [{"type": "DisruptionTarget", "status": status}]}]);
    let mut evicted = failed(&owner, "a", 137, 0);
    let condition = json!({"type": "DisruptionTarget", "status": "True"});
    evicted.status.as_mut().unwrap().conditions = Some(vec![serde_json::from_value(condition).unwrap()]);
    let evicted = crate::pods::lean(&evicted);
    let message = "Pod default/a has condition DisruptionTarget matching FailJob rule at index 0";
    assert_eq!(matched(Some(&policy(rule("True"))), &evicted), Some(Match::FailJob(message.into())));
    assert_eq!(matched(Some(&policy(rule("False"))), &evicted), None);
}

#[test]
fn an_exit_code_can_fail_the_job_at_once() {
    let rules = json!([{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}}]);
    let owner = job(
        json!({"completions": 5, "parallelism": 2, "podFailurePolicy": {"rules": rules}, "podReplacementPolicy": "Failed"}),
    );
    let mut world = World::new(owner.clone()).with(vec![failed(&owner, "a", 42, 0)]);
    let plans = world.settle();
    assert_eq!(world.conditions(), ["FailureTarget PodFailurePolicy", "Failed PodFailurePolicy"]);
    let message = "Container c for pod default/a failed with exit code 42 matching FailJob rule at index 0";
    assert_eq!(notes(&plans), [format!("Warning PodFailurePolicy: {message}")]);
}

#[test]
fn ignored_failures_do_not_count_towards_the_limit() {
    let rules = json!([{"action": "Ignore", "onExitCodes": {"operator": "In", "values": [42]}}]);
    let owner = job(
        json!({"completions": 1, "backoffLimit": 0, "podFailurePolicy": {"rules": rules}, "podReplacementPolicy": "Failed"}),
    );
    let mut world = World::new(owner.clone()).with(vec![failed(&owner, "a", 42, -60)]);
    world.settle();
    assert_eq!((world.status().failed, world.active().len()), (None, 1));
    assert_eq!(world.pods[0].metadata.finalizers, None);
}

#[test]
fn rules_of_success_name_indexes_and_counts() {
    let cases = [
        (json!({"succeededIndexes": "0-2"}), "0-3", true),
        (json!({"succeededIndexes": "0-2"}), "0,1", false),
        (json!({"succeededIndexes": "0-2", "succeededCount": 2}), "0,2,5", true),
        (json!({"succeededIndexes": "0-2", "succeededCount": 2}), "0,5,6", false),
        (json!({"succeededCount": 3}), "1,3,5", true),
        (json!({"succeededCount": 3}), "1,3", false),
        (json!({"succeededIndexes": "8-9"}), "0-7", false),
    ];
    for (rule, completed, met) in cases {
        let policy = serde_json::from_value(json!({"rules": [{"succeededCount": 100}, rule]})).unwrap();
        let found = success_policy::met(Some(&policy), &Intervals::parse(completed, 8), 8);
        assert_eq!(found.is_some(), met, "{rule} {completed}");
        assert!(found.is_none_or(|message| message == "Matched rules at index 1"));
    }
    assert_eq!(success_policy::met(None, &Intervals::parse("0", 8), 8), None);
}

#[test]
fn success_by_policy_stops_the_rest_without_failures() {
    let owner = job(json!({
        "completionMode": "Indexed", "completions": 3, "parallelism": 3, "successPolicy": {"rules": [{"succeededIndexes": "0"}]},
    }));
    let pods = vec![
        with_index(succeeded(&owner, "a"), 0),
        with_index(running(&owner, "b"), 1),
        with_index(running(&owner, "c"), 2),
    ];
    let mut world = World::new(owner).with(pods);
    world.settle();
    assert_eq!(world.conditions(), ["SuccessCriteriaMet SuccessPolicy"]);
    assert_eq!(world.status().terminating, Some(2));
    world.pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    let plans = world.settle();
    assert_eq!(world.conditions(), ["SuccessCriteriaMet SuccessPolicy", "Complete SuccessPolicy"]);
    assert_eq!(world.status().failed, None);
    assert_eq!(world.status().completed_indexes.as_deref(), Some("0"));
    assert_eq!(notes(&plans), ["Normal Completed: Job completed"]);
}
