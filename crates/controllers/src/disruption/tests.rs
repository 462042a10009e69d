use client::Patch;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value as Json, json};

use super::*;
use crate::framework::Action;

const NOW: &str = "2026-01-01T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn ago(seconds: i64) -> String {
    (now() - SignedDuration::from_secs(seconds)).to_string()
}

fn budget(spec: Json, status: Json) -> Arc<PodDisruptionBudget> {
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "generation": 2}, "spec": spec, "status": status,
        }))
        .unwrap(),
    )
}

/// A pod whose name says what it is.
fn pod(name: &str) -> Arc<LeanPod> {
    let is = |what: &str| name.contains(what);
    let mut metadata =
        json!({"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": {"app": "web"}});
    if is("going") {
        metadata["deletionTimestamp"] = NOW.into();
    }
    let ready = if is("unready") { "False" } else { "True" };
    let pod: Pod = serde_json::from_value(json!({
        "metadata": metadata,
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]},
    }))
    .unwrap();
    crate::pods::lean(&pod)
}

fn pods(names: &str) -> Vec<Arc<LeanPod>> {
    names.split_whitespace().map(pod).collect()
}

fn snapshot(budget: Arc<PodDisruptionBudget>, names: &str, scale: i32) -> Snapshot {
    let expected = Ok(Sum { pods: scale, leaves_out_unmanaged: false });
    Snapshot::Budget { budget, pods: pods(names), expected, news: None }
}

fn written(plan: &Plan) -> PodDisruptionBudget {
    let objects: Vec<_> =
        plan.actions().into_iter().filter_map(Action::object::<PodDisruptionBudget>).collect();
    let [only] = objects[..] else { panic!("{plan:?}") };
    only.clone()
}

fn events(plan: &Plan) -> Vec<String> {
    let notes = plan.actions().into_iter().filter_map(|action| match action {
        Action::Record(note) => Some(format!("{} {}: {}", note.kind.as_str(), note.reason, note.message)),
        _ => None,
    });
    notes.collect()
}

/// `healthy/desired of expected, allowed`
fn counts(budget: &PodDisruptionBudget) -> String {
    let status = budget.status.as_ref().unwrap();
    let number = |number: Option<i32>| number.expect("all counts are shown");
    let (healthy, desired) = (number(status.current_healthy), number(status.desired_healthy));
    format!("{healthy}/{desired} of {}, {}", number(status.expected_pods), number(status.disruptions_allowed))
}

fn condition(budget: &PodDisruptionBudget) -> String {
    let conditions = budget.status.as_ref().unwrap().conditions.as_ref().unwrap();
    let [only] = &conditions[..] else { panic!("{conditions:?}") };
    format!(
        "{}={} {} {:?} {:?}",
        only.type_, only.status, only.reason, only.message, only.observed_generation
    )
}

#[test]
fn the_status_counts() {
    for (spec, names, scale, expected) in [
        // A number of available pods counts the pods, whoever made them.
        (json!({"minAvailable": 1}), "a b c", 9, "3/1 of 3, 2"),
        (json!({"minAvailable": 3}), "a b c", 9, "3/3 of 3, 0"),
        (json!({"minAvailable": 3}), "a b-unready c-going", 9, "1/3 of 3, 0"),
        (json!({"minAvailable": 0}), "", 0, "0/0 of 0, 0"),
        // Percentages are of the scale, and rounded up.
        (json!({"minAvailable": "30%"}), "a b c d", 5, "4/2 of 5, 2"),
        (json!({"minAvailable": "0%"}), "a b", 2, "2/0 of 2, 2"),
        (json!({"minAvailable": "100%"}), "a b", 2, "2/2 of 2, 0"),
        (json!({"maxUnavailable": 1}), "a b c", 3, "3/2 of 3, 1"),
        (json!({"maxUnavailable": 1}), "a b-unready c", 3, "2/2 of 3, 0"),
        (json!({"maxUnavailable": 5}), "a b c", 3, "3/0 of 3, 3"),
        (json!({"maxUnavailable": "10%"}), "a b c", 3, "3/2 of 3, 1"),
        (json!({"maxUnavailable": "50%"}), "a b c", 3, "3/1 of 3, 2"),
        // More pods than wanted: those above may go as well.
        (json!({"maxUnavailable": 1}), "a b c d", 2, "4/1 of 2, 3"),
        // Nothing is wanted: nothing is allowed, either.
        (json!({"maxUnavailable": 1}), "a", 0, "1/0 of 0, 0"),
        (json!({}), "a b", 2, "2/0 of 0, 0"),
    ] {
        let snapshot = snapshot(budget(spec.clone(), json!(null)), names, scale);
        let written = written(&plan::plan(&snapshot, now()));
        assert_eq!(counts(&written), expected, "{spec} {names}");
        assert_eq!(written.status.as_ref().unwrap().observed_generation, Some(2));
        let shown = match expected.ends_with(", 0") {
            true => "DisruptionAllowed=False InsufficientPods \"\" Some(2)",
            false => "DisruptionAllowed=True SufficientPods \"\" Some(2)",
        };
        assert_eq!(condition(&written), shown, "{spec} {names}");
        // What is written is correct: a second plan does nothing.
        let Snapshot::Budget { pods, expected, .. } = snapshot else { unreachable!() };
        let again = Snapshot::Budget { budget: Arc::new(written), pods, expected, news: None };
        assert!(plan::plan(&again, now()).is_empty(), "{spec} {names}");
    }
}

#[test]
fn only_fractions_of_the_whole_need_scales() {
    for (spec, needed) in [
        (json!({"minAvailable": 1}), false),
        (json!({"minAvailable": "1%"}), true),
        (json!({"maxUnavailable": 1}), true),
        (json!({"maxUnavailable": "1%"}), true),
        (json!({}), false),
    ] {
        assert_eq!(status::needs_scales(&budget(spec.clone(), json!(null))), needed, "{spec}");
    }
}

#[test]
fn evicted_pods_are_not_healthy_until_they_are_overdue() {
    let told = json!({"a": ago(119), "b-going": ago(10), "gone": ago(10), "c": ago(120)});
    let budget = budget(json!({"minAvailable": 1}), json!({"disruptedPods": told}));
    let plan = plan::plan(&snapshot(budget, "a b-going c d", 0), now());
    let written = written(&plan);
    assert_eq!(counts(&written), "2/1 of 4, 1");
    let waiting = written.status.unwrap().disrupted_pods.unwrap();
    assert_eq!(waiting.keys().collect::<Vec<_>>(), ["a"]);
    assert_eq!(
        events(&plan),
        ["Warning NotDeleted: Pod was expected by PDB shop/web to be deleted but it wasn't"]
    );
    assert_eq!(plan.requeue_after.map(|after| after.as_secs()), Some(1));
}

#[test]
fn a_failure_forbids_evictions() {
    let status = json!({"currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3, "disruptionsAllowed": 1,
        "observedGeneration": 1});
    let budget = budget(json!({"maxUnavailable": 1}), status);
    let failing = |budget| Snapshot::Budget {
        budget,
        pods: pods("a"),
        expected: Err("found no controllers for pod \"a\"".into()),
        news: None,
    };
    let failed = written(&plan::plan(&failing(Arc::clone(&budget)), now()));
    assert_eq!(counts(&failed), "3/2 of 3, 0");
    let shown = "DisruptionAllowed=False SyncFailed \"found no controllers for pod \\\"a\\\"\" Some(1)";
    assert_eq!(condition(&failed), shown);
    assert_eq!(failed.status.as_ref().unwrap().observed_generation, Some(1), "it was not observed");
    let failed = Arc::new(failed);
    assert!(plan::plan(&failing(Arc::clone(&failed)), now()).is_empty());
    // And it recovers.
    let recovered = written(&plan::plan(&snapshot(failed, "a b", 2), now()));
    assert_eq!(condition(&recovered), "DisruptionAllowed=True SufficientPods \"\" Some(2)");
}

#[test]
fn events_are_told_once() {
    let selector = json!({"matchLabels": {"app": "web", "b": "c"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["x", "y"]}]});
    let budget = budget(json!({"maxUnavailable": 1, "selector": selector}), json!(null));
    let unmanaged = Ok(Sum { pods: 0, leaves_out_unmanaged: true });
    for (pods, expected, text) in [
        (0, Ok(Sum::default()), "NoPods: No matching pods found"),
        (1, Ok(Sum::default()), ""),
        (
            1,
            Err("why".to_owned()),
            "CalculateExpectedPodCountFailed: Failed to calculate the number of expected pods: why",
        ),
        (
            1,
            unmanaged,
            "UnmanagedPods: Pods selected by this PodDisruptionBudget (selector: &LabelSelector{MatchLabels:\
            map[string]string{app: web,b: c,},MatchExpressions:[]LabelSelectorRequirement{LabelSelectorRequirement{\
            Key:tier,Operator:In,Values:[x y],},},}) were found to be unmanaged. As a result, the status of the PDB cannot \
            be calculated correctly, which may result in undefined behavior. To account for these pods please set \
            \".spec.minAvailable\" field of the PDB to an integer value.",
        ),
    ] {
        let note = || events::remark(&budget, pods, &expected);
        let shown = note().map(|note| format!("{}: {}", note.reason, note.message));
        assert_eq!(shown.unwrap_or_default(), text);
        let mut last = Some("something else".to_owned());
        assert_eq!(unsaid(&mut last, note()), note());
        assert_eq!(unsaid(&mut last, note()), None);
    }
}

/// A pod with the condition DisruptionTarget.
fn target(status: &str, reason: &str, seconds_ago: i64, phase: &str, name: &str) -> Arc<LeanPod> {
    let mut pod = serde_json::to_value(Pod::default()).unwrap();
    pod["metadata"] =
        json!({"name": name, "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 3});
    if name.contains("going") {
        pod["metadata"]["deletionTimestamp"] = NOW.into();
    }
    pod["status"] = json!({"phase": phase, "conditions": [
        {"type": "DisruptionTarget", "status": status, "reason": reason, "lastTransitionTime": ago(seconds_ago)},
    ]});
    Arc::new(serde_json::from_value(pod).unwrap())
}

#[test]
fn a_disruption_that_does_not_come_is_forgotten() {
    for (pod, expected) in [
        (target("True", "EvictionByEvictionAPI", 120, "Running", "p"), Some(0)),
        (target("True", "PreemptionByScheduler", 100, "Pending", "p"), Some(20)),
        (target("False", "EvictionByEvictionAPI", 500, "Running", "p"), None),
        (target("True", "TerminationByKubelet", 500, "Running", "p"), None),
        (target("True", "EvictionByEvictionAPI", 500, "Failed", "p"), None),
        (target("True", "EvictionByEvictionAPI", 500, "Running", "going"), None),
    ] {
        let plan = plan::plan(&Snapshot::Pod { pod: Arc::clone(&pod), news: None }, now());
        let after = plan.requeue_after.map(|after| after.as_secs());
        assert_eq!(after, expected.filter(|after| *after > 0), "{pod:?}");
        let expected = expected == Some(0);
        assert_eq!(!plan.is_empty(), expected, "{pod:?}");
        if expected {
            let Action::Patch { subresource: "status", patch: Patch::Strategic(patch), .. } =
                plan.actions()[0]
            else {
                panic!("{plan:?}")
            };
            let condition = json!({"type": "DisruptionTarget", "status": "False", "lastTransitionTime": NOW,
                "reason": null, "message": null, "observedGeneration": 3});
            assert_eq!(patch["status"], json!({"conditions": [condition]}));
            assert_eq!(patch["metadata"], json!({"uid": "u", "resourceVersion": "7"}));
        }
    }
}

#[test]
fn several_budgets_of_a_pod_are_reported() {
    let news = events::several(&pod("a"), "first");
    let plan = plan::plan(&Snapshot::Pod { pod: pod("a"), news: Some(news) }, now());
    let text = "Warning MultiplePodDisruptionBudgets: Pod \"shop\"/\"a\" matches multiple PodDisruptionBudgets.  Chose \
                \"first\" arbitrarily.";
    assert_eq!(events(&plan), [text]);
}
