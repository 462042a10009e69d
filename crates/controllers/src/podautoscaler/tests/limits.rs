//! Stabilization windows and scaling policies.

use super::*;

const WINDOW: i32 = 300;

fn behavior(json: Json) -> HorizontalPodAutoscalerBehavior {
    serde_json::from_value(json).unwrap()
}

fn bounds(current: i32) -> Bounds {
    Bounds { current, min: 1, max: 100 }
}

/// The replicas after a recommendation, and the reasons of both conditions.
fn limit(
    history: &mut History,
    behavior: Option<&HorizontalPodAutoscalerBehavior>,
    (current, desired): (i32, i32),
    seconds: i64,
) -> (i32, &'static str, &'static str) {
    let limited = history.limit(behavior, WINDOW, desired, bounds(current), at(seconds));
    assert_eq!(limited.limited.holds, !limited.limited.reason.starts_with("Desired"));
    (limited.replicas, limited.able.reason, limited.limited.reason)
}

#[test]
fn without_behavior_growth_is_limited_and_shrinking_waits() {
    let mut history = History::default();
    history.begin(1, at(0));
    assert_eq!(limit(&mut history, None, (1, 9), 0), (4, "ReadyForNewScale", "ScaleUpLimit"));
    assert_eq!(limit(&mut history, None, (4, 9), 15), (8, "ReadyForNewScale", "ScaleUpLimit"));
    assert_eq!(limit(&mut history, None, (8, 9), 30), (9, "ReadyForNewScale", "DesiredWithinRange"));
    assert_eq!(limit(&mut history, None, (9, 2), 45), (9, "ScaleDownStabilized", "DesiredWithinRange"));
    assert_eq!(limit(&mut history, None, (9, 5), 200), (9, "ScaleDownStabilized", "DesiredWithinRange"));
    // The last recommendation of nine was 301 seconds ago, that of five is younger.
    assert_eq!(limit(&mut history, None, (9, 2), 331), (5, "ScaleDownStabilized", "DesiredWithinRange"));
    assert_eq!(limit(&mut history, None, (5, 2), 501), (2, "ReadyForNewScale", "DesiredWithinRange"));
}

#[test]
fn bounds_are_told() {
    let limit = |desired, max| {
        let bounds = Bounds { current: 5, min: 3, max };
        History::default().limit(None, 0, desired, bounds, at(0)).limited
    };
    assert_eq!((limit(9, 8).reason, limit(9, 8).holds), ("TooManyReplicas", true));
    assert_eq!((limit(1, 8).reason, limit(1, 8).holds), ("TooFewReplicas", true));
    assert_eq!((limit(6, 8).reason, limit(6, 8).holds), ("DesiredWithinRange", false));
}

#[test]
fn windows_work_both_ways() {
    let both = behavior(json!({
        "scaleUp": {"stabilizationWindowSeconds": 60, "policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}]},
        "scaleDown": {"stabilizationWindowSeconds": 60, "policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}]}
    }));
    let mut history = History::default();
    history.begin(5, at(0));
    assert_eq!(limit(&mut history, Some(&both), (5, 9), 15), (5, "ScaleUpStabilized", "DesiredWithinRange"));
    assert_eq!(limit(&mut history, Some(&both), (5, 7), 61), (7, "ReadyForNewScale", "DesiredWithinRange"));
    assert_eq!(
        limit(&mut history, Some(&both), (7, 3), 70),
        (7, "ScaleDownStabilized", "DesiredWithinRange")
    );
    assert_eq!(limit(&mut history, Some(&both), (7, 3), 122), (3, "ReadyForNewScale", "DesiredWithinRange"));
}

#[test]
fn policies_limit_the_rate() {
    let policies = json!([
        {"type": "Pods", "value": 2, "periodSeconds": 60}, {"type": "Percent", "value": 50, "periodSeconds": 60}
    ]);
    for (select, up, down) in [("Max", 15, 5), ("Min", 12, 8), ("Disabled", 10, 10)] {
        let rules = json!({"stabilizationWindowSeconds": 0, "selectPolicy": select, "policies": policies});
        let both = behavior(json!({"scaleUp": rules, "scaleDown": rules}));
        let (replicas, _, reason) = limit(&mut History::default(), Some(&both), (10, 50), 0);
        assert_eq!((replicas, reason), (up, "ScaleUpLimit"), "{select}");
        let (replicas, _, reason) = limit(&mut History::default(), Some(&both), (10, 1), 0);
        assert_eq!((replicas, reason), (down, "ScaleDownLimit"), "{select}");
    }
}

#[test]
fn a_policy_counts_what_was_done_in_its_period() {
    let rules = |seconds| json!({"stabilizationWindowSeconds": 0, "policies": [{"type": "Pods", "value": 4, "periodSeconds": seconds}]});
    let both = behavior(json!({"scaleUp": rules(60), "scaleDown": rules(60)}));
    let mut history = History::default();
    history.scaled(Some(&both), 6, 10, at(0));
    assert_eq!(limit(&mut history, Some(&both), (10, 20), 15).0, 10, "four were added");
    history.scaled(Some(&both), 10, 9, at(20));
    assert_eq!(limit(&mut history, Some(&both), (9, 20), 30).0, 10, "one of them is gone again");
    assert_eq!(limit(&mut history, Some(&both), (10, 1), 90).0, 6, "all that was a minute ago");
    // Without behavior nothing has to be remembered.
    let mut none = History::default();
    none.scaled(None, 1, 2, at(0));
    assert_eq!(none, History::default());
}

#[test]
fn one_replica_can_grow_by_a_small_percentage() {
    let rules = json!({"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 10, "periodSeconds": 15}]});
    let both = behavior(json!({"scaleUp": rules, "scaleDown": rules}));
    assert_eq!(limit(&mut History::default(), Some(&both), (1, 5), 0).0, 2);
}

#[test]
fn history_does_not_grow() {
    let mut history = History::default();
    for seconds in 0..10_000 {
        history.limit(None, 30, 3, bounds(3), at(seconds));
    }
    let text = format!("{history:?}");
    assert!(text.matches("1970").count() <= 32, "{}", text.len());
}
