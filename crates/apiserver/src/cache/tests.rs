use std::sync::Arc;

use clock::Clock;
use object::{FieldValues, TypeMeta, Value, value};
use store::suite::EtcdLike;
use store::{Embedded, Expect, Store, Write};

use super::*;

mod joining;
mod past;

/// A collection of pods over a store in memory.
async fn pods() -> (Arc<Hub>, Arc<Collection>) {
    pods_over(Arc::new(Embedded::in_memory(Clock::system()))).await
}

async fn pods_over(store: Arc<dyn Store>) -> (Arc<Hub>, Arc<Collection>) {
    let hub = Arc::new(Hub::new(store));
    let collection = Arc::new(Collection::new(CollectionSpec {
        prefix: "/registry/pods/".into(),
        type_meta: TypeMeta::new("v1", "Pod"),
        fields: Box::new(|pod: &Value| {
            [("spec.nodeName", pod.str_at("spec.nodeName"))].into_iter().collect()
        }),
        leases: None,
        amend: None,
    }));
    hub.add(Arc::clone(&collection));
    hub.start().await.unwrap();
    (hub, collection)
}

/// Writes a pod; returns its revision.
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
    assert_eq!(hub.snapshot(&collection).revision, revision);
}

#[tokio::test]
async fn a_watch_tells_every_change_once_and_in_order() {
    let (hub, collection) = pods().await;
    let start = hub.catch_up().await.unwrap();
    let mut watcher = Watcher::after(&collection, start).unwrap();
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
    let changes = Watcher::after(&collection, first).unwrap().next().await.unwrap();
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
        fields: Box::new(|_| FieldValues::default()),
        leases: None,
        amend: None,
    }));
    hub.add(Arc::clone(&collection));
    hub.start().await.unwrap();
    assert!(matches!(Watcher::after(&collection, 1), Err(CacheError::TooOld { requested: 1, .. })));
}

#[tokio::test]
async fn a_watcher_that_is_too_slow_is_told_so() {
    let (hub, collection) = pods().await;
    let start = hub.catch_up().await.unwrap();
    let mut watcher = Watcher::after(&collection, start).unwrap();
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
    // Written by another process: this one has not parsed the text yet.
    let stored = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"q","namespace":"a"}}"#;
    hub.store().write(Write::put(collection.store_key("a", "q"), stored, Expect::Any)).await.unwrap();
    hub.catch_up().await.unwrap();
    for name in ["p", "q"] {
        let range = store::RangeRequest::exact(collection.store_key("a", name));
        let found = hub.store().range(range).await.unwrap();
        let cached = collection.get("a", name).unwrap();
        assert!(cached.stored().is_some_and(|text| text.is(&found.kvs[0].value)), "{name}");
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
        fields: Box::new(|_| FieldValues::default()),
        leases: None,
        amend: None,
    }))
}

#[tokio::test]
async fn watchers_of_a_collection_that_goes_end_behind_its_last_change() {
    let (hub, collection) = pods().await;
    let start = hub.catch_up().await.unwrap();
    let mut watcher = Watcher::after(&collection, start).unwrap();
    put(&hub, &collection, "p", "n").await;
    hub.catch_up().await.unwrap();
    hub.remove(&collection);
    put(&hub, &collection, "q", "n").await;
    hub.catch_up().await.unwrap();
    assert_eq!(watcher.next().await.unwrap().len(), 1);
    assert!(matches!(watcher.next().await, Err(CacheError::Ended)));
    // A new one in its place has the store's content.
    let again = later();
    hub.join(Arc::clone(&again)).await.unwrap();
    assert_eq!(hub.snapshot(&again).objects.len(), 2);
    hub.remove(&collection);
    put(&hub, &again, "r", "n").await;
    hub.catch_up().await.unwrap();
    assert_eq!(hub.snapshot(&again).objects.len(), 3, "the one that went does not take the other along");
}

#[tokio::test]
async fn a_collection_has_what_can_be_read_and_says_what_cannot() {
    let (hub, followed) = pods().await;
    put(&hub, &followed, "web", "n").await;
    hub.store().write(Write::put("/registry/pods/a/bad", "{", Expect::Any)).await.unwrap();
    let joined = later();
    hub.join(Arc::clone(&joined)).await.unwrap();
    let both = [&followed, &joined];
    for collection in both {
        assert_eq!(collection.len(), 1);
        let refused = collection.damage.check("", "pods", "/registry/pods/a/").unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (500, "StorageReadError"));
        let told = "failed to read one or more pods from the storage: StorageError: corrupt object, Code: 7, Key: \
                    /registry/pods/a/bad, ResourceVersion: 0, AdditionalErrorMsg: object not decodable revision=";
        assert!(refused.message.starts_with(told), "{refused}");
        let causes = refused.details.unwrap().causes;
        assert_eq!((causes.len(), &*causes[0].field), (1, "/registry/pods/a/bad"));
        assert!(collection.damage.check("", "pods", "/registry/pods/b/").is_ok());
    }
    hub.store().write(Write::delete("/registry/pods/a/bad", Expect::Any)).await.unwrap();
    hub.catch_up().await.unwrap();
    for collection in both {
        assert!(collection.damage.check("", "pods", "/registry/pods/").is_ok());
    }
}

#[tokio::test]
async fn a_watcher_from_before_everything_was_read_again_is_told_so() {
    let (hub, collection) = pods().await;
    let start = hub.catch_up().await.unwrap();
    let mut watcher = Watcher::after(&collection, start).unwrap();
    put(&hub, &collection, "p", "n").await;
    hub.catch_up().await.unwrap();
    assert_eq!(watcher.next().await.unwrap().len(), 1);
    // If the store's watch breaks, changes may be missing between before and after.
    collection.load(&[], hub.revision());
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

/// The cache needs only what etcd provides: no previous versions, no shared memory, no separate revision for each key,
/// and no answers of unlimited size.
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
    assert_eq!(hub.snapshot(&collection).count("b"), 600);
    let start = hub.catch_up().await.unwrap();
    let mut watcher = Watcher::after(&collection, start).unwrap();
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
    let snapshot = hub.snapshot(&collection);
    assert_eq!((snapshot.count("a"), snapshot.revision), (2, shared));
    assert_eq!(Watcher::after(&collection, shared - 1).unwrap().next().await.unwrap().len(), 3);
    assert!(Watcher::after(&collection, shared).unwrap().is_waiting());
}

/// A list between two changes of one revision claims to have both: its watcher would miss the second.
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
                odd += hub.snapshot(&collection).count("a") % 2;
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
    assert_eq!(hub.snapshot(&collection).count("a"), 400);
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
    let before = hub.snapshot(&collection);
    delete(&hub, &collection, "p").await;
    delete(&hub, &collection, "none").await;
    hub.catch_up().await.unwrap();
    let counts = |snapshot: &Snapshot| ["", "a", "b", "c"].map(|namespace| snapshot.count(namespace));
    assert_eq!(counts(&before), [3, 2, 1, 0]);
    assert_eq!(counts(&hub.snapshot(&collection)), [2, 1, 1, 0]);
}

#[tokio::test]
async fn what_the_cache_does_is_measured() {
    let exposition = ::metrics::Exposition::default();
    let store: Arc<dyn Store> = Arc::new(Embedded::in_memory(Clock::system()));
    let pod = r#"{"metadata":{"namespace":"a","name":"old","uid":"u"}}"#;
    store.write(Write::put("/registry/pods/a/old", pod, Expect::Any)).await.unwrap();
    let hub = Arc::new(Hub::measured(store, exposition.with(CacheMetrics::register)));
    let collection = Arc::new(
        Collection::new(CollectionSpec {
            prefix: "/registry/pods/".into(),
            type_meta: TypeMeta::new("v1", "Pod"),
            fields: Box::new(|_| FieldValues::default()),
            leases: None,
            amend: None,
        })
        .measured_by(hub.metrics().of("", "pods")),
    );
    hub.add(Arc::clone(&collection));
    hub.start().await.unwrap();
    let mut slow = Watcher::after(&collection, hub.revision()).unwrap();
    put(&hub, &collection, "web", "n").await;
    let last = put(&hub, &collection, "web", "m").await;
    hub.wait_for(last).await.unwrap();
    hub.forget_before(store::Revision(last));
    assert!(matches!(slow.next().await, Err(CacheError::TooOld { .. })));
    let broken = Write::put("/registry/pods/a/broken", "{", Expect::Any);
    let kv = store::KeyValue {
        key: broken.key.clone(),
        value: "{".into(),
        create_revision: store::Revision(9),
        mod_revision: store::Revision(9),
        version: 1,
        lease: None,
    };
    collection.decode(&kv).unwrap_err();
    let text = exposition.text();
    for sample in [
        "apiserver_watch_cache_initializations_total{group=\"\",resource=\"pods\"} 1\n",
        "apiserver_init_events_total{group=\"\",resource=\"pods\"} 1\n",
        "apiserver_watch_cache_events_received_total{group=\"\",resource=\"pods\"} 2\n",
        "apiserver_watch_cache_events_dispatched_total{group=\"\",resource=\"pods\"} 2\n",
        "apiserver_terminated_watchers_total{group=\"\",resource=\"pods\"} 1\n",
        "apiserver_storage_decode_errors_total{group=\"\",resource=\"pods\"} 1\n",
    ] {
        assert!(text.contains(sample), "no {sample} in\n{text}");
    }
}
