use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clock::Clock;
use object::{TypeMeta, Value, value};
use store::suite::EtcdLike;
use store::{
    Embedded, Expect, KeyRange, LeaseId, RangeRequest, RangeResponse, Revision, Store, StoreError,
    WatchRequest, WatchStream, Write, WriteOutcome,
};
use tokio::sync::Barrier;

use super::*;

/// A collection of pods over a store in memory.
async fn pods() -> (Arc<Hub>, Arc<Collection>) {
    pods_over(Arc::new(Embedded::in_memory(Clock::system()))).await
}

async fn pods_over(store: Arc<dyn Store>) -> (Arc<Hub>, Arc<Collection>) {
    let hub = Arc::new(Hub::new(store));
    let collection = Arc::new(Collection::new(CollectionSpec {
        prefix: "/registry/pods/".into(),
        type_meta: TypeMeta::new("v1", "Pod"),
        fields: Box::new(|pod: &Value| vec![("spec.nodeName".into(), pod.str_at("spec.nodeName").into())]),
        leases: None,
    }));
    hub.add(Arc::clone(&collection));
    hub.start().await.unwrap();
    (hub, collection)
}

/// Writes a pod; its revision comes back.
async fn put(hub: &Hub, collection: &Collection, name: &str, node: &str) -> u64 {
    let pod = value!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "a", "name": name, "uid": "u"}, "spec": {"nodeName": node}
    });
    let key = collection.store_key("a", name);
    let written = collection.write(hub.store().as_ref(), key, pod, Expect::Any).await.unwrap();
    written.unwrap().resource_version()
}

async fn delete(hub: &Hub, collection: &Collection, name: &str) {
    hub.store().write(Write::delete(collection.store_key("a", name), Expect::Any)).await.unwrap();
}

#[tokio::test]
async fn a_read_after_catching_up_sees_every_write() {
    let (hub, collection) = pods().await;
    let revision = put(&hub, &collection, "p", "n").await;
    hub.catch_up().await.unwrap();
    let pod = collection.get("a", "p").unwrap();
    assert_eq!((pod.resource_version(), pod.field("spec.nodeName")), (revision, Some("n")));
    assert_eq!(pod.value().str_at("metadata.resourceVersion"), revision.to_string());
    assert_eq!(collection.snapshot(&hub).revision, revision);
}

#[tokio::test]
async fn a_watch_tells_every_change_once_and_in_order() {
    let (hub, collection) = pods().await;
    let start = hub.catch_up().await.unwrap();
    let mut watcher = collection.watch_from(start).unwrap();
    put(&hub, &collection, "p", "").await;
    put(&hub, &collection, "p", "n").await;
    delete(&hub, &collection, "p").await;
    hub.catch_up().await.unwrap();
    let changes = watcher.next().await.unwrap();
    let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Added, ChangeKind::Modified, ChangeKind::Deleted]);
    assert!(changes.is_sorted_by_key(|change| change.revision));
    let last = &changes[2];
    assert_eq!(last.object.resource_version(), last.revision, "a deletion carries its own version");
    assert_eq!(last.object.field("spec.nodeName"), Some("n"), "and the last state");
    assert!(watcher.is_waiting());
}

#[tokio::test]
async fn a_watch_from_the_middle_skips_what_was_before() {
    let (hub, collection) = pods().await;
    let first = put(&hub, &collection, "p", "").await;
    let second = put(&hub, &collection, "q", "").await;
    hub.catch_up().await.unwrap();
    let changes = collection.watch_from(first).unwrap().next().await.unwrap();
    assert_eq!(changes.iter().map(|change| change.revision).collect::<Vec<_>>(), [second]);
}

#[tokio::test]
async fn a_watch_from_before_the_start_is_refused() {
    let store: Arc<dyn Store> = Arc::new(Embedded::in_memory(Clock::system()));
    store.write(Write::put("/registry/other", "x", Expect::Any)).await.unwrap();
    let hub = Arc::new(Hub::new(store));
    let collection = Arc::new(Collection::new(CollectionSpec {
        prefix: "/registry/pods/".into(),
        type_meta: TypeMeta::new("v1", "Pod"),
        fields: Box::new(|_| Vec::new()),
        leases: None,
    }));
    hub.add(Arc::clone(&collection));
    hub.start().await.unwrap();
    assert!(matches!(collection.watch_from(1), Err(CacheError::TooOld { requested: 1, .. })));
}

#[tokio::test]
async fn a_watcher_that_is_too_slow_is_told_so() {
    let (hub, collection) = pods().await;
    let start = hub.catch_up().await.unwrap();
    let mut watcher = collection.watch_from(start).unwrap();
    // One more change than the log keeps.
    for _ in 0..=8192 {
        put(&hub, &collection, "p", "n").await;
    }
    hub.catch_up().await.unwrap();
    assert!(matches!(watcher.next().await, Err(CacheError::TooOld { .. })));
}

#[tokio::test]
async fn objects_that_were_stored_in_another_order_are_read_all_the_same() {
    let (hub, collection) = pods().await;
    let stored = r#"{"metadata":{"name":"p","namespace":"a"},"kind":"Pod","apiVersion":"v1"}"#;
    hub.store().write(Write::put(collection.store_key("a", "p"), stored, Expect::Any)).await.unwrap();
    hub.catch_up().await.unwrap();
    assert!(collection.get("a", "p").unwrap().resource_version() > 0);
}

#[tokio::test]
async fn the_cache_shares_the_text_of_the_store() {
    let (hub, collection) = pods().await;
    put(&hub, &collection, "p", "n").await;
    // Written by another process: nobody here knows what the text means.
    let stored = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"q","namespace":"a"}}"#;
    hub.store().write(Write::put(collection.store_key("a", "q"), stored, Expect::Any)).await.unwrap();
    hub.catch_up().await.unwrap();
    for name in ["p", "q"] {
        let range = store::RangeRequest::exact(collection.store_key("a", name));
        let found = hub.store().range(range).await.unwrap();
        let cached = collection.get("a", name).unwrap();
        assert_eq!(cached.stored().as_ptr(), found.kvs[0].value.as_ptr(), "{name}");
        assert_eq!(cached.value().str_at("metadata.name"), name);
    }
}

#[tokio::test]
async fn a_write_that_failed_leaves_no_trace() {
    let (hub, collection) = pods().await;
    let first = put(&hub, &collection, "p", "n").await;
    let key = collection.store_key("a", "p");
    let pod = value!({"metadata": {"namespace": "a", "name": "p"}});
    let written = collection.write(hub.store().as_ref(), key, pod, Expect::Absent).await.unwrap();
    assert!(written.is_none());
    hub.catch_up().await.unwrap();
    assert_eq!(collection.get("a", "p").unwrap().resource_version(), first);
}

/// A collection of pods that the hub does not have yet.
fn later() -> Arc<Collection> {
    Arc::new(Collection::new(CollectionSpec {
        prefix: "/registry/pods/".into(),
        type_meta: TypeMeta::new("v1", "Pod"),
        fields: Box::new(|_| Vec::new()),
        leases: None,
    }))
}

/// A store whose reads of pods stop twice, until the test goes on: before they are made, and when they are made.
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
        // Both come to the hub while the collection waits, and the read sees them already.
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
    let snapshot = collection.snapshot(&hub);
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
                // Each is made, changed and deleted, over and over.
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
        // In the midst of the writes, every time at another place of them.
        progress.wait_for(|written| *written >= join * WRITES / JOINS).await.unwrap();
        let collection = later();
        hub.join(Arc::clone(&collection)).await.unwrap();
        let (snapshot, watcher) = collection.watch_from_now(&hub);
        joined.push((collection, snapshot, watcher));
    }
    writer.await.unwrap();
    let last = hub.catch_up().await.unwrap();
    for (collection, snapshot, mut watcher) in joined {
        let newest = snapshot.objects.values().map(|pod| pod.resource_version()).max();
        assert!(newest.is_none_or(|newest| newest <= snapshot.revision));
        // Each write has a revision of its own: what the snapshot does not have comes as an event, one for each.
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
        assert_eq!(collection.snapshot(&hub).objects.len(), stored.len());
        hub.remove(&collection);
    }
}

#[tokio::test]
async fn a_join_that_is_given_up_leaves_nothing_behind() {
    let store: Arc<dyn Store> = Arc::new(Embedded::in_memory(Clock::system()));
    store.write(Write::put("/registry/other", "x", Expect::Any)).await.unwrap();
    // Nobody follows the store yet, so that the join waits.
    let hub = Arc::new(Hub::new(store));
    let given_up = later();
    let mut joining = Box::pin(hub.join(Arc::clone(&given_up)));
    assert!(futures::poll!(&mut joining).is_pending());
    drop(joining);
    let now = hub.store().current_revision().await.unwrap();
    let mut watcher = given_up.watch_from(now.0).unwrap();
    assert!(matches!(watcher.next().await, Err(CacheError::Ended)));
    // It is not fed either, once somebody follows.
    hub.start().await.unwrap();
    let stored = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"a"}}"#;
    hub.store().write(Write::put("/registry/pods/a/p", stored, Expect::Any)).await.unwrap();
    hub.catch_up().await.unwrap();
    assert!(given_up.get("a", "p").is_none());
}

#[tokio::test]
async fn watchers_of_a_collection_that_goes_end_behind_its_last_change() {
    let (hub, collection) = pods().await;
    let start = hub.catch_up().await.unwrap();
    let mut watcher = collection.watch_from(start).unwrap();
    put(&hub, &collection, "p", "n").await;
    hub.catch_up().await.unwrap();
    hub.remove(&collection);
    put(&hub, &collection, "q", "n").await;
    hub.catch_up().await.unwrap();
    assert_eq!(watcher.next().await.unwrap().len(), 1);
    assert!(matches!(watcher.next().await, Err(CacheError::Ended)));
    // Another one at the same place has what is in the store.
    let again = later();
    hub.join(Arc::clone(&again)).await.unwrap();
    assert_eq!(again.snapshot(&hub).objects.len(), 2);
    hub.remove(&collection);
    put(&hub, &again, "r", "n").await;
    hub.catch_up().await.unwrap();
    assert_eq!(again.snapshot(&hub).objects.len(), 3, "the one that went does not take the other along");
}

#[tokio::test]
async fn a_collection_that_cannot_be_read_is_not_added() {
    let (hub, collection) = pods().await;
    hub.remove(&collection);
    hub.store().write(Write::put("/registry/pods/a/bad", "{", Expect::Any)).await.unwrap();
    let broken = later();
    assert!(matches!(hub.join(Arc::clone(&broken)).await, Err(CacheError::Corrupt { .. })));
    hub.store().write(Write::delete("/registry/pods/a/bad", Expect::Any)).await.unwrap();
    hub.join(later()).await.unwrap();
}

#[tokio::test]
async fn a_watcher_from_before_everything_was_read_again_is_told_so() {
    let (hub, collection) = pods().await;
    let start = hub.catch_up().await.unwrap();
    let mut watcher = collection.watch_from(start).unwrap();
    put(&hub, &collection, "p", "n").await;
    hub.catch_up().await.unwrap();
    assert_eq!(watcher.next().await.unwrap().len(), 1);
    // What happens where the store's watch breaks: changes may be missing between before and after.
    collection.load(&[], hub.revision()).unwrap();
    put(&hub, &collection, "q", "n").await;
    hub.catch_up().await.unwrap();
    assert!(matches!(watcher.next().await, Err(CacheError::TooOld { .. })));
}

/// A pod as upstream's server stores it.
fn protobuf(name: &str) -> bytes::Bytes {
    let pod = value!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "a", "name": name, "uid": "u", "labels": {"app": "web"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}
    });
    let ty = schema::type_by_gvk("", "v1", "Pod").unwrap();
    object::protobuf::encode(&pod, &ty).unwrap()
}

#[tokio::test]
async fn objects_that_upstream_stored_are_read() {
    let (hub, collection) = pods().await;
    hub.store().write(Write::put(collection.store_key("a", "p"), protobuf("p"), Expect::Any)).await.unwrap();
    hub.catch_up().await.unwrap();
    let pod = collection.get("a", "p").unwrap();
    assert_eq!((pod.field("spec.nodeName"), pod.label("app")), (Some("n"), Some("web")));
    assert_eq!(pod.value().str_at("metadata.resourceVersion"), pod.resource_version().to_string());
    // At the start as well as from the watch.
    let (_, again) = pods_over(Arc::clone(hub.store())).await;
    assert_eq!(again.get("a", "p").unwrap().json(), pod.json());
}

/// What the cache needs of a store is what etcd keeps: no previous versions, no shared memory, no revision a key, and no
/// answer of any size.
#[tokio::test]
async fn a_store_that_keeps_no_more_than_etcd_feeds_the_cache() {
    let store = EtcdLike::new();
    // More than one page, and more than the store answers at once.
    let filler = "x".repeat(16 << 10);
    for number in 0..600 {
        let pod = format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"old-{number:03}","namespace":"b"}},"spec":{{"x":"{filler}"}}}}"#
        );
        store.write(Write::put(format!("/registry/pods/b/old-{number:03}"), pod, Expect::Any)).await.unwrap();
    }
    let (hub, collection) = pods_over(Arc::new(store.clone())).await;
    assert_eq!(collection.snapshot(&hub).count("b"), 600);
    let start = hub.catch_up().await.unwrap();
    let mut watcher = collection.watch_from(start).unwrap();
    put(&hub, &collection, "p", "n").await;
    put(&hub, &collection, "p", "m").await;
    // Another program writes several keys at one revision, of this collection and of others.
    let pod = |name: &str| {
        format!(r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}","namespace":"a"}}}}"#)
    };
    let write = |name: &str| Write::put(collection.store_key("a", name), pod(name), Expect::Any);
    let other = Write::put("/registry/other", "x", Expect::Any);
    let delete = Write::delete(collection.store_key("a", "p"), Expect::Any);
    let shared = store.transact(&[write("q"), other, delete, write("r")]).unwrap().0;
    hub.catch_up().await.unwrap();
    let mut changes = Vec::new();
    while changes.len() < 5 {
        changes.extend(watcher.next().await.unwrap());
    }
    use ChangeKind::{Added, Deleted, Modified};
    let kinds: Vec<_> = changes.iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [Added, Modified, Added, Deleted, Added]);
    assert_eq!(changes[1].previous.as_ref().and_then(|pod| pod.field("spec.nodeName")), Some("n"));
    assert!(changes[2..].iter().all(|change| change.revision == shared));
    let snapshot = collection.snapshot(&hub);
    assert_eq!((snapshot.count("a"), snapshot.revision), (2, shared));
    assert_eq!(collection.watch_from(shared - 1).unwrap().next().await.unwrap().len(), 3);
    assert!(collection.watch_from(shared).unwrap().is_waiting());
}

/// A list that lies between two changes of one revision says that it has both: its watcher would miss the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_changes_of_one_revision_come_to_a_collection_at_once() {
    let store = EtcdLike::new();
    let (hub, collection) = pods_over(Arc::new(store.clone())).await;
    let write = |number: usize, name: &str| {
        let pod = format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"{name}-{number}","namespace":"a"}}}}"#
        );
        Write::put(collection.store_key("a", &format!("{name}-{number}")), pod, Expect::Any)
    };
    let lists = {
        let (hub, collection) = (Arc::clone(&hub), Arc::clone(&collection));
        tokio::spawn(async move {
            let mut odd = 0;
            while hub.revision() < 200 {
                odd += collection.snapshot(&hub).count("a") % 2;
                tokio::task::yield_now().await;
            }
            odd
        })
    };
    for number in 0..200 {
        store.transact(&[write(number, "one"), write(number, "two")]).unwrap();
        tokio::task::yield_now().await;
    }
    hub.catch_up().await.unwrap();
    assert_eq!(lists.await.unwrap(), 0);
    assert_eq!(collection.snapshot(&hub).count("a"), 400);
}

#[tokio::test]
async fn objects_are_counted_by_namespace() {
    let (hub, collection) = pods().await;
    for name in ["p", "q", "p"] {
        put(&hub, &collection, name, "n").await;
    }
    let other = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"b"}}"#;
    hub.store().write(Write::put(collection.store_key("b", "p"), other, Expect::Any)).await.unwrap();
    hub.catch_up().await.unwrap();
    let before = collection.snapshot(&hub);
    delete(&hub, &collection, "p").await;
    delete(&hub, &collection, "none").await;
    hub.catch_up().await.unwrap();
    let counts = |snapshot: &Snapshot| ["", "a", "b", "c"].map(|namespace| snapshot.count(namespace));
    assert_eq!(counts(&before), [3, 2, 1, 0]);
    assert_eq!(counts(&collection.snapshot(&hub)), [2, 1, 1, 0]);
}
