//! From the decision to the binding: reservations are released in reverse order, whatever fails.

use std::time::Duration;

use super::*;
use crate::testing::steps::{Log, with_steps};

const SECOND: Duration = Duration::from_secs(1);

fn stepwise(fails: (char, &'static str), waits: &[(char, Duration)]) -> (Scheduler, Log) {
    let log = Log::default();
    let profile = with_steps(default_profile(), &log, fails, waits);
    let mut scheduler = Scheduler::new(vec![Arc::new(profile)], clock(), 0);
    add_node(&mut scheduler, "a", json!({}));
    (scheduler, log)
}

fn taken(log: &Log) -> Vec<String> {
    std::mem::take(&mut *log.lock())
}

fn requested(scheduler: &Scheduler) -> i64 {
    scheduler.cache().view().node_named("a").unwrap().requested.cpu_milli
}

fn add_pod(scheduler: &mut Scheduler, name: &str) -> Arc<PodInfo> {
    let pod = pod_requesting(name, json!({"cpu": "3"}));
    scheduler.set_pod(Arc::clone(&pod), Instant::now());
    pod
}

#[tokio::test(start_paused = true)]
async fn a_failure_gives_back_what_was_reserved_before_in_reverse_order() {
    let reserve = ["a reserve", "b reserve", "c reserve"];
    let undo = ["c unreserve", "b unreserve", "a unreserve"];
    let cases: [((char, &str), Vec<&str>); 5] = [
        (('a', "reserve"), vec!["a reserve"]),
        (('b', "reserve"), vec!["a reserve", "b reserve", "a unreserve"]),
        (('c', "reserve"), [&reserve[..], &undo[1..]].concat()),
        (('a', "permit"), [&reserve[..], &["a permit"], &undo].concat()),
        (('b', "permit"), [&reserve[..], &["a permit", "b permit"], &undo].concat()),
    ];
    for (fails, wanted) in cases {
        let (mut scheduler, log) = stepwise(fails, &[]);
        add_pod(&mut scheduler, "p");
        let told = format!("p: 0/1 nodes are available: 1 {} fails.", fails.0);
        assert_eq!(decisions(&mut scheduler), [told]);
        assert_eq!(taken(&log), wanted, "{fails:?}");
        assert_eq!(requested(&scheduler), 0, "its place is free again");
        assert_eq!(scheduler.queue().counts(), [0, 0, 1, 0], "it waits for something to change");
    }
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_fails_gives_back_in_reverse_order_too() {
    let (mut scheduler, log) = stepwise((' ', ""), &[]);
    let pod = add_pod(&mut scheduler, "p");
    assert_eq!(decisions(&mut scheduler), ["p>a"]);
    taken(&log);
    scheduler.bind_failed(&pod.uid, Instant::now());
    assert_eq!(taken(&log), ["c unreserve", "b unreserve", "a unreserve"]);
    assert_eq!(requested(&scheduler), 0);
    scheduler.bind_failed(&pod.uid, Instant::now());
    assert_eq!(taken(&log), [""; 0], "nothing is given back twice");
}

#[tokio::test(start_paused = true)]
async fn pods_wait_for_the_leave_of_each_plugin() {
    let (mut scheduler, log) = stepwise((' ', ""), &[('a', SECOND), ('b', SECOND)]);
    let pod = add_pod(&mut scheduler, "p");
    assert_eq!(decisions(&mut scheduler), [""; 0]);
    assert_eq!(
        scheduler.waiting().map(|(pod, by)| (&*pod.key.name, by)).collect::<Vec<_>>(),
        [("p", vec!["A", "B"])]
    );
    assert_eq!(requested(&scheduler), 3000, "it keeps its place meanwhile");
    assert!(!scheduler.allow(&pod.key, "C"), "that plugin does not keep it");
    assert!(scheduler.allow(&pod.key, "A"));
    assert!(!scheduler.allow(&pod.key, "A"));
    assert_eq!(decisions(&mut scheduler), [""; 0]);
    assert!(scheduler.allow(&pod.key, "B"));
    assert_eq!(decisions(&mut scheduler), ["p>a"]);
    advance(600 * SECOND).await;
    assert_eq!(decisions(&mut scheduler), [""; 0], "its time no longer counts");
    assert!(!taken(&log).iter().any(|line| line.contains("unreserve")));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_is_denied_while_it_waits_makes_room() {
    let (mut scheduler, log) = stepwise((' ', ""), &[('b', 60 * SECOND)]);
    let one = add_pod(&mut scheduler, "one");
    add_pod(&mut scheduler, "two");
    assert_eq!(decisions(&mut scheduler), ["two: 0/1 nodes are available: 1 Insufficient cpu"]);
    taken(&log);
    advance(20 * SECOND).await;
    assert!(scheduler.reject(&one.key, "B", "the others did not come", Instant::now()));
    assert!(!scheduler.reject(&one.key, "B", "again", Instant::now()));
    assert_eq!(taken(&log), ["c unreserve", "b unreserve", "a unreserve"]);
    assert_eq!(decisions(&mut scheduler), ["one: the others did not come"]);
    let waiting: Vec<_> = scheduler.waiting().map(|(pod, _)| pod.key.name.to_string()).collect();
    assert_eq!(waiting, ["two"], "the room woke it");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever() {
    let (mut scheduler, log) = stepwise((' ', ""), &[('a', 5 * SECOND), ('b', 10_000 * SECOND)]);
    let pod = add_pod(&mut scheduler, "p");
    assert_eq!(decisions(&mut scheduler), [""; 0]);
    assert_eq!(scheduler.next_wake(), Some(Instant::now() + 5 * SECOND));
    assert!(scheduler.allow(&pod.key, "A"));
    assert_eq!(scheduler.next_wake(), Some(Instant::now() + 900 * SECOND), "quarter of an hour is the most");
    advance(899 * SECOND).await;
    assert_eq!(decisions(&mut scheduler), [""; 0]);
    advance(SECOND).await;
    taken(&log);
    assert_eq!(decisions(&mut scheduler), ["p: rejected due to timeout after waiting 900s at plugin B"]);
    assert_eq!(taken(&log), ["c unreserve", "b unreserve", "a unreserve"]);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_pod_that_goes_gives_back() {
    type Going = fn(&mut Scheduler, &Arc<PodInfo>);
    let goings: [Going; 3] = [
        |scheduler, pod| scheduler.remove_pod(&pod.uid, Instant::now()),
        |scheduler, pod| scheduler.set_pod(on("a", pod), Instant::now()),
        |scheduler, pod| {
            let mut raw = pod.pod().as_ref().clone();
            raw.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
            scheduler.set_pod(Arc::new(PodInfo::new(Arc::new(raw))), Instant::now());
        },
    ];
    for go in goings {
        let (mut scheduler, log) = stepwise((' ', ""), &[('a', SECOND)]);
        let pod = add_pod(&mut scheduler, "p");
        decisions(&mut scheduler);
        taken(&log);
        go(&mut scheduler, &pod);
        assert_eq!(taken(&log), ["c unreserve", "b unreserve", "a unreserve"]);
        assert!(scheduler.waiting().next().is_none() && !scheduler.allow(&pod.key, "A"));
        advance(10 * SECOND).await;
        assert_eq!(decisions(&mut scheduler), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn each_profile_has_its_own_pods_and_plugins() {
    let log = Log::default();
    let stepwise = with_steps(crate::plugins::profile("stepwise"), &log, (' ', ""), &[]);
    let lax = Profile::new("lax", crate::plugins::PrioritySort);
    let profiles = [default_profile(), stepwise, lax].map(Arc::new);
    let mut scheduler = Scheduler::new(profiles.to_vec(), clock(), 0);
    add_node(&mut scheduler, "a", json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}));
    for (name, by) in
        [("one", "default-scheduler"), ("two", "lax"), ("three", "nobody"), ("four", "stepwise")]
    {
        let tolerations = if name == "four" { json!([{"operator": "Exists"}]) } else { json!([]) };
        let spec = json!({"schedulerName": by, "tolerations": tolerations});
        scheduler.set_pod(pod(name, spec), Instant::now());
    }
    let untolerated = "one: 0/1 nodes are available: 1 node(s) had untolerated taint(s)";
    assert_eq!(decisions(&mut scheduler), [untolerated, "two>a", "four>a"]);
    assert_eq!(taken(&log)[0], "a reserve");
}

#[tokio::test(start_paused = true)]
async fn nominated_pods_keep_their_room() {
    let nominated = |priority: i32| {
        let mut raw = raw_pod("nominated", crate::testing::containers(json!({"cpu": "3"})));
        raw.spec.get_or_insert_default().priority = Some(priority);
        raw.spec.get_or_insert_default().scheduling_gates =
            serde_json::from_value(json!([{"name": "g"}])).unwrap();
        raw.status.get_or_insert_default().nominated_node_name = Some("a".into());
        Arc::new(PodInfo::new(Arc::new(raw)))
    };
    for (priority, wanted) in [
        (0, "p: 0/1 nodes are available: 1 Insufficient cpu"),
        (1, "p: 0/1 nodes are available: 1 Insufficient cpu"),
        (-1, "p>a"),
    ] {
        let mut scheduler = scheduler();
        add_node(&mut scheduler, "a", json!({}));
        scheduler.set_pod(nominated(priority), Instant::now());
        add_pod(&mut scheduler, "p");
        assert_eq!(decisions(&mut scheduler).last().unwrap(), wanted, "{priority}");
    }
    // When it is gone, or its nomination is, others may have the room.
    type Going = fn(&mut Scheduler);
    let goings: [Going; 2] = [
        |scheduler| scheduler.remove_pod(&"nominated".into(), Instant::now()),
        |scheduler| {
            let spec = json!({"schedulingGates": [{"name": "g"}]});
            scheduler.set_pod(pod("nominated", spec), Instant::now());
        },
    ];
    for go in goings {
        let mut scheduler = scheduler();
        add_node(&mut scheduler, "a", json!({}));
        scheduler.set_pod(nominated(0), Instant::now());
        go(&mut scheduler);
        add_pod(&mut scheduler, "p");
        assert_eq!(decisions(&mut scheduler).last().unwrap(), "p>a");
    }
}
