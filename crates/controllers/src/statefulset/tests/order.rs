//! The order in which pods come and go.

use super::*;

#[test]
fn pods_come_and_go_in_order() {
    for (replicas, pods, expected) in [
        (3, "", vec!["+web-0@web-1"]),
        (3, "0:ready", vec!["+web-1@web-1"]),
        (3, "0:ready 2:ready", vec!["+web-1@web-1"]),
        // Each waits until the one before is ready.
        (3, "0:pending", vec![]),
        (3, "0:running", vec![]),
        (3, "0:ready 1:running", vec![]),
        // A lower one that is missing comes first, whatever the others are.
        (3, "1:running 2:running", vec!["+web-0@web-1"]),
        (3, "0:deleting 1:ready", vec![]),
        // The last goes first, one at a time.
        (1, "0:ready 1:ready 2:ready", vec!["-web-2"]),
        (1, "0:ready 1:ready 2:deleting", vec![]),
        (0, "0:ready", vec!["-web-0"]),
        // One that is not ready stops it, unless it is the only one.
        (1, "0:running 1:ready", vec![]),
        (1, "0:ready 1:running 2:running", vec![]),
        (1, "0:ready 1:running 2:ready", vec!["-web-2"]),
        (1, "0:ready 1:ready 2:running", vec!["-web-2"]),
        // Pods that are over are replaced, whatever they returned.
        (2, "0:failed 1:ready", vec!["-web-0"]),
        (2, "0:ready 1:succeeded", vec!["-web-1"]),
    ] {
        let state = snapshot(set(json!({"replicas": replicas})), pods);
        assert_eq!(moves(&state), expected, "{replicas} wanted of {pods}");
    }
}

#[test]
fn in_parallel_nothing_waits() {
    for (replicas, pods, expected) in [
        (3, "", vec!["+web-0@web-1", "+web-1@web-1", "+web-2@web-1"]),
        (3, "1:running", vec!["+web-0@web-1", "+web-2@web-1"]),
        (1, "0:running 1:running 2:ready 3:deleting", vec!["-web-2", "-web-1"]),
        (2, "0:failed 2:ready", vec!["-web-0", "+web-1@web-1", "-web-2"]),
    ] {
        assert_eq!(moves(&snapshot(parallel(replicas), pods)), expected, "{replicas} wanted of {pods}");
    }
}

#[test]
fn ordinals_may_start_anywhere() {
    let from = |start: i32| set(json!({"ordinals": {"start": start}}));
    assert_eq!(moves(&snapshot(from(3), "")), ["+web-3@web-1"]);
    assert_eq!(moves(&snapshot(from(3), "3:ready")), ["+web-4@web-1"]);
    // Those below go when those above are there.
    assert_eq!(moves(&snapshot(from(1), "0:ready 1:ready 2:ready")), ["-web-0"]);
    assert_eq!(moves(&snapshot(from(1), "0:ready 1:ready")), ["+web-2@web-1"]);
}

#[test]
fn pods_count_after_they_have_been_ready_for_long_enough() {
    // They have been ready for ten seconds.
    let patient = |seconds: i32| snapshot(set(json!({"minReadySeconds": seconds})), "0:ready");
    assert_eq!(moves(&patient(10)), ["+web-1@web-1"]);
    assert_eq!(moves(&patient(15)), Vec::<String>::new());
    let status = status(&patient(15)).unwrap();
    assert_eq!((status.ready_replicas, status.available_replicas), (Some(1), Some(0)));
    let plan = plan::plan(&patient(15), now());
    assert_eq!(plan.requeue_after, Some(std::time::Duration::from_secs(5)));
}

#[test]
fn a_pod_without_its_label_gets_it_back() {
    let mut state = snapshot(set(json!({"replicas": 1})), "");
    let mut bare = (*pod("0:ready")).clone();
    bare.metadata.labels = [("app", "web"), (HASH_LABEL, "web-1")].into_iter().collect();
    state.pods = vec![Arc::new(bare)];
    assert_eq!(moves(&state), ["~web-0", "SuccessfulUpdate"]);
    let plan = plan::plan(&state, now());
    let Action::Patch { patch: client::Patch::Strategic(patch), .. } = plan.actions()[0] else {
        panic!("{plan:?}")
    };
    assert_eq!(patch["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"], "web-0");
    assert_eq!(
        (&patch["metadata"]["uid"], &patch["metadata"]["resourceVersion"]),
        (&json!("uid-0"), &json!("7"))
    );
}

#[test]
fn a_pod_that_cannot_be_helped_does_not_hold_up_others() {
    let mut state = snapshot(parallel(2), "");
    let mut bare = (*pod("0:running")).clone();
    bare.metadata.labels = [("app", "web"), (HASH_LABEL, "web-1")].into_iter().collect();
    state.pods = vec![Arc::new(bare)];
    assert_eq!(moves(&state), ["+web-1@web-1", "~web-0", "SuccessfulUpdate"]);
}
