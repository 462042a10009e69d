//! Indexed Jobs.

use super::*;
use tracked::{FAILURES, IGNORED_FAILURES};

fn indexed(more: Value) -> Job {
    let mut spec = json!({"completionMode": "Indexed", "completions": 4, "parallelism": 4});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    job(spec)
}

fn indexes(world: &World) -> Vec<String> {
    let mut all: Vec<String> =
        world.active().iter().map(|pod| pod.metadata.annotations.as_ref().unwrap()[INDEX].clone()).collect();
    all.sort();
    all
}

#[test]
fn each_pod_knows_its_index() {
    let mut owner = indexed(json!({"parallelism": 2}));
    let template = owner.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
    let own: k8s_openapi::api::core::v1::Container = serde_json::from_value(
        json!({"name": "own", "env": [{"name": "JOB_COMPLETION_INDEX", "value": "x"}]}),
    )
    .unwrap();
    template.init_containers = Some(vec![own]);
    let mut world = World::new(owner);
    world.settle();
    assert_eq!(indexes(&world), ["0", "1"]);
    let second = world.active()[1].clone();
    assert_eq!(second.metadata.generate_name.as_deref(), Some("sum-1-"));
    assert_eq!(second.metadata.labels.as_ref().unwrap()[INDEX], "1");
    assert!(!second.metadata.annotations.as_ref().unwrap().contains_key(FAILURES));
    let spec = second.spec.unwrap();
    assert_eq!(spec.hostname.as_deref(), Some("sum-1"));
    let variable = &spec.containers[0].env.as_ref().unwrap()[0];
    let from = variable.value_from.as_ref().unwrap().field_ref.as_ref().unwrap();
    assert_eq!(variable.name, "JOB_COMPLETION_INDEX");
    assert_eq!(from.field_path, "metadata.labels['batch.kubernetes.io/job-completion-index']");
    assert_eq!(spec.init_containers.unwrap()[0].env.as_ref().unwrap().len(), 1, "the user's own stays");
}

#[test]
fn long_names_are_cut_for_the_index() {
    let mut owner = indexed(json!({}));
    owner.metadata.name = Some("x".repeat(60));
    let mut world = World::new(owner);
    world.settle();
    assert_eq!(world.active()[3].metadata.generate_name.as_deref(), Some(&*format!("{}-3-", "x".repeat(55))));
}

#[test]
fn completed_indexes_are_listed_and_the_others_run() {
    let owner = indexed(json!({"completions": 6, "parallelism": 3}));
    let mut world = World::new(owner.clone()).with(vec![
        with_index(succeeded(&owner, "a"), 0),
        with_index(succeeded(&owner, "b"), 2),
        with_index(succeeded(&owner, "c"), 3),
        with_index(succeeded(&owner, "d"), 4),
    ]);
    world.settle();
    assert_eq!(world.status().completed_indexes.as_deref(), Some("0,2-4"));
    assert_eq!((world.status().succeeded, indexes(&world)), (Some(4), vec!["1".into(), "5".into()]));
    world.end_all("Succeeded");
    world.settle();
    assert_eq!(world.status().completed_indexes.as_deref(), Some("0-5"));
    assert_eq!(world.conditions().len(), 2);
}

#[test]
fn a_failed_index_is_tried_again() {
    let owner = indexed(json!({"completions": 2, "parallelism": 2}));
    let pods = vec![with_index(failed(&owner, "a", 1, -30), 1), with_index(running(&owner, "b"), 0)];
    let mut world = World::new(owner).with(pods);
    world.settle();
    assert_eq!((indexes(&world), world.status().failed), (vec!["0".to_owned(), "1".into()], Some(1)));
}

#[test]
fn of_two_pods_with_one_index_one_stays() {
    let owner = indexed(json!({"completions": 2, "parallelism": 2}));
    let mut idle = with_index(running(&owner, "idle"), 0);
    idle.status.as_mut().unwrap().conditions = None;
    let pods = vec![
        idle,
        with_index(running(&owner, "a"), 0),
        with_index(running(&owner, "high"), 7),
        running(&owner, "none"),
        with_index(running(&owner, "b"), 1),
    ];
    let mut gone = deleted(&World::new(owner).with(pods).plan());
    gone.sort();
    assert_eq!(gone, ["high", "idle", "none"]);
}

#[test]
fn fewer_completions_forget_the_indexes_beyond() {
    let owner = indexed(json!({"completions": 5, "parallelism": 5}));
    let pods = (0..5).map(|index| with_index(succeeded(&owner, &index.to_string()), index)).take(4).collect();
    let mut world = World::new(owner).with(pods);
    world.settle();
    assert_eq!(world.status().completed_indexes.as_deref(), Some("0-3"));
    let spec = world.job.spec.as_mut().unwrap();
    (spec.completions, spec.parallelism) = (Some(3), Some(3));
    world.settle();
    assert_eq!(
        (world.status().completed_indexes.as_deref(), world.status().succeeded),
        (Some("0-2"), Some(3))
    );
}

#[test]
fn each_index_has_its_own_limit_and_its_own_delay() {
    let owner = indexed(
        json!({"completions": 3, "parallelism": 3, "backoffLimitPerIndex": 1, "backoffLimit": i32::MAX}),
    );
    let mut world = World::new(owner);
    world.settle();
    assert_eq!(world.status().failed_indexes.as_deref(), Some(""));
    let first = world.active()[1].metadata.name.clone().unwrap();
    world.end(&first, "Failed");
    world.settle();
    assert_eq!((world.active().len(), world.plan().requeue_after.unwrap().as_secs()), (2, 10));
    let waiting = world.pods.iter().find(|pod| pod.metadata.name.as_ref() == Some(&first)).unwrap();
    assert!(waiting.metadata.finalizers.is_some(), "its successor must know of it");
    world.now = at(10);
    world.settle();
    let again = world.active().last().unwrap().metadata.clone();
    assert_eq!(again.annotations.as_ref().unwrap()[FAILURES], "1");
    assert_eq!((world.active().len(), world.status().failed), (3, Some(1)));
    world.end(again.name.as_deref().unwrap(), "Failed");
    world.now = at(20);
    world.settle();
    assert_eq!(world.status().failed_indexes.as_deref(), Some("1"));
    world.end_all("Succeeded");
    let plans = world.settle();
    assert_eq!(world.status().completed_indexes.as_deref(), Some("0,2"));
    assert_eq!(world.conditions(), ["FailureTarget FailedIndexes", "Failed FailedIndexes"]);
    assert_eq!(notes(&plans), ["Warning FailedIndexes: Job has failed indexes"]);
    assert_eq!(world.status().failed, Some(2));
}

#[test]
fn too_many_failed_indexes_end_the_job() {
    let owner = indexed(json!({"backoffLimitPerIndex": 0, "maxFailedIndexes": 1, "backoffLimit": i32::MAX}));
    let mut world = World::new(owner);
    world.settle();
    for name in ["sum-0-1", "sum-1-2"] {
        assert!(world.conditions().is_empty());
        world.end(name, "Failed");
        world.settle();
    }
    assert_eq!(world.status().failed_indexes.as_deref(), Some("0,1"));
    assert_eq!(
        world.conditions(),
        ["FailureTarget MaxFailedIndexesExceeded", "Failed MaxFailedIndexesExceeded"]
    );
}

#[test]
fn an_index_fails_at_once_where_the_policy_says_so_and_never_where_it_ignores() {
    let rules = json!([
        {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}},
    ]);
    let owner = indexed(json!({
        "completions": 2, "parallelism": 2, "backoffLimitPerIndex": 1, "backoffLimit": i32::MAX,
        "podFailurePolicy": {"rules": rules}, "podReplacementPolicy": "Failed",
    }));
    let pods = vec![with_index(failed(&owner, "a", 42, -60), 0), with_index(failed(&owner, "b", 7, -60), 1)];
    let mut world = World::new(owner).with(pods);
    world.settle();
    assert_eq!(world.status().failed_indexes.as_deref(), Some("0"));
    let again = world.active()[0].metadata.annotations.clone().unwrap();
    assert_eq!((&*again[INDEX], &*again[FAILURES], &*again[IGNORED_FAILURES]), ("1", "0", "1"));
    assert_eq!(world.status().failed, Some(1), "the ignored one does not count");
}
