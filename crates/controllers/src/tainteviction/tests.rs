use k8s_openapi::api::core::v1::{Pod, Toleration};

use super::*;
use crate::framework::api_time;

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn taint(key: &str) -> Taint {
    Taint::new(key, Effect::NoExecute)
}

fn toleration(key: &str, seconds: Option<i64>) -> Toleration {
    Toleration {
        key: Some(key.into()),
        operator: Some("Exists".into()),
        effect: Some("NoExecute".into()),
        toleration_seconds: seconds,
        ..Toleration::default()
    }
}

fn snapshot(tolerations: Vec<Toleration>, taints: &[&str], seconds_ago: i64) -> Snapshot {
    let mut pod = Pod::default();
    pod.metadata.name = Some("web".into());
    pod.metadata.namespace = Some("shop".into());
    pod.spec.get_or_insert_default().tolerations = Some(tolerations);
    Snapshot {
        pod: pods::lean(&pod),
        taints: taints.iter().map(|key| taint(key)).collect(),
        since: now() - SignedDuration::from_secs(seconds_ago),
    }
}

#[test]
fn pods_go_when_their_tolerance_ends() {
    // Tolerations, taints, seconds since then; and in how many seconds the pod goes, if ever.
    for (tolerations, taints, ago, expected) in [
        (vec![], vec!["a"], 0, Some(0)),
        (vec![toleration("a", None)], vec!["a"], 1_000_000, None),
        (vec![toleration("a", Some(300))], vec!["a"], 100, Some(200)),
        (vec![toleration("a", Some(300))], vec!["a"], 300, Some(0)),
        (vec![toleration("a", Some(300)), toleration("b", Some(60))], vec!["a", "b"], 0, Some(60)),
        (vec![toleration("a", Some(300))], vec!["a", "b"], 0, Some(0)),
        (vec![toleration("a", Some(-5))], vec!["a"], 0, Some(0)),
        (vec![toleration("", None)], vec!["a", "b"], 0, None),
    ] {
        let plan = plan(&snapshot(tolerations, &taints, ago), now());
        let done: Vec<_> = plan.actions().into_iter().map(Action::summary).collect();
        let goes = match (plan.requeue_after, done.is_empty()) {
            (Some(after), true) => Some(after.as_secs()),
            (None, false) => Some(0),
            (None, true) => None,
            (Some(_), false) => panic!("{done:?}"),
        };
        assert_eq!(goes, expected, "{taints:?} {ago}");
        if goes == Some(0) {
            assert_eq!(done, ["record TaintManagerEviction", "patch Pod shop/web", "delete Pod shop/web"]);
        }
    }
}

#[test]
fn the_pod_shows_why_it_goes() {
    let mut evicted = snapshot(vec![], &["a"], 0);
    let told = |snapshot: &Snapshot, now| {
        let plan = plan(snapshot, now);
        let Action::Patch { patch: Patch::Strategic(patch), .. } = plan.actions()[1] else {
            panic!("{plan:?}")
        };
        patch["status"]["conditions"][0].clone()
    };
    Arc::make_mut(&mut evicted.pod).metadata.generation = Some(4);
    let condition = told(&evicted, now());
    let expected = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint", "observedGeneration": 4,
        "lastTransitionTime": now().to_string()});
    assert_eq!(condition, expected);
    // It was disrupted before, and was not deleted: that is when it began.
    let status = serde_json::from_value(json!({"conditions": [condition]})).unwrap();
    Arc::make_mut(&mut evicted.pod).status = Some(status);
    assert_eq!(told(&evicted, now() + SignedDuration::from_secs(5)), expected);
}

#[test]
fn a_pod_that_is_going_is_left_alone() {
    let mut going = snapshot(vec![], &["a"], 0);
    let pod = Arc::make_mut(&mut going.pod);
    pod.metadata.deletion_timestamp = Some(api_time(now()));
    assert!(plan(&going, now()).is_empty());
}
