use std::sync::Arc;
use std::time::Duration;

use client::{Candidate, Outcome, Timing, Verb};
use k8s_openapi::api::coordination::v1::Lease;
use object::{ObjectKey, Status};
use parking_lot::Mutex;
use serde_json::json;
use simulation::{Server, admin};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

async fn server() -> Server {
    Server::start(1).await
}

fn candidate(identity: &str) -> Candidate {
    let lease = ObjectKey::namespaced("kube-system", "scheduler");
    Candidate { lease, identity: identity.into(), timing: Timing::default() }
}

/// Runs a candidate that leads until it is stopped, and records when it starts and stops.
fn run(
    server: &Server,
    identity: &'static str,
    log: &Arc<Mutex<Vec<String>>>,
) -> (CancellationToken, tokio::task::JoinHandle<Outcome>) {
    let (cancel, client, log) = (CancellationToken::new(), server.client(admin()), Arc::clone(log));
    let token = cancel.clone();
    let task = tokio::spawn(async move {
        let lead = |stop: CancellationToken| async move {
            log.lock().push(format!("{identity} leads"));
            stop.cancelled().await;
            log.lock().push(format!("{identity} stops"));
        };
        candidate(identity).run(&client, token, lead).await
    });
    (cancel, task)
}

async fn holder(server: &Server) -> Lease {
    server.find(&candidate("").lease).await.unwrap()
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_next_takes_over_when_it_lets_go() {
    let (server, log) = (server().await, Arc::default());
    let (cancel, first) = run(&server, "a", &log);
    pass(1).await;
    let (_cancel, _second) = run(&server, "b", &log);
    pass(60).await;
    assert_eq!(*log.lock(), ["a leads"]);
    assert_eq!(holder(&server).await.spec.unwrap().lease_transitions, Some(0));
    cancel.cancel();
    assert_eq!(first.await.unwrap(), Outcome::Cancelled);
    assert_eq!(holder(&server).await.spec.unwrap().holder_identity.as_deref(), Some(""));
    pass(5).await;
    assert_eq!(*log.lock(), ["a leads", "a stops", "b leads"]);
    let spec = holder(&server).await.spec.unwrap();
    assert_eq!((spec.holder_identity.as_deref(), spec.lease_transitions), (Some("b"), Some(1)));
}

#[tokio::test(start_paused = true)]
async fn a_silent_leader_is_replaced_after_its_lease() {
    let (server, log) = (server().await, Arc::default());
    let (_cancel, first) = run(&server, "a", &log);
    pass(1).await;
    first.abort();
    let (_cancel, _second) = run(&server, "b", &log);
    pass(14).await;
    assert_eq!(*log.lock(), ["a leads"]);
    pass(8).await;
    assert_eq!(*log.lock(), ["a leads", "b leads"]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_renew_stops_in_time() {
    let (server, log) = (server().await, Arc::default());
    let (_cancel, task) = run(&server, "a", &log);
    pass(1).await;
    // Tries come every two seconds; a fifth would begin at the deadline itself.
    for _ in 0..3 {
        server.faults().fail_next(Verb::Get, "leases", Status::service_unavailable("down"));
    }
    pass(20).await;
    assert_eq!(*log.lock(), ["a leads"], "six seconds without an answer are survived");
    for _ in 0..50 {
        server.faults().fail_next(Verb::Get, "leases", Status::service_unavailable("down"));
    }
    let start = Instant::now();
    assert_eq!(task.await.unwrap(), Outcome::Lost);
    assert!(start.elapsed() <= Duration::from_secs(12), "{:?}", start.elapsed());
    assert_eq!(*log.lock(), ["a leads", "a stops"]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_was_taken_stops() {
    let (server, log) = (server().await, Arc::default());
    let (_cancel, task) = run(&server, "a", &log);
    pass(3).await;
    server.patch::<Lease>(&candidate("").lease, json!({"spec": {"holderIdentity": "thief"}})).await;
    assert_eq!(task.await.unwrap(), Outcome::Lost);
    assert_eq!(holder(&server).await.spec.unwrap().holder_identity.as_deref(), Some("thief"));
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_work_is_done_lets_go() {
    let server = server().await;
    let outcome = candidate("a").run(&server.client(admin()), CancellationToken::new(), |_| async {}).await;
    assert_eq!(outcome, Outcome::Finished);
    assert_eq!(holder(&server).await.spec.unwrap().holder_identity.as_deref(), Some(""));
}
