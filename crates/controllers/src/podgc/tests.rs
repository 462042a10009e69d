use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;

fn now() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn pod(name: &str, node: &str, phase: &str, deleting: bool) -> Arc<LeanPod> {
    let mut pod = Pod::default();
    pod.metadata.name = Some(name.into());
    pod.metadata.uid = Some(format!("uid-{name}"));
    pod.metadata.generation = Some(4);
    pod.metadata.deletion_timestamp = deleting.then(|| Time(now()));
    pod.spec.get_or_insert_default().node_name = Some(node.into()).filter(|node: &String| !node.is_empty());
    pod.status.get_or_insert_default().phase = Some(phase.into());
    pods::lean(&pod)
}

/// The actions, as `patch NAME` and `delete NAME GRACE`.
fn done(snapshot: &Snapshot) -> Vec<String> {
    let plan = plan(snapshot, now());
    let shown = plan.actions().into_iter().map(|action| match action {
        Action::Patch { key, .. } => format!("patch {key}"),
        Action::Delete { key, options, .. } => {
            format!("delete {key} {:?}", options.grace_period_seconds.unwrap())
        }
        other => panic!("{other:?}"),
    });
    shown.collect()
}

#[test]
fn pods_of_a_lost_node_fail_and_go() {
    let pods = vec![pod("a", "gone", "Running", false), pod("b", "gone", "Succeeded", false)];
    let lost = Snapshot::Orphans { since: now() - SignedDuration::from_secs(41), confirmed: true, pods };
    assert_eq!(done(&lost), ["patch a", "delete a 0", "delete b 0"]);
    let plan = plan(&lost, now());
    let Action::Patch { patch: Patch::Strategic(patch), .. } = plan.actions()[0] else { panic!("{plan:?}") };
    let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC",
        "message": "PodGC: node no longer exists", "observedGeneration": 4, "lastTransitionTime": now().to_string()});
    assert_eq!(patch["status"], json!({"phase": "Failed", "conditions": [condition]}));
}

#[test]
fn a_node_that_is_only_just_missing_gets_time() {
    let pods = vec![pod("a", "gone", "Running", false)];
    let lost = Snapshot::Orphans { since: now() - SignedDuration::from_secs(10), confirmed: false, pods };
    assert!(done(&lost).is_empty());
    assert_eq!(plan(&lost, now()).requeue_after, Some(Duration::from_secs(30)));
}

#[test]
fn deleted_pods_without_a_node_go_at_once() {
    assert_eq!(done(&Snapshot::Unscheduled(pod("a", "", "Pending", true))), ["patch a", "delete a 0"]);
    assert_eq!(done(&Snapshot::Unscheduled(pod("a", "", "Failed", true))), ["delete a 0"]);
    assert!(done(&Snapshot::Unscheduled(pod("a", "", "Pending", false))).is_empty());
    assert!(done(&Snapshot::Unscheduled(pod("a", "n", "Pending", true))).is_empty());
}

#[test]
fn only_the_excess_of_ended_pods_goes() {
    let pods: Vec<_> =
        (0..ENDED_MAX + 2).map(|index| pod(&format!("p{index:05}"), "n", "Succeeded", false)).collect();
    assert_eq!(done(&Snapshot::Ended(pods.clone())), ["delete p00000 0", "delete p00001 0"]);
    assert!(done(&Snapshot::Ended(pods[2..].to_vec())).is_empty());
}
