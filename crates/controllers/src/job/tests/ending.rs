//! How Jobs fail.

use super::*;

#[test]
fn failures_are_replaced_later_and_later() {
    let mut world = World::new(job(json!({"completions": 1, "backoffLimit": 100})));
    world.settle();
    for (failures, delay) in [(1, 10), (2, 20), (3, 40), (4, 80), (5, 160), (6, 320), (7, 600), (8, 600)] {
        let ended = world.now;
        let name = world.active()[0].metadata.name.clone().unwrap();
        let state = json!({"terminated": {"exitCode": 1, "finishedAt": ended}});
        let pod = world.pods.iter_mut().find(|pod| pod.metadata.name.as_deref() == Some(&*name)).unwrap();
        pod.status = serde_json::from_value(json!({"phase": "Failed", "containerStatuses": [
            {"name": "c", "restartCount": 0, "state": state, "image": "", "imageID": "", "ready": false}]}))
        .unwrap();
        world.settle();
        assert_eq!((world.active().len(), world.status().failed), (0, Some(failures)));
        assert_eq!(world.plan().requeue_after.unwrap().as_secs(), delay, "after {failures} failures");
        world.now = ended + SignedDuration::from_secs(delay as i64);
        world.settle();
        assert_eq!(world.active().len(), 1);
    }
}

#[test]
fn a_success_ends_the_waiting() {
    let owner = job(json!({"completions": 9, "parallelism": 2}));
    let mut world = World::new(owner.clone()).with(vec![failed(&owner, "a", 1, -5), running(&owner, "b")]);
    world.settle();
    assert_eq!(world.active().len(), 1);
    world.end("b", "Succeeded");
    world.now = at(1);
    let pod = world.pods.iter_mut().find(|pod| pod.metadata.name.as_deref() == Some("b")).unwrap();
    pod.metadata.creation_timestamp = Some(Time(at(1)));
    world.settle();
    assert_eq!(world.active().len(), 2);
}

#[test]
fn looking_twice_counts_failures_once() {
    let owner = job(json!({"completions": 9, "parallelism": 1}));
    let mut world = World::new(owner.clone()).with(vec![failed(&owner, "a", 1, 0)]);
    world.look();
    world.look();
    assert_eq!(world.backoff.remaining(start()).as_secs(), 10);
}

#[test]
fn beyond_the_limit_the_job_fails_and_its_pods_are_deleted() {
    let owner = job(json!({"completions": 4, "parallelism": 2, "backoffLimit": 1}));
    let pods = vec![failed(&owner, "a", 1, 0), failed(&owner, "b", 1, 0), running(&owner, "c")];
    let mut world = World::new(owner).with(pods);
    let first = world.step();
    assert_eq!(deleted(&first), ["c"]);
    assert_eq!(world.conditions(), ["FailureTarget BackoffLimitExceeded"]);
    world.settle();
    assert_eq!(world.conditions().len(), 1, "not before the last pod has ended");
    assert_eq!(world.status().terminating, Some(1));
    world.pods.retain(|pod| pod.metadata.name.as_deref() != Some("c"));
    let plans = world.settle();
    assert_eq!(world.conditions(), ["FailureTarget BackoffLimitExceeded", "Failed BackoffLimitExceeded"]);
    assert_eq!(world.status().failed, Some(3), "the one that was stopped counts too");
    assert_eq!(notes(&plans), ["Warning BackoffLimitExceeded: Job has reached the specified backoff limit"]);
    assert_eq!(world.status().completion_time, None);
}

#[test]
fn restarts_in_place_count_towards_the_limit() {
    for (limit, restarts, fails) in [(0, 0, false), (0, 1, true), (3, 2, false), (3, 3, true)] {
        let mut owner = job(json!({"completions": 1, "backoffLimit": limit}));
        owner.spec.as_mut().unwrap().template.spec.as_mut().unwrap().restart_policy =
            Some("OnFailure".into());
        let mut restarted = running(&owner, "a");
        restarted.status.as_mut().unwrap().container_statuses =
            Some(vec![k8s_openapi::api::core::v1::ContainerStatus {
                restart_count: restarts,
                ..Default::default()
            }]);
        let mut world = World::new(owner).with(vec![restarted]);
        world.step();
        assert_eq!(!world.conditions().is_empty(), fails, "{restarts} of {limit}");
    }
}

#[test]
fn a_deadline_ends_the_job() {
    let mut world = World::new(job(json!({"completions": 1, "activeDeadlineSeconds": 30})));
    world.settle();
    world.now = at(10);
    assert_eq!(world.plan().requeue_after.unwrap().as_secs(), 20);
    world.now = at(30);
    let plans = world.settle();
    assert_eq!(world.conditions(), ["FailureTarget DeadlineExceeded", "Failed DeadlineExceeded"]);
    assert_eq!(notes(&plans), ["Warning DeadlineExceeded: Job was active longer than specified deadline"]);
    assert!(world.pods.is_empty());
}

#[test]
fn pods_on_their_way_out_are_replaced_as_the_policy_says() {
    for (policy, made) in [("TerminatingOrFailed", 1), ("Failed", 0)] {
        let owner = job(json!({"completions": 1, "podReplacementPolicy": policy}));
        let mut leaving = running(&owner, "a");
        leaving.metadata.deletion_timestamp = Some(Time(at(0)));
        let mut world = World::new(owner).with(vec![leaving]);
        world.now = at(60);
        world.settle();
        assert_eq!(world.active().len(), made, "{policy}");
        assert_eq!(world.status().terminating, Some(1));
        assert_eq!(world.status().failed, Some(made as i32).filter(|count| *count > 0));
        world.end("a", "Failed");
        world.now = at(120);
        world.settle();
        assert_eq!((world.active().len(), world.status().failed), (1, Some(1)), "{policy}");
    }
}
