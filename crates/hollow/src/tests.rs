use std::time::Duration;

use clock::Clock;
use k8s_openapi::api::core::v1::Pod;
use object::Uid;
use serde_json::json;

use crate::Timing;
use crate::life::{Life, Stage};

fn pod(json: serde_json::Value) -> Pod {
    serde_json::from_value(json).unwrap()
}

fn timing(fail: Option<Duration>) -> Timing {
    let just = |seconds| Duration::from_secs(seconds)..Duration::from_secs(seconds);
    Timing {
        start: just(2),
        stop: just(3),
        run: just(10),
        fail: fail.map(|after| after..after),
        ..Timing::default()
    }
}

fn begin(pod: &Pod, timing: &Timing) -> (Clock, Life) {
    let clock = Clock::seeded(1, "2026-01-01T00:00:00Z".parse().unwrap());
    let life = Life::begin(Uid::from("u"), 1, pod, timing, &clock);
    (clock, life)
}

#[tokio::test(start_paused = true)]
async fn pods_start_run_and_stop() {
    let (pod, timing) = (pod(json!({"spec": {"containers": []}})), timing(None));
    let (clock, mut life) = begin(&pod, &timing);
    let (stage, next) = life.advance(&pod, &timing, &clock);
    assert_eq!((stage, next.unwrap().duration_since(clock.now()).as_secs()), (Stage::Starting, 2));
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(matches!(life.advance(&pod, &timing, &clock), (Stage::Running(_), None)));
    let mut deleted = pod;
    deleted.metadata.deletion_timestamp = Some(crate::status::time(clock.now()));
    deleted.metadata.deletion_grace_period_seconds = Some(30);
    let (stage, next) = life.advance(&deleted, &timing, &clock);
    assert!(matches!(stage, Stage::Running(_)));
    assert_eq!(next.unwrap().duration_since(clock.now()).as_secs(), 3);
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(life.advance(&deleted, &timing, &clock), (Stage::Stopped, None));
}

#[tokio::test(start_paused = true)]
async fn a_short_grace_period_is_kept() {
    let pod = pod(json!({
        "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0},
        "spec": {"containers": []},
    }));
    let timing = timing(None);
    let (clock, mut life) = begin(&pod, &timing);
    assert_eq!(life.advance(&pod, &timing, &clock), (Stage::Stopped, None));
}

#[tokio::test(start_paused = true)]
async fn pods_that_are_not_to_last_are_done() {
    let (pod, timing) = (pod(json!({"spec": {"restartPolicy": "Never", "containers": []}})), timing(None));
    let (clock, mut life) = begin(&pod, &timing);
    tokio::time::advance(Duration::from_secs(11)).await;
    assert!(matches!(life.advance(&pod, &timing, &clock).0, Stage::Running(_)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(life.advance(&pod, &timing, &clock), (Stage::Done, None));
}

#[tokio::test(start_paused = true)]
async fn failed_containers_start_again_also_while_nobody_looks() {
    let (pod, timing) = (pod(json!({"spec": {"containers": []}})), timing(Some(Duration::from_secs(8))));
    let (clock, mut life) = begin(&pod, &timing);
    tokio::time::advance(Duration::from_secs(21)).await;
    assert_eq!((life.advance(&pod, &timing, &clock).0, life.restarts), (Stage::Starting, 2));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(matches!(life.advance(&pod, &timing, &clock).0, Stage::Running(_)));
}
