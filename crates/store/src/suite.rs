//! Tests that every backend of [`Store`](crate::Store) must pass.
//!
//! A backend's test file names a factory of fresh stores and gets one test per case:
//!
//! ```text
//! mod memory {
//!     async fn fresh() -> store::suite::Fixture { ... }
//!     store::suite_tests!(fresh);
//! }
//! ```
//!
//! The cases are separate functions, so that code that implements only a part of a store (a watch cache) can run those
//! that apply to it.
//!
//! [`EtcdLike`] is a backend that provides only what the trait promises, as etcd does. Code that uses a store runs its
//! tests on it too, so as not to depend on more.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use crate::{
    Event, Expect, KeyValue, RangeRequest, Revision, Store, StoreError, WatchBatch, WatchRequest,
    WatchStream, Write, WriteOutcome,
};

pub mod compact;
mod etcd_like;
pub mod lease;
pub mod range;
pub mod watch;
pub mod write;

pub use etcd_like::EtcdLike;

/// How long a case waits for something that must happen.
const LIMIT: Duration = Duration::from_secs(60);

/// A fresh store, and values that must live as long as it (its directory, its server).
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Dropped after the store.
    pub guard: Box<dyn Any + Send>,
}

impl Fixture {
    /// A store and its guard.
    pub fn new(store: impl Store, guard: impl Any + Send) -> Fixture {
        Fixture { store: Arc::new(store), guard: Box::new(guard) }
    }
}

/// Makes a `#[tokio::test]` of each case, on stores of the given `async fn() -> Fixture`.
#[macro_export]
macro_rules! suite_tests {
    ($fresh:ident) => {
        $crate::suite_tests!($fresh, range: [
            nothing_is_found_in_an_empty_store, exact_and_prefix, pages, pages_at_one_revision, keys_and_counts,
            past_revisions, future_revisions_are_refused,
        ]);
        $crate::suite_tests!($fresh, write: [
            versions_and_revisions, preconditions, deleting_what_is_absent, recreation_starts_over,
            concurrent_increments, large_values,
        ]);
        $crate::suite_tests!($fresh, watch: [
            events_carry_previous_versions_on_request, events_of_one_revision_come_in_one_batch, starts_strictly_after, starts_now, sees_its_range_only,
            future_revisions_are_refused, a_long_backlog_comes_in_order, progress_follows_events,
            progress_only_on_request, all_watchers_see_the_same,
        ]);
        $crate::suite_tests!($fresh, compact: [
            older_revisions_are_gone, only_forward, watches_from_before_are_refused, open_watches_go_on,
        ]);
        $crate::suite_tests!($fresh, lease: [
            revocation_deletes, expiry_deletes, keep_alive_prolongs, a_put_detaches, unknown_leases_are_refused,
        ]);
    };
    ($fresh:ident, $group:ident: [$($case:ident),* $(,)?]) => {
        mod $group {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    let fixture = super::$fresh().await;
                    $crate::suite::$group::$case(&fixture.store).await;
                }
            )*
        }
    };
}

/// Writes; returns the revision and the replaced version. Fails the test on a conflict.
pub async fn commit(store: &Arc<dyn Store>, write: Write) -> (Revision, Option<Arc<KeyValue>>) {
    match store.write(write).await {
        Ok(WriteOutcome::Committed { revision, previous }) => (revision, previous),
        other => panic!("the write should have been committed: {other:?}"),
    }
}

/// Puts without precondition; returns the revision.
pub async fn put(store: &Arc<dyn Store>, key: &'static str, value: impl Into<String>) -> Revision {
    commit(store, Write::put(key, value.into(), Expect::Any)).await.0
}

/// Deletes without precondition; returns the revision.
pub async fn delete(store: &Arc<dyn Store>, key: &'static str) -> Revision {
    commit(store, Write::delete(key, Expect::Any)).await.0
}

/// The keys and values that a range answers, as text.
pub async fn pairs(store: &Arc<dyn Store>, request: RangeRequest) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let response = store.range(request).await.expect("the range can be read");
    response.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value.to_cow()))).collect()
}

/// The refusal of a store, in a comparable form.
#[derive(Debug, PartialEq, Eq)]
enum Refusal {
    Compacted,
    Future,
    NoLease,
}

/// The expected refusal.
fn refusal<T>(result: Result<T, StoreError>) -> Refusal {
    match result.err() {
        Some(StoreError::Compacted { .. }) => Refusal::Compacted,
        Some(StoreError::FutureRevision { .. }) => Refusal::Future,
        Some(StoreError::LeaseNotFound(_)) => Refusal::NoLease,
        other => panic!("no such refusal: {other:?}"),
    }
}

/// A watch under test.
struct Watched {
    stream: WatchStream,
    last: Revision,
}

impl Watched {
    async fn start(store: &Arc<dyn Store>, request: WatchRequest) -> Watched {
        let last = request.from.unwrap_or_default();
        let stream = store.watch(request).await.expect("the watch starts");
        Watched { stream, last }
    }

    /// The next batch, with checks of the invariants of batches.
    async fn batch(&mut self) -> WatchBatch {
        let next = tokio::time::timeout(LIMIT, self.stream.next()).await.expect("the watch goes on");
        let batch = next.expect("the watch does not end").expect("the watch does not fail");
        let mut keys = std::collections::BTreeSet::new();
        let mut last = self.last;
        for event in &batch.events {
            // One revision may have several events, but not in two batches, and not two of one key.
            assert!(event.revision() > self.last, "{:?} in a batch after {}", event, self.last);
            assert!(event.revision() >= last, "{:?} after {last}", event);
            assert!(keys.insert((event.revision(), event.key().clone())), "{event:?} comes twice");
            last = event.revision();
        }
        assert!(batch.revision >= last, "a batch reaches at least its last event");
        self.last = batch.revision;
        batch
    }

    /// The next `count` events.
    async fn events(&mut self, count: usize) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < count {
            events.extend(self.batch().await.events);
        }
        assert_eq!(events.len(), count, "no more events than expected");
        events
    }
}
