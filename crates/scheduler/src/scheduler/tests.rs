use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::advance;

use super::*;
use crate::plugins::default_profile;
use crate::testing::{clock, node, on, pod, pod_requesting, raw_pod};

mod extenders;
mod placed;
mod preemption;

fn scheduler() -> Scheduler {
    Scheduler::new(vec![Arc::new(default_profile())], clock(), 0)
}

/// All decisions that can be made now, as `pod>node` or `pod: why`.
fn decisions(scheduler: &mut Scheduler) -> Vec<String> {
    let mut decisions = Vec::new();
    while let Some(outcome) = scheduler.next(Instant::now()) {
        decisions.push(match outcome {
            Outcome::Bind { placement, .. } => format!("{}>{}", placement.pod.key.name, placement.node),
            Outcome::Unschedulable { pod, message, .. } => {
                format!("{}: {}", pod.key.name, message.split(". ").next().unwrap_or_default())
            }
            Outcome::Failed { pod, message } | Outcome::Gated { pod, message } => {
                format!("{}: {message}", pod.key.name)
            }
            Outcome::Ask(question) => panic!("{question:?} though there is nobody to ask"),
        });
    }
    decisions
}

fn add_node(scheduler: &mut Scheduler, name: &str, extra: Value) {
    scheduler.set_node(node(name, extra), Instant::now());
}

#[tokio::test(start_paused = true)]
async fn assumed_pods_take_room_at_once() {
    let mut scheduler = scheduler();
    add_node(&mut scheduler, "a", json!({}));
    for name in ["one", "two", "three"] {
        scheduler.set_pod(pod_requesting(name, json!({"cpu": "2"})), Instant::now());
    }
    let wanted = ["one>a", "two>a", "three: 0/1 nodes are available: 1 Insufficient cpu"];
    assert_eq!(decisions(&mut scheduler), wanted);
}

#[tokio::test(start_paused = true)]
async fn a_failed_binding_gives_the_room_back() {
    let mut scheduler = scheduler();
    add_node(&mut scheduler, "a", json!({}));
    let (one, two) = (pod_requesting("one", json!({"cpu": "3"})), pod_requesting("two", json!({"cpu": "3"})));
    scheduler.set_pod(one.clone(), Instant::now());
    scheduler.set_pod(two, Instant::now());
    decisions(&mut scheduler);
    assert!(scheduler.bind_failed(&one.uid, Instant::now()).is_some());
    assert_eq!(
        decisions(&mut scheduler),
        ["two>a"],
        "the other one is woken by the room, the first one waits"
    );
    advance(Duration::from_secs(1)).await;
    assert_eq!(decisions(&mut scheduler), ["one: 0/1 nodes are available: 1 Insufficient cpu"]);
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_took_effect_though_it_failed_is_no_failure() {
    let mut scheduler = scheduler();
    add_node(&mut scheduler, "a", json!({}));
    let pod = pod("p", json!({}));
    scheduler.set_pod(pod.clone(), Instant::now());
    decisions(&mut scheduler);
    scheduler.set_pod(on("a", &pod), Instant::now());
    assert!(scheduler.bind_failed(&pod.uid, Instant::now()).is_none());
    advance(Duration::from_secs(600)).await;
    assert_eq!(decisions(&mut scheduler), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn late_news_of_a_decided_pod_does_not_queue_it_again() {
    let mut scheduler = scheduler();
    add_node(&mut scheduler, "a", json!({}));
    let pod = pod("p", json!({}));
    scheduler.set_pod(pod.clone(), Instant::now());
    assert_eq!(decisions(&mut scheduler), ["p>a"]);
    scheduler.set_pod(pod.clone(), Instant::now());
    scheduler.bound(&pod.uid);
    scheduler.set_pod(pod.clone(), Instant::now());
    assert_eq!(decisions(&mut scheduler), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn whatever_makes_room_wakes_the_waiting() {
    type Happening = fn(&mut Scheduler);
    let happenings: [(&str, Happening, bool); 5] = [
        ("a pod goes", |s| s.remove_pod(&"used".into(), Instant::now()), true),
        (
            "a pod ends",
            |s| {
                let mut ended = raw_pod("used", json!({"nodeName": "a"}));
                ended.status.get_or_insert_default().phase = Some("Succeeded".into());
                s.set_pod(Arc::new(PodInfo::new(Arc::new(ended))), Instant::now());
            },
            true,
        ),
        ("a node comes", |s| add_node(s, "b", json!({})), true),
        ("a small node comes", |s| add_node(s, "b", json!({"status": {"allocatable": {"cpu": "1"}}})), false),
        (
            "a node reports",
            |s| {
                let report = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
                s.set_node(node("a", report), Instant::now());
            },
            false,
        ),
    ];
    for (what, happen, wakes) in happenings {
        let mut scheduler = scheduler();
        add_node(&mut scheduler, "a", json!({}));
        scheduler.set_pod(on("a", &pod_requesting("used", json!({"cpu": "3"}))), Instant::now());
        scheduler.set_pod(pod_requesting("waiting", json!({"cpu": "3"})), Instant::now());
        assert_eq!(decisions(&mut scheduler).len(), 1);
        happen(&mut scheduler);
        assert_eq!(decisions(&mut scheduler).len(), usize::from(wakes), "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_its_own_living_pods_are_scheduled() {
    let mut scheduler = scheduler();
    add_node(&mut scheduler, "a", json!({}));
    scheduler.set_pod(pod("foreign", json!({"schedulerName": "other"})), Instant::now());
    let mut deleted = raw_pod("deleted", json!({}));
    scheduler.set_pod(pod("deleted", json!({})), Instant::now());
    deleted.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    scheduler.set_pod(Arc::new(PodInfo::new(Arc::new(deleted))), Instant::now());
    scheduler.set_pod(pod("own", json!({})), Instant::now());
    assert_eq!(decisions(&mut scheduler), ["own>a"]);
}

#[tokio::test(start_paused = true)]
async fn a_gated_pod_is_told_once_and_then_scheduled() {
    let mut scheduler = scheduler();
    add_node(&mut scheduler, "a", json!({}));
    let gated = || pod("p", json!({"schedulingGates": [{"name": "g"}]}));
    scheduler.set_pod(gated(), Instant::now());
    scheduler.set_pod(gated(), Instant::now());
    assert_eq!(decisions(&mut scheduler), ["p: waiting for scheduling gates: [g]"]);
    scheduler.set_pod(pod("p", json!({})), Instant::now());
    assert_eq!(decisions(&mut scheduler), ["p>a"]);
}

#[tokio::test(start_paused = true)]
async fn without_nodes_pods_wait_for_one() {
    let mut scheduler = scheduler();
    scheduler.set_pod(pod("p", json!({})), Instant::now());
    assert_eq!(decisions(&mut scheduler), ["p: no nodes available to schedule pods"]);
    add_node(&mut scheduler, "a", json!({}));
    assert_eq!(decisions(&mut scheduler), ["p>a"]);
}
