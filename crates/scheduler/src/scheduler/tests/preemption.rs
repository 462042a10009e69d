//! A pod that preempts others waits for the space, and gets it.

use std::time::Duration;

use super::*;
use crate::testing::containers;

fn with(name: &str, priority: i32, extra: Value) -> Arc<PodInfo> {
    let mut spec = containers(json!({"cpu": "3"}));
    spec["priority"] = priority.into();
    crate::testing::merge(&mut spec, extra);
    pod(name, spec)
}

fn deleting(pod: &PodInfo) -> Arc<PodInfo> {
    let mut raw = pod.pod().as_ref().clone();
    raw.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    raw.status = serde_json::from_value(json!({"conditions": [
        {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]}))
    .unwrap();
    Arc::new(PodInfo::new(Arc::new(raw)))
}

fn now() -> Instant {
    Instant::now()
}

/// The victims of the next decision.
fn victims(scheduler: &mut Scheduler) -> Vec<String> {
    match scheduler.next(now()) {
        Some(Outcome::Unschedulable { preemption: Some(preemption), .. }) => {
            preemption.victims.iter().map(|victim| victim.key.name.to_string()).collect()
        }
        other => vec![format!("{other:?}")],
    }
}

#[tokio::test(start_paused = true)]
async fn the_room_of_the_victims_is_kept_for_the_pod() {
    let mut scheduler = scheduler();
    add_node(&mut scheduler, "a", json!({}));
    let low = on("a", &with("low", 0, json!({})));
    scheduler.set_pod(low.clone(), now());
    scheduler.set_pod(with("high", 5, json!({})), now());
    assert_eq!(victims(&mut scheduler), ["low"]);
    // While the victim is being deleted, no other pod is preempted.
    let terminating = "high: 0/1 nodes are available: 1 Insufficient cpu";
    for happen in [
        |_: &mut Scheduler, _: &PodInfo| {},
        |scheduler: &mut Scheduler, low: &PodInfo| {
            scheduler.set_pod(deleting(low), now());
        },
    ] {
        happen(&mut scheduler, &low);
        advance(Duration::from_secs(600)).await;
        assert_eq!(decisions(&mut scheduler), [terminating]);
    }
    // Another pod that arrives in the meantime does not take the space; a more important one would.
    scheduler.set_pod(with("late", 0, json!({})), now());
    scheduler.remove_pod(&low.uid, now());
    let outcomes = decisions(&mut scheduler);
    assert!(
        outcomes.contains(&"high>a".to_owned()) && outcomes.iter().any(|told| told.starts_with("late: "))
    );
}

#[tokio::test(start_paused = true)]
async fn victims_that_do_not_go_are_chosen_again() {
    let mut scheduler = scheduler();
    add_node(&mut scheduler, "a", json!({}));
    let low = on("a", &with("low", 0, json!({})));
    scheduler.set_pod(low.clone(), now());
    let high = with("high", 5, json!({}));
    scheduler.set_pod(high.clone(), now());
    assert_eq!(victims(&mut scheduler), ["low"]);
    scheduler.preemption_failed(&high.uid, std::slice::from_ref(&low.uid), now());
    assert!(scheduler.next(now()).is_none(), "not at once");
    advance(Duration::from_secs(2)).await;
    assert_eq!(victims(&mut scheduler), ["low"]);
}

#[tokio::test(start_paused = true)]
async fn pods_that_may_not_preempt_wait() {
    let mut scheduler = scheduler();
    add_node(&mut scheduler, "a", json!({}));
    scheduler.set_pod(on("a", &with("low", 0, json!({}))), now());
    scheduler.set_pod(with("high", 5, json!({"preemptionPolicy": "Never"})), now());
    let Some(Outcome::Unschedulable { message, preemption: None, .. }) = scheduler.next(now()) else {
        panic!("nobody has to go")
    };
    assert!(message.ends_with("preemption: not eligible due to preemptionPolicy=Never."), "{message}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_waits_for_leave_only_loses_its_place() {
    let log = crate::testing::steps::Log::default();
    let waits = [('a', Duration::from_secs(600))];
    let profile = crate::testing::steps::with_steps(default_profile(), &log, (' ', ""), &waits);
    let mut scheduler = Scheduler::new(vec![Arc::new(profile)], clock(), 0);
    add_node(&mut scheduler, "a", json!({}));
    scheduler.set_pod(with("low", 0, json!({})), now());
    assert_eq!(decisions(&mut scheduler), [""; 0], "it waits");
    scheduler.set_pod(with("high", 5, json!({})), now());
    let mut told = Vec::new();
    while let Some(outcome) = scheduler.next(now()) {
        if let Outcome::Unschedulable { pod, message, preemption, .. } = outcome {
            assert!(preemption.is_none_or(|preemption| preemption.victims.is_empty()), "nothing is deleted");
            told.push(format!("{}: {message}", pod.key.name));
        }
    }
    assert!(told.contains(&"low: preempted".to_owned()), "{told:?}");
    advance(Duration::from_secs(10)).await;
    decisions(&mut scheduler);
    let waiting: Vec<_> = scheduler.waiting().map(|(pod, _)| pod.key.name.to_string()).collect();
    assert_eq!(waiting, ["high"]);
}
