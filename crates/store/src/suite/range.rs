//! Ranges: keys, counts, revisions.

use std::sync::Arc;

use super::{Refusal, commit, delete, pairs, put, refusal};
use crate::{Expect, RangeContent, RangeRequest, Revision, Store, Write};

async fn fill(store: &Arc<dyn Store>) -> Revision {
    for key in ["/a/1", "/a/2", "/a/3", "/a/4", "/a/5", "/a0", "/b/1"] {
        put(store, key, key).await;
    }
    store.current_revision().await.expect("the store is open")
}

fn keys(pairs: Vec<(String, String)>) -> Vec<String> {
    pairs.into_iter().map(|(key, _)| key).collect()
}

/// An empty store returns empty ranges.
pub async fn nothing_is_found_in_an_empty_store(store: &Arc<dyn Store>) {
    for request in [RangeRequest::prefix(""), RangeRequest::exact("/a"), RangeRequest::prefix("/a").limit(1)]
    {
        let response = store.range(request).await.expect("an empty range can be read");
        assert_eq!((response.kvs.len(), response.count, response.more), (0, None, false));
        assert_eq!(response.revision, store.current_revision().await.expect("the store is open"));
    }
}

/// A prefix is bytes, not a path; an exact range is one key.
pub async fn exact_and_prefix(store: &Arc<dyn Store>) {
    fill(store).await;
    for key in [&b"/z\xff"[..], b"/z\xff\xff", b"/z\xff\xffq", b"\xff\xff"] {
        commit(store, Write::put(key, "edge", Expect::Absent)).await;
    }
    for (request, expected) in [
        (RangeRequest::exact("/a/3"), 1),
        (RangeRequest::exact("/a"), 0),
        (RangeRequest::prefix("/a/"), 5),
        (RangeRequest::prefix("/a"), 6),
        (RangeRequest::prefix("/a/3"), 1),
        (RangeRequest::prefix("/c"), 0),
        (RangeRequest::prefix(&b"/z\xff"[..]), 3),
        (RangeRequest::prefix(&b"/z\xff\xff"[..]), 2),
        (RangeRequest::prefix(&b"\xff"[..]), 1),
        (RangeRequest::prefix(""), 11),
    ] {
        let found = pairs(store, request.clone()).await;
        assert_eq!(found.len(), expected, "{request:?}");
        assert!(found.is_sorted(), "{request:?}");
    }
}

/// Limit and continue key walk a range; each page reports what remains, if requested.
pub async fn pages(store: &Arc<dyn Store>) {
    fill(store).await;
    let mut request = RangeRequest::prefix("/a/").limit(2).counted();
    let mut pages = Vec::new();
    loop {
        let page = store.range(request.clone()).await.expect("a page can be read");
        pages.push((page.kvs.len(), page.count, page.more));
        let Some(last) = page.kvs.last().filter(|_| page.more) else { break };
        request = request.after(last.key.clone());
    }
    assert_eq!(pages, [(2, Some(5), true), (2, Some(3), true), (1, Some(1), false)]);
    let exact = store.range(RangeRequest::prefix("/a/").limit(5)).await.expect("a page can be read");
    assert!(!exact.more, "the limit cut nothing");
    assert_eq!(exact.count, None, "nobody asked for a count");
    for (after, expected) in [("/a/4", 1), ("/a/5", 0), ("/a/35", 2), ("/b", 0), ("/", 5), ("/a/", 5)] {
        let rest = pairs(store, RangeRequest::prefix("/a/").after(after)).await;
        assert_eq!(rest.len(), expected, "after {after}");
    }
}

/// The pages of a list show one moment, whatever is written in between.
pub async fn pages_at_one_revision(store: &Arc<dyn Store>) {
    let revision = fill(store).await;
    let first = RangeRequest::prefix("/a/").at(revision).limit(3);
    assert_eq!(keys(pairs(store, first.clone()).await), ["/a/1", "/a/2", "/a/3"]);
    delete(store, "/a/4").await;
    put(store, "/a/45", "new").await;
    put(store, "/a/5", "changed").await;
    let rest = store.range(first.after("/a/3").counted()).await.expect("the revision is kept");
    assert_eq!((rest.count, rest.more, rest.revision), (Some(2), false, revision));
    let values: Vec<_> = rest.kvs.iter().map(|kv| kv.value.clone()).collect();
    assert_eq!(values, ["/a/4", "/a/5"]);
}

/// Answers without values and without pairs.
pub async fn keys_and_counts(store: &Arc<dyn Store>) {
    fill(store).await;
    let keys_only = RangeRequest::prefix("/a/").limit(2).counted().content(RangeContent::KeysOnly);
    let response = store.range(keys_only).await.expect("the range can be read");
    assert_eq!((response.kvs.len(), response.count, response.more), (2, Some(5), true));
    assert!(response.kvs.iter().all(|kv| kv.value.is_empty() && !kv.key.is_empty() && kv.version == 1));
    let count_only = RangeRequest::prefix("/a").content(RangeContent::CountOnly);
    let response = store.range(count_only).await.expect("the range can be read");
    assert_eq!((response.kvs.len(), response.count, response.more), (0, Some(6), false));
}

/// Every revision since the start can be read unchanged.
pub async fn past_revisions(store: &Arc<dyn Store>) {
    let empty = store.current_revision().await.expect("the store is open");
    let created = put(store, "/a", "1").await;
    let changed = put(store, "/a", "2").await;
    let deleted = delete(store, "/a").await;
    let recreated = put(store, "/a", "3").await;
    for (revision, expected) in
        [(empty, None), (created, Some("1")), (changed, Some("2")), (deleted, None), (recreated, Some("3"))]
    {
        let found = pairs(store, RangeRequest::exact("/a").at(revision)).await;
        assert_eq!(found.first().map(|(_, value)| value.as_str()), expected, "at {revision}");
    }
}

/// A revision that does not exist yet cannot be read.
pub async fn future_revisions_are_refused(store: &Arc<dyn Store>) {
    let revision = fill(store).await;
    let result = store.range(RangeRequest::prefix("/").at(revision.next())).await;
    assert_eq!(refusal(result), Refusal::Future);
}
