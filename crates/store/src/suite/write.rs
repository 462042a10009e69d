//! Writes: preconditions, revisions, answers.

use std::sync::Arc;

use super::{commit, delete, put};
use crate::{Bytes, Expect, KeyValue, RangeRequest, Revision, Store, Write, WriteOutcome};

async fn get(store: &Arc<dyn Store>, key: &'static str) -> Option<Arc<KeyValue>> {
    store.range(RangeRequest::exact(key)).await.expect("the key can be read").kvs.pop()
}

/// A key's revisions and version over its life; every write is the store's next revision.
pub async fn versions_and_revisions(store: &Arc<dyn Store>) {
    let (created, previous) = commit(store, Write::put("/a", "1", Expect::Absent)).await;
    assert_eq!(previous, None);
    let other = put(store, "/b", "x").await;
    assert_eq!(other, created.next());
    let (changed, previous) = commit(store, Write::put("/a", "2", Expect::ModRevision(created))).await;
    assert_eq!(changed, other.next());
    let previous = previous.expect("the write replaced a version");
    assert_eq!((&previous.value, previous.mod_revision, previous.version), (&"1".into(), created, 1));
    let now = get(store, "/a").await.expect("the key exists");
    let expected = KeyValue {
        key: "/a".into(),
        value: "2".into(),
        create_revision: created,
        mod_revision: changed,
        version: 2,
        lease: None,
    };
    assert_eq!(*now, expected);
    let (deleted, previous) = commit(store, Write::delete("/a", Expect::ModRevision(changed))).await;
    assert_eq!((deleted, previous), (changed.next(), Some(now)));
    assert_eq!(get(store, "/a").await, None);
    assert_eq!(store.current_revision().await.expect("the store is open"), deleted);
}

/// Every precondition against a key that is absent, and one that exists: a failed one changes nothing and returns the
/// current version.
pub async fn preconditions(store: &Arc<dyn Store>) {
    let revision = put(store, "/there", "x").await;
    let stale = Revision(revision.0 - 1);
    for (key, expect, holds) in [
        ("/absent", Expect::ModRevision(revision), false),
        ("/absent", Expect::ModRevision(Revision(0)), false),
        ("/there", Expect::Absent, false),
        ("/there", Expect::ModRevision(stale), false),
        ("/there", Expect::ModRevision(revision.next()), false),
        ("/there", Expect::ModRevision(revision), true),
    ] {
        for write in [Write::put(key, "y", expect), Write::delete(key, expect)] {
            if holds {
                continue;
            }
            let outcome = store.write(write.clone()).await.expect("a conflict is no error");
            let current = get(store, key).await;
            assert_eq!(outcome, WriteOutcome::Conflict { current, revision }, "{write:?}");
        }
    }
    assert_eq!(store.current_revision().await.expect("the store is open"), revision);
    commit(store, Write::put("/absent", "y", Expect::Absent)).await;
    let (_, previous) = commit(store, Write::delete("/there", Expect::ModRevision(revision))).await;
    assert_eq!(previous.map(|kv| kv.mod_revision), Some(revision));
}

/// Deleting a missing key is not a change.
pub async fn deleting_what_is_absent(store: &Arc<dyn Store>) {
    let revision = put(store, "/a", "x").await;
    for expect in [Expect::Any, Expect::Absent] {
        assert_eq!(commit(store, Write::delete("/b", expect)).await, (revision, None));
    }
    assert_eq!(put(store, "/a", "y").await, revision.next());
}

/// A recreated key has nothing in common with the old one.
pub async fn recreation_starts_over(store: &Arc<dyn Store>) {
    put(store, "/a", "1").await;
    put(store, "/a", "2").await;
    delete(store, "/a").await;
    let (revision, previous) = commit(store, Write::put("/a", "3", Expect::Absent)).await;
    assert_eq!(previous, None);
    let kv = get(store, "/a").await.expect("the key exists");
    assert_eq!((kv.create_revision, kv.mod_revision, kv.version), (revision, revision, 1));
}

/// Compare-and-write from many tasks loses no increment, and no revision is given twice.
pub async fn concurrent_increments(store: &Arc<dyn Store>) {
    const TASKS: usize = 8;
    const INCREMENTS: usize = 20;
    let start = commit(store, Write::put("/counter", "0", Expect::Absent)).await.0;
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                let mut current = get(&store, "/counter").await.expect("the counter exists");
                while revisions.len() < INCREMENTS {
                    let value =
                        String::from_utf8_lossy(&current.value.to_cow()).parse::<usize>().expect("a number");
                    let expect = Expect::ModRevision(current.mod_revision);
                    let write = Write::put("/counter", (value + 1).to_string(), expect);
                    match store.write(write).await.expect("the store is open") {
                        WriteOutcome::Committed { revision, .. } => {
                            revisions.push(revision);
                            current = get(&store, "/counter").await.expect("the counter exists");
                        }
                        WriteOutcome::Conflict { current: newer, .. } => {
                            current = newer.expect("the counter exists");
                        }
                    }
                }
                revisions
            })
        })
        .collect();
    let mut revisions = Vec::new();
    for task in tasks {
        let own = task.await.expect("the task ends");
        assert!(own.is_sorted(), "a writer's revisions rise");
        revisions.extend(own);
    }
    revisions.sort_unstable();
    revisions.dedup();
    assert_eq!(revisions.len(), TASKS * INCREMENTS);
    let counter = get(store, "/counter").await.expect("the counter exists");
    assert_eq!(counter.value, (TASKS * INCREMENTS).to_string());
    assert_eq!((counter.mod_revision.0 - start.0) as usize, TASKS * INCREMENTS);
}

/// Empty values, binary ones, and one as large as etcd takes by default (1.5 MiB with its request).
pub async fn large_values(store: &Arc<dyn Store>) {
    let large: Vec<u8> = (0..1_500_000_usize).map(|index| (index % 251) as u8).collect();
    for value in [Bytes::new(), Bytes::from_static(b"\0\xff\0"), Bytes::from(large)] {
        commit(store, Write::put("/a", value.clone(), Expect::Any)).await;
        assert_eq!(get(store, "/a").await.expect("the key exists").value, value);
    }
}
