//! Events expire, whichever API wrote them and whenever that was.

use std::sync::Arc;
use std::time::Duration;

use apiserver::testing::TestServer;
use clock::Clock;
use futures::StreamExt;
use object::value;
use store::{Embedded, Event, Expect, RangeRequest, Store, WatchRequest, Write};

const KEYS: &str = "/registry/events/";

fn event(name: &str) -> object::Value {
    value!({
        "metadata": {"name": name, "namespace": "default"}, "reason": "Started", "type": "Normal",
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}
    })
}

async fn count(store: &dyn Store) -> usize {
    store.range(RangeRequest::prefix(KEYS)).await.unwrap().kvs.len()
}

#[tokio::test(start_paused = true)]
async fn events_of_both_groups_end_after_an_hour() {
    let store: Arc<dyn Store> = Arc::new(Embedded::in_memory(Clock::system()));
    let server = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    let mut leases = Vec::new();
    for number in 0..1500 {
        server.create("", "events", "default", event(&format!("core-{number}"))).await.unwrap();
    }
    let series = value!({
        "metadata": {"name": "new", "namespace": "default"}, "reason": "Started", "type": "Normal",
        "eventTime": "2026-01-01T00:00:00.000000Z", "action": "Starting", "reportingController": "example.com/c",
        "reportingInstance": "c-1", "regarding": {"kind": "Pod", "name": "p", "namespace": "default"}
    });
    server.create("events.k8s.io", "events", "default", series).await.unwrap();
    for kv in store.range(RangeRequest::prefix(KEYS)).await.unwrap().kvs {
        leases.push(kv.lease.expect("every event has a lease"));
    }
    leases.sort_unstable_by_key(|lease| lease.0);
    leases.dedup();
    assert!(leases.len() <= 2, "a lease is for a thousand events: {leases:?}");

    tokio::time::sleep(Duration::from_secs(1800)).await;
    // The expiry of a repeated event starts again.
    let again = value!({"count": 2});
    let path = "/api/v1/namespaces/default/events/core-7";
    let body = object::json::to_bytes(&again);
    let patched = server
        .request(&apiserver::testing::admin(), "PATCH", path, "application/merge-patch+json", body)
        .await;
    patched.unwrap();
    let from = store.current_revision().await.unwrap();
    let mut watch = store.watch(WatchRequest::prefix(KEYS).from(from)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1700)).await;
    assert_eq!(count(store.as_ref()).await, 1501);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(count(store.as_ref()).await, 1, "the one that happened again");
    let mut deleted = 0;
    while deleted < 1500 {
        let batch = watch.next().await.unwrap().unwrap();
        assert!(batch.events.iter().all(|event| matches!(event, Event::Delete { .. })));
        deleted += batch.events.len();
    }
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert_eq!(count(store.as_ref()).await, 0);
}

#[tokio::test(start_paused = true)]
async fn events_of_before_the_upgrade_end_too() {
    let clock = Clock::system();
    let store: Arc<dyn Store> = Arc::new(Embedded::in_memory(clock.clone()));
    for number in 0..450 {
        let name = format!("e-{number}");
        let mut event = event(&name);
        event.set("kind", "Event");
        event.set("apiVersion", "v1");
        let age = if number % 2 == 0 { 7200 } else { 60 };
        let created = clock.now_seconds() - jiff::SignedDuration::from_secs(age);
        event.entry("metadata").set("creationTimestamp", created.to_string());
        let write =
            Write::put(format!("{KEYS}default/{name}"), object::json::to_bytes(&event), Expect::Absent);
        store.write(write).await.unwrap();
    }
    let _server = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    let mut waited = 0;
    while count(store.as_ref()).await != 225 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        waited += 1;
        assert!(waited < 1000, "the old ones end at once");
    }
    tokio::time::sleep(Duration::from_secs(3800)).await;
    assert_eq!(count(store.as_ref()).await, 0);
}
