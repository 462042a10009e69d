//! Watches: events, starting revisions, order.

use std::sync::Arc;

use futures::FutureExt;
use futures::StreamExt;

use super::{Refusal, Watched, commit, delete, put, refusal};
use crate::{Event, Expect, KeyRange, Revision, Store, WatchRequest, Write};

/// Creation, change and deletion, each with its revision, and with the previous version if the watch requested it.
pub async fn events_carry_previous_versions_on_request(store: &Arc<dyn Store>) {
    let mut plain = Watched::start(store, WatchRequest::prefix("/a/")).await;
    let mut watch = Watched::start(store, WatchRequest::prefix("/a/").previous()).await;
    let created = put(store, "/a/1", "1").await;
    let changed = put(store, "/a/1", "2").await;
    let deleted = delete(store, "/a/1").await;
    let events = watch.events(3).await;
    assert_eq!(events.iter().map(Event::revision).collect::<Vec<_>>(), [created, changed, deleted]);
    assert_eq!(events.iter().map(|event| event.key().clone()).collect::<Vec<_>>(), ["/a/1"; 3]);
    let [Event::Put { kv: first, prev: None }, Event::Put { kv: second, prev: Some(before) }, last] =
        &events[..]
    else {
        panic!("a creation, a change and one more: {events:?}");
    };
    assert_eq!((first, &first.value, &second.value), (before, &"1".into(), &"2".into()));
    assert_eq!((second.create_revision, second.mod_revision, second.version), (created, changed, 2));
    assert_eq!(*last, Event::Delete { key: "/a/1".into(), revision: deleted, prev: Some(second.clone()) });
    assert_eq!(events.iter().map(Event::is_creation).collect::<Vec<_>>(), [true, false, false]);
    let bare: Vec<_> = events.into_iter().map(Event::without_previous).collect();
    assert_eq!(plain.events(3).await, bare);
}

/// Keys that change together, such as those of an expiring lease, arrive together, whether they share a revision or
/// not: no batch ends within a revision, and each key appears once.
pub async fn events_of_one_revision_come_in_one_batch(store: &Arc<dyn Store>) {
    const KEYS: usize = 300;
    let lease =
        store.grant_lease(std::time::Duration::from_secs(3600)).await.expect("the store grants leases");
    let mut all = Watched::start(store, WatchRequest::prefix("/")).await;
    let mut some = Watched::start(store, WatchRequest::prefix("/a/").previous()).await;
    for number in 0..KEYS {
        let prefix = if number % 2 == 0 { "/a/" } else { "/b/" };
        let write = Write::put(format!("{prefix}{number}"), number.to_string(), Expect::Absent);
        commit(store, write.lease(lease)).await;
    }
    all.events(KEYS).await;
    some.events(KEYS / 2).await;
    let before = store.current_revision().await.expect("the store is open");
    store.revoke_lease(lease).await.expect("the lease exists");
    let mut keys: Vec<_> = all.events(KEYS).await.iter().map(|event| event.key().clone()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), KEYS);
    let of_some = some.events(KEYS / 2).await;
    assert!(of_some.iter().all(|event| event.prev().is_some_and(|prev| prev.lease == Some(lease))));
    // A watch from the previous revision gets all of it again.
    let mut late = Watched::start(store, WatchRequest::prefix("/").from(before)).await;
    assert_eq!(late.events(KEYS).await.len(), KEYS);
}

/// A watch from a revision delivers everything after it, past and coming, and not that revision itself.
pub async fn starts_strictly_after(store: &Arc<dyn Store>) {
    let first = put(store, "/a", "1").await;
    put(store, "/a", "2").await;
    put(store, "/a", "3").await;
    let mut watch = Watched::start(store, WatchRequest::prefix("/").from(first)).await;
    let seen = watch.events(2).await;
    assert_eq!(seen.iter().map(|event| event.revision().0 - first.0).collect::<Vec<_>>(), [1, 2]);
    let last = put(store, "/a", "4").await;
    assert_eq!(watch.events(1).await[0].revision(), last);
    let mut current = Watched::start(store, WatchRequest::prefix("/").from(last)).await;
    let next = put(store, "/a", "5").await;
    assert_eq!(current.events(1).await[0].revision(), next);
}

/// A watch without a revision delivers no past events.
pub async fn starts_now(store: &Arc<dyn Store>) {
    put(store, "/a", "1").await;
    let mut watch = Watched::start(store, WatchRequest::prefix("/")).await;
    let revision = put(store, "/a", "2").await;
    assert_eq!(watch.events(1).await[0].revision(), revision);
}

/// Other keys' events are not delivered.
pub async fn sees_its_range_only(store: &Arc<dyn Store>) {
    let mut prefix = Watched::start(store, WatchRequest::prefix("/a/")).await;
    let exact = WatchRequest { range: KeyRange::exact("/a/2"), ..WatchRequest::prefix("") };
    let mut exact = Watched::start(store, exact).await;
    for key in ["/b/1", "/a/1", "/a", "/a/2", "/a/22", "/a0", "/a/2"] {
        put(store, key, "x").await;
    }
    let keys = |events: Vec<Event>| events.iter().map(|event| event.key().clone()).collect::<Vec<_>>();
    assert_eq!(keys(prefix.events(4).await), ["/a/1", "/a/2", "/a/22", "/a/2"]);
    assert_eq!(keys(exact.events(2).await), ["/a/2", "/a/2"]);
}

/// A watch cannot start at a revision that does not exist yet.
pub async fn future_revisions_are_refused(store: &Arc<dyn Store>) {
    let revision = put(store, "/a", "1").await;
    let result = store.watch(WatchRequest::prefix("/").from(revision.next())).await;
    assert_eq!(refusal(result.map(|_| ())), Refusal::Future);
}

/// A late reader gets everything, once, in order.
pub async fn a_long_backlog_comes_in_order(store: &Arc<dyn Store>) {
    const WRITERS: usize = 16;
    const WRITES: usize = 150;
    let start = store.current_revision().await.expect("the store is open");
    let mut early = Watched::start(store, WatchRequest::prefix("/")).await;
    let tasks: Vec<_> = (0..WRITERS)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..WRITES {
                    put(&store, "/a", "x").await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("the writer ends");
    }
    let late = WatchRequest::prefix("/").from(start);
    let late = Watched::start(store, late).await.events(WRITERS * WRITES).await;
    let revisions: Vec<_> = late.iter().map(Event::revision).collect();
    let expected: Vec<_> = (1..).map(|n| Revision(start.0 + n)).take(WRITERS * WRITES).collect();
    assert_eq!(revisions, expected);
    assert_eq!(early.events(WRITERS * WRITES).await, late);
}

/// Progress requested after a write arrives after that write's event, and includes it.
pub async fn progress_follows_events(store: &Arc<dyn Store>) {
    let mut concerned = Watched::start(store, WatchRequest::prefix("/a").progress()).await;
    let mut idle = Watched::start(store, WatchRequest::prefix("/b").progress()).await;
    for round in 0..20 {
        let revision = put(store, "/a", round.to_string()).await;
        store.request_progress().await.expect("the store is open");
        let mut seen = false;
        loop {
            let batch = concerned.batch().await;
            seen |= batch.events.iter().any(|event| event.revision() == revision);
            if batch.events.is_empty() && batch.revision >= revision {
                break;
            }
        }
        assert!(seen, "the event comes before the progress that covers it");
        while idle.batch().await.revision < revision {}
    }
}

/// A watch that does not take progress batches gets none.
pub async fn progress_only_on_request(store: &Arc<dyn Store>) {
    let mut plain = Watched::start(store, WatchRequest::prefix("/a")).await;
    let mut asking = Watched::start(store, WatchRequest::prefix("/a").progress()).await;
    store.request_progress().await.expect("the store is open");
    assert!(asking.batch().await.events.is_empty());
    assert!(plain.stream.next().now_or_never().is_none(), "nothing to deliver");
    put(store, "/a", "1").await;
    assert_eq!(plain.batch().await.events.len(), 1);
}

/// Watches of the same range deliver the same events.
pub async fn all_watchers_see_the_same(store: &Arc<dyn Store>) {
    let mut watches = Vec::new();
    for _ in 0..5 {
        watches.push(Watched::start(store, WatchRequest::prefix("/")).await);
    }
    for key in ["/a", "/b", "/a"] {
        put(store, key, "x").await;
    }
    delete(store, "/a").await;
    let mut expected = None;
    for mut watch in watches {
        let events = watch.events(4).await;
        assert_eq!(*expected.get_or_insert_with(|| events.clone()), events);
    }
}
