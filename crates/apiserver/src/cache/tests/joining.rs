//! Collections that join while the store changes.

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use store::{
    KeyRange, LeaseId, RangeRequest, RangeResponse, Revision, StoreError, WatchRequest, WatchStream,
    WriteOutcome,
};
use tokio::sync::Barrier;

use super::*;

/// A store whose reads of pods stop twice until the test continues: before and after the read.
struct Halting {
    inner: Embedded,
    before: Barrier,
    after: Barrier,
}

#[async_trait]
impl Store for Halting {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        let halts = request.range == KeyRange::prefix("/registry/pods/");
        if halts {
            self.before.wait().await;
            self.before.wait().await;
        }
        let answer = self.inner.range(request).await;
        if halts {
            self.after.wait().await;
            self.after.wait().await;
        }
        answer
    }
    async fn write(&self, write: Write) -> Result<WriteOutcome, StoreError> {
        self.inner.write(write).await
    }
    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        self.inner.watch(request).await
    }
    async fn request_progress(&self) -> Result<(), StoreError> {
        self.inner.request_progress().await
    }
    async fn current_revision(&self) -> Result<Revision, StoreError> {
        self.inner.current_revision().await
    }
    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.inner.compact(revision).await
    }
    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.inner.grant_lease(ttl).await
    }
    async fn keep_lease_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.inner.keep_lease_alive(lease).await
    }
    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.inner.revoke_lease(lease).await
    }
    async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.inner.backup(path).await
    }
}

#[tokio::test]
async fn changes_beside_the_read_of_a_join_are_taken_once() {
    let halting = Arc::new(Halting {
        inner: Embedded::in_memory(Clock::system()),
        before: Barrier::new(2),
        after: Barrier::new(2),
    });
    let store: Arc<dyn Store> = Arc::<Halting>::clone(&halting);
    let hub = Arc::new(Hub::new(Arc::clone(&store)));
    hub.start().await.unwrap();
    let put = async |name: &str, uid: &str| {
        let metadata = format!(r#"{{"name":"{name}","namespace":"a","uid":"{uid}"}}"#);
        let stored = format!(r#"{{"kind":"Pod","apiVersion":"v1","metadata":{metadata}}}"#);
        store.write(Write::put(format!("/registry/pods/a/{name}"), stored, Expect::Any)).await.unwrap();
        hub.catch_up().await.unwrap()
    };
    put("old", "1").await;
    let collection = later();
    let join = async {
        hub.join(Arc::clone(&collection)).await.unwrap();
    };
    let write = async {
        halting.before.wait().await;
        // Both reach the hub while the collection waits, and the read already includes them.
        put("old", "2").await;
        let read = put("seen", "1").await;
        halting.before.wait().await;
        halting.after.wait().await;
        // The read does not see these.
        let behind = [put("seen", "2").await, put("new", "1").await];
        halting.after.wait().await;
        (read, behind)
    };
    let ((), (read, behind)) = tokio::join!(join, write);
    let oldest = collection.oldest();
    assert_eq!(oldest, read);
    // The log of a collection that was read once starts at the first position.
    let log = collection.changes_from(1, usize::MAX, usize::MAX).unwrap();
    let told: Vec<_> = log.iter().map(|change| (change.revision, change.kind)).collect();
    assert_eq!(told, [(behind[0], ChangeKind::Modified), (behind[1], ChangeKind::Added)]);
    let snapshot = hub.snapshot(&collection);
    let objects: Vec<_> = snapshot.objects.values().map(|pod| (pod.name(), pod.uid().as_str())).collect();
    assert_eq!(objects, [("new", "1"), ("old", "2"), ("seen", "2")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collection_that_joins_loses_and_doubles_nothing() {
    const WRITES: u64 = 1200;
    const JOINS: u64 = 12;
    let store: Arc<dyn Store> = Arc::new(Embedded::in_memory(Clock::system()));
    let hub = Arc::new(Hub::new(Arc::clone(&store)));
    hub.start().await.unwrap();
    let written = tokio::sync::watch::Sender::new(0);
    let mut progress = written.subscribe();
    let writer = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for number in 0..WRITES {
                let name = format!("p-{}", number % 100);
                let key = format!("/registry/pods/a/{name}");
                // Each is created, changed and deleted, again and again.
                let write = match number / 100 % 3 {
                    2 => Write::delete(key, Expect::Any),
                    _ => {
                        let metadata = format!(r#"{{"name":"{name}","namespace":"a","uid":"{number}"}}"#);
                        let stored = format!(r#"{{"kind":"Pod","apiVersion":"v1","metadata":{metadata}}}"#);
                        Write::put(key, stored, Expect::Any)
                    }
                };
                store.write(write).await.unwrap();
                written.send_replace(number);
            }
        }
    });
    let mut joined = Vec::new();
    for join in 0..JOINS {
        // In the middle of the writes, each time at a different point.
        progress.wait_for(|written| *written >= join * WRITES / JOINS).await.unwrap();
        let collection = later();
        hub.join(Arc::clone(&collection)).await.unwrap();
        let (snapshot, watcher) = Watcher::with_snapshot(&collection, &hub);
        joined.push((collection, snapshot, watcher));
    }
    writer.await.unwrap();
    let last = hub.catch_up().await.unwrap();
    for (collection, snapshot, mut watcher) in joined {
        let newest = snapshot.objects.values().map(|pod| pod.resource_version()).max();
        assert!(newest.is_none_or(|newest| newest <= snapshot.revision));
        // Each write has its own revision: those that are missing in the snapshot arrive as events, one for each.
        let mut revision = snapshot.revision;
        let mut objects = snapshot.objects;
        while revision < last {
            for change in watcher.next().await.unwrap() {
                assert_eq!(change.revision, revision + 1);
                revision = change.revision;
                let key: Arc<str> = change.object.key().to_string().into();
                let before = match change.kind {
                    ChangeKind::Deleted => objects.remove(&key),
                    _ => objects.insert(key, change.object.clone()),
                };
                let version = |object: &object::Versioned| object.resource_version();
                assert_eq!(before.as_ref().map(version), change.previous.as_ref().map(version));
            }
        }
        assert!(watcher.is_waiting());
        let stored = store.range(store::RangeRequest::prefix("/registry/pods/")).await.unwrap();
        let stored: Vec<u64> = stored.kvs.iter().map(|kv| kv.mod_revision.0).collect();
        assert_eq!(objects.values().map(|pod| pod.resource_version()).collect::<Vec<_>>(), stored);
        assert_eq!(hub.snapshot(&collection).objects.len(), stored.len());
        hub.remove(&collection);
    }
}

#[tokio::test]
async fn a_join_that_is_given_up_leaves_nothing_behind() {
    let store: Arc<dyn Store> = Arc::new(Embedded::in_memory(Clock::system()));
    store.write(Write::put("/registry/other", "x", Expect::Any)).await.unwrap();
    // The store is not followed yet, so the join waits.
    let hub = Arc::new(Hub::new(store));
    let given_up = later();
    let mut joining = Box::pin(hub.join(Arc::clone(&given_up)));
    assert!(futures::poll!(&mut joining).is_pending());
    drop(joining);
    let now = hub.store().current_revision().await.unwrap();
    let mut watcher = Watcher::after(&given_up, now.0).unwrap();
    assert!(matches!(watcher.next().await, Err(CacheError::Ended)));
    // It is not fed either, once the store is followed.
    hub.start().await.unwrap();
    let stored = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"a"}}"#;
    hub.store().write(Write::put("/registry/pods/a/p", stored, Expect::Any)).await.unwrap();
    hub.catch_up().await.unwrap();
    assert!(given_up.get("a", "p").is_none());
}
