//! Compaction: what is removed, and what continues to work.

use std::sync::Arc;

use super::{Refusal, Watched, delete, pairs, put, refusal};
use crate::{RangeRequest, Revision, Store, StoreError, WatchRequest};

/// Revisions of `/a`: created, changed, deleted, created again.
async fn history(store: &Arc<dyn Store>) -> [Revision; 4] {
    [
        put(store, "/a", "1").await,
        put(store, "/a", "2").await,
        delete(store, "/a").await,
        put(store, "/a", "3").await,
    ]
}

async fn compact(store: &Arc<dyn Store>, revision: Revision) {
    store.compact(revision).await.expect("the revision can be compacted");
}

/// Reads at the compacted revision and later work; earlier ones report the oldest revision.
pub async fn older_revisions_are_gone(store: &Arc<dyn Store>) {
    let [created, changed, deleted, recreated] = history(store).await;
    compact(store, changed).await;
    let request = |revision| RangeRequest::exact("/a").at(revision);
    match store.range(request(created)).await {
        Err(StoreError::Compacted { requested, oldest }) => {
            assert_eq!((requested, oldest), (created, changed))
        }
        other => panic!("the revision should be gone: {other:?}"),
    }
    assert_eq!(pairs(store, request(changed)).await.len(), 1);
    assert_eq!(pairs(store, request(deleted)).await.len(), 0);
    assert_eq!(pairs(store, request(recreated)).await.len(), 1);
    compact(store, recreated).await;
    assert_eq!(refusal(store.range(request(deleted)).await), Refusal::Compacted);
    assert_eq!(pairs(store, RangeRequest::exact("/a")).await, [("/a".to_owned(), "3".to_owned())]);
}

/// Compacting again to the same or an older revision, or to one that does not exist, is refused.
pub async fn only_forward(store: &Arc<dyn Store>) {
    let [created, changed, _, last] = history(store).await;
    compact(store, changed).await;
    assert_eq!(refusal(store.compact(changed).await), Refusal::Compacted);
    assert_eq!(refusal(store.compact(created).await), Refusal::Compacted);
    assert_eq!(refusal(store.compact(last.next()).await), Refusal::Future);
    compact(store, last).await;
    assert_eq!(put(store, "/b", "x").await, last.next());
}

/// A watch whose next event may be gone does not start; one from the compacted revision does.
pub async fn watches_from_before_are_refused(store: &Arc<dyn Store>) {
    let [created, changed, deleted, recreated] = history(store).await;
    compact(store, changed).await;
    let result = store.watch(WatchRequest::prefix("/").from(created)).await;
    assert_eq!(refusal(result.map(|_| ())), Refusal::Compacted);
    let mut watch = Watched::start(store, WatchRequest::prefix("/").from(changed)).await;
    let revisions: Vec<_> = watch.events(2).await.iter().map(|event| event.revision()).collect();
    assert_eq!(revisions, [deleted, recreated]);
}

/// A watch that has delivered everything, or that nothing concerned, is not disturbed.
pub async fn open_watches_go_on(store: &Arc<dyn Store>) {
    let mut concerned = Watched::start(store, WatchRequest::prefix("/a")).await;
    let mut idle = Watched::start(store, WatchRequest::prefix("/b")).await;
    let [.., last] = history(store).await;
    concerned.events(4).await;
    compact(store, last).await;
    for (watch, key) in [(&mut concerned, "/a"), (&mut idle, "/b")] {
        let revision = put(store, key, "x").await;
        assert_eq!(watch.events(1).await[0].revision(), revision);
    }
}
