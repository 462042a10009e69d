//! Leases: keys that expire together.

use std::sync::Arc;
use std::time::Duration;

use super::{Refusal, Watched, commit, pairs, put, refusal};
use crate::{Event, Expect, LeaseId, RangeRequest, Store, WatchRequest, Write};

const LONG: Duration = Duration::from_secs(3600);

async fn grant(store: &Arc<dyn Store>, ttl: Duration) -> LeaseId {
    store.grant_lease(ttl).await.expect("the store grants leases")
}

async fn put_under(store: &Arc<dyn Store>, key: &'static str, lease: LeaseId) {
    commit(store, Write::put(key, "leased", Expect::Any).lease(lease)).await;
}

async fn count(store: &Arc<dyn Store>) -> usize {
    pairs(store, RangeRequest::prefix("/")).await.len()
}

/// Revoking a lease deletes its keys, as events that watchers see.
pub async fn revocation_deletes(store: &Arc<dyn Store>) {
    let lease = grant(store, LONG).await;
    let other = grant(store, LONG).await;
    put_under(store, "/a", lease).await;
    put_under(store, "/b", lease).await;
    put_under(store, "/c", other).await;
    let kvs = store.range(RangeRequest::exact("/a")).await.expect("the key can be read").kvs;
    assert_eq!(kvs[0].lease, Some(lease));
    let mut watch = Watched::start(store, WatchRequest::prefix("/")).await;
    store.revoke_lease(lease).await.expect("the lease exists");
    let events = watch.events(2).await;
    let mut deleted: Vec<_> = events.iter().map(|event| event.key().clone()).collect();
    deleted.sort();
    assert_eq!(deleted, ["/a", "/b"]);
    assert!(events.iter().all(|event| matches!(event, Event::Delete { .. })));
    assert_eq!(count(store).await, 1);
}

/// A lease that is not kept alive expires.
pub async fn expiry_deletes(store: &Arc<dyn Store>) {
    let lease = grant(store, Duration::from_secs(1)).await;
    put_under(store, "/a", lease).await;
    put(store, "/b", "stays").await;
    let mut watch = Watched::start(store, WatchRequest::prefix("/a")).await;
    assert!(matches!(watch.events(1).await[0], Event::Delete { .. }));
    assert_eq!(count(store).await, 1);
    assert_eq!(refusal(store.keep_lease_alive(lease).await), Refusal::NoLease);
}

/// A kept lease outlives one that was granted with it.
pub async fn keep_alive_prolongs(store: &Arc<dyn Store>) {
    let ttl = Duration::from_secs(2);
    let (kept, left) = (grant(store, ttl).await, grant(store, ttl).await);
    put_under(store, "/kept", kept).await;
    put_under(store, "/left", left).await;
    let mut watch = Watched::start(store, WatchRequest::prefix("/")).await;
    let keeper = async {
        loop {
            tokio::time::sleep(ttl / 10).await;
            store.keep_lease_alive(kept).await.expect("the lease is alive");
        }
    };
    let events = tokio::select! {
        events = watch.events(1) => events,
        () = keeper => unreachable!("it keeps the lease for ever"),
    };
    assert_eq!(events[0].key(), "/left");
    assert_eq!(watch.events(1).await[0].key(), "/kept");
}

/// A put without a lease takes the key from its lease; one with another lease moves it.
pub async fn a_put_detaches(store: &Arc<dyn Store>) {
    let (first, second) = (grant(store, LONG).await, grant(store, LONG).await);
    put_under(store, "/detached", first).await;
    put_under(store, "/moved", first).await;
    put_under(store, "/attached", first).await;
    put(store, "/detached", "free").await;
    put_under(store, "/moved", second).await;
    store.revoke_lease(first).await.expect("the lease exists");
    assert_eq!(count(store).await, 2);
    store.revoke_lease(second).await.expect("the lease exists");
    assert_eq!(pairs(store, RangeRequest::prefix("/")).await, [("/detached".to_owned(), "free".to_owned())]);
}

/// A lease that was never granted, or is gone, cannot be used.
pub async fn unknown_leases_are_refused(store: &Arc<dyn Store>) {
    let revoked = grant(store, LONG).await;
    store.revoke_lease(revoked).await.expect("the lease exists");
    for lease in [revoked, LeaseId(12345)] {
        let write = Write::put("/a", "x", Expect::Any).lease(lease);
        assert_eq!(refusal(store.write(write).await), Refusal::NoLease);
        assert_eq!(refusal(store.keep_lease_alive(lease).await), Refusal::NoLease);
        assert_eq!(refusal(store.revoke_lease(lease).await), Refusal::NoLease);
    }
    assert_eq!(count(store).await, 0);
}
