//! Tests of properties that the shared suite cannot see: the disk, the limits, failures.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clock::Clock;
use futures::StreamExt;
use parking_lot::Mutex;
use tempfile::TempDir;

mod churn;
mod damage;
mod full;

use super::engine::Engine;
use super::loaded::Loaded;
use super::space::Space;
use super::writer::Writer;
use super::{Embedded, OpenError, Options, restore};
use crate::damage::Damage;
use crate::disk::LogError;
use crate::log::{DiscardLog, Found, Log, Record, Sink, SqliteLog};
use crate::{Event, Expect, RangeRequest, Revision, Store, StoreError, WatchRequest, Write, WriteOutcome};

async fn open(directory: &Path) -> Embedded {
    Embedded::open(Options::new(directory, Clock::system())).await.unwrap()
}

async fn open_with_history(directory: &Path, history_bytes: usize) -> Embedded {
    let options = Options { history_bytes, ..Options::new(directory, Clock::system()) };
    Embedded::open(options).await.unwrap()
}

async fn put(store: &Embedded, key: impl Into<String>, value: impl Into<String>) -> Revision {
    match store.write(Write::put(key.into(), value.into(), Expect::Any)).await.unwrap() {
        WriteOutcome::Committed { revision, .. } => revision,
        conflict => panic!("{conflict:?}"),
    }
}

async fn delete(store: &Embedded, key: &'static str) {
    store.write(Write::delete(key, Expect::Any)).await.unwrap();
}

async fn values(store: &Embedded, request: RangeRequest) -> Vec<String> {
    let kvs = store.range(request).await.unwrap().kvs;
    kvs.iter().map(|kv| String::from_utf8_lossy(&kv.value.to_cow()).into_owned()).collect()
}

/// The puts and deletions in the database of a closed store.
fn logged_revisions(directory: &Path) -> Vec<u64> {
    let mut revisions = Vec::new();
    let Ok(Found::Current(mut log)) = SqliteLog::find(&directory.join("state.db"), true) else {
        panic!("there is a log");
    };
    log.scan(&mut |record| {
        match record {
            Record::Put(kv) => revisions.push(kv.mod_revision.0),
            Record::Delete { revision, .. } => revisions.push(revision.0),
            Record::GrantLease { .. } | Record::RevokeLease { .. } => {}
        }
        Ok(())
    })
    .unwrap();
    revisions
}

/// A log whose next append can be made to fail, as on a broken disk.
struct FailingLog {
    inner: DiscardLog,
    broken: Arc<AtomicBool>,
}

impl Log for FailingLog {
    fn append_batch(&mut self, records: &[Record]) -> Result<(), LogError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(std::io::Error::from(std::io::ErrorKind::Other).into());
        }
        self.inner.append_batch(records)
    }

    fn compacted(&mut self) -> Result<Revision, LogError> {
        self.inner.compacted()
    }

    fn scan(&mut self, sink: &mut Sink<'_>) -> Result<Damage, LogError> {
        self.inner.scan(sink)
    }

    fn compact(&mut self, compacted: Revision, superseded: &[Revision]) -> Result<bool, LogError> {
        self.inner.compact(compacted, superseded)
    }

    fn tidy(&mut self) -> Result<(), LogError> {
        self.inner.tidy()
    }
}

#[tokio::test]
async fn a_failed_sync_stops_everything_and_publishes_nothing() {
    let broken = Arc::new(AtomicBool::new(false));
    let mut log = FailingLog { inner: DiscardLog, broken: broken.clone() };
    let (loaded, _) = Loaded::read(&mut log).unwrap();
    let engine = Engine::new(Box::new(log), loaded, Space::unlimited(), usize::MAX);
    let (stopped, mut stops) = tokio::sync::mpsc::unbounded_channel();
    let on_fatal = Arc::new(move |error: &LogError| stopped.send(error.to_string()).unwrap());
    let shared = engine.shared().clone();
    let writer = Writer::spawn(engine, on_fatal).unwrap();
    let store = Embedded::start(shared.clone(), writer, Clock::system(), 1, None);
    let revision = put(&store, "/a", "durable").await;
    let mut watch = store.watch(WatchRequest::prefix("/").from(revision)).await.unwrap();

    broken.store(true, Ordering::Release);
    let lost = store.write(Write::put("/a", "lost", Expect::Any)).await;
    assert!(matches!(lost, Err(StoreError::Closed)), "{lost:?}");
    assert_eq!(stops.recv().await.as_deref(), Some("input or output failed"));
    assert!(matches!(watch.next().await, Some(Err(StoreError::Closed))));
    assert!(watch.next().await.is_none());
    assert_eq!(shared.view().revision, revision, "what is not durable is not visible");
    assert!(matches!(store.range(RangeRequest::exact("/a")).await, Err(StoreError::Closed)));
    let after = store.write(Write::put("/b", "x", Expect::Any)).await;
    assert!(matches!(after, Err(StoreError::Closed)), "{after:?}");
    assert!(stops.recv().await.is_none(), "it stops once");
}

#[tokio::test]
async fn a_second_process_is_refused_with_the_first_ones_id() {
    let directory = TempDir::new().unwrap();
    let first = open(directory.path()).await;
    // A lock belongs to an open file, so a second store in this process behaves like another process.
    match Embedded::open(Options::new(directory.path(), Clock::system())).await.err() {
        Some(OpenError::InUse { process, .. }) => assert_eq!(process, std::process::id().to_string()),
        other => panic!("{other:?}"),
    }
    drop(first);
    open(directory.path()).await;
}

#[tokio::test]
async fn files_are_the_owners_alone() {
    let parent = TempDir::new().unwrap();
    let directory = parent.path().join("server/db");
    let store = open(&directory).await;
    put(&store, "/a", "secret").await;
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&directory), 0o700);
    let files: Vec<_> = directory.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "database, write-ahead log and lock: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn history_and_leases_survive_a_restart() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await;
    let lease = store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    let revoked = store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    store.write(Write::put("/leased", "x", Expect::Any).lease(lease)).await.unwrap();
    let first = put(&store, "/a", "1").await;
    put(&store, "/a", "2").await;
    delete(&store, "/a").await;
    store.revoke_lease(revoked).await.unwrap();
    drop(store);

    let store = open(directory.path()).await;
    assert_eq!(values(&store, RangeRequest::exact("/a").at(first)).await, ["1"]);
    let mut watch = store.watch(WatchRequest::prefix("/a").from(first)).await.unwrap();
    let events = watch.next().await.unwrap().unwrap().events;
    assert!(matches!(&events[..], [Event::Put { .. }, Event::Delete { .. }]), "{events:?}");
    assert!(matches!(store.keep_lease_alive(revoked).await, Err(StoreError::LeaseNotFound(_))));
    store.keep_lease_alive(lease).await.unwrap();
    store.revoke_lease(lease).await.unwrap();
    assert_eq!(store.range(RangeRequest::prefix("/")).await.unwrap().kvs.len(), 0);
}

#[tokio::test]
async fn compaction_removes_records_and_shrinks_the_file() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await;
    for round in 0..3000 {
        put(&store, format!("/{}", round % 10), "x".repeat(20_000)).await;
    }
    delete(&store, "/0").await;
    let last = store.current_revision().await.unwrap();
    drop(store);
    let size_bytes = || directory.path().join("state.db").metadata().unwrap().len();
    assert!(size_bytes() > 60_000_000, "all history is on disk");

    // The start reads it again and finds the superseded records.
    let store = open(directory.path()).await;
    store.compact(last).await.unwrap();
    // Batches and pieces of the compaction take turns, so that a few writes complete it.
    for round in 0..60 {
        put(&store, "/again", round.to_string()).await;
    }
    drop(store);
    let left = logged_revisions(directory.path());
    assert_eq!(left.len(), 9 + 60, "the nine newest versions, and what is in history");
    assert!(size_bytes() < 20_000_000, "{} bytes", size_bytes());
    let store = open(directory.path()).await;
    assert_eq!(store.range(RangeRequest::prefix("/")).await.unwrap().kvs.len(), 10);
    assert_eq!(store.current_revision().await.unwrap(), Revision(last.0 + 60));
}

#[tokio::test]
async fn a_deleted_key_stays_deleted_though_the_last_revision_is_compacted_away() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).await;
    put(&store, "/a", "1").await;
    delete(&store, "/a").await;
    let last = store.current_revision().await.unwrap();
    store.compact(last).await.unwrap();
    // Answered after the batch before it, and the piece of compaction that follows that, are done.
    store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    drop(store);
    assert_eq!(logged_revisions(directory.path()), []);
    let store = open(directory.path()).await;
    assert_eq!(put(&store, "/a", "2").await, last.next(), "a revision is never given twice");
}

#[tokio::test]
async fn history_is_bounded_and_a_reader_too_slow_for_it_must_list_again() {
    let directory = TempDir::new().unwrap();
    let store = open_with_history(directory.path(), 100_000).await;
    let start = put(&store, "/a", "x".repeat(1000)).await;
    let mut slow = store.watch(WatchRequest::prefix("/a")).await.unwrap();
    let mut idle = store.watch(WatchRequest::prefix("/b")).await.unwrap();
    for _ in 0..200 {
        put(&store, "/a", "x".repeat(1000)).await;
    }
    assert!(store.shared.view().history_bytes() <= 100_000);
    let oldest = store.shared.view().compacted;
    assert!(oldest > start);
    match slow.next().await {
        Some(Err(StoreError::Compacted { requested, oldest: told })) => {
            assert_eq!((requested, told), (start.next(), oldest));
        }
        other => panic!("{other:?}"),
    }
    assert!(slow.next().await.is_none());
    let revision = put(&store, "/b", "x").await;
    assert_eq!(idle.next().await.unwrap().unwrap().events[0].revision(), revision);
    assert!(matches!(
        store.range(RangeRequest::exact("/a").at(start)).await,
        Err(StoreError::Compacted { .. })
    ));
}

#[tokio::test]
async fn the_past_can_be_read_across_checkpoints() {
    let store = Embedded::in_memory(Clock::system());
    let mut revisions = Vec::new();
    for round in 0..20_000 {
        revisions.push(put(&store, format!("/{}", round % 3), round.to_string()).await);
    }
    // A checkpoint is taken at each multiple of 4096; the store started at revision 1.
    let at_checkpoints = (1..=4).flat_map(|n| (4096 * n - 4)..(4096 * n + 2));
    for round in (2..20_000).step_by(997).chain(at_checkpoints) {
        let expected: Vec<_> =
            (0..3).map(|key| (0..=round).rev().find(|value| value % 3 == key).unwrap().to_string()).collect();
        let found = values(&store, RangeRequest::prefix("/").at(revisions[round])).await;
        assert_eq!(found, expected, "at {}", revisions[round]);
    }
    store.compact(revisions[15_000]).await.unwrap();
    let found = values(&store, RangeRequest::exact("/0").at(revisions[15_000])).await;
    assert_eq!(found, ["15000"]);
}

#[tokio::test]
async fn a_backup_is_a_store_and_restores_far_ahead() {
    let (directory, restored) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let backup = directory.path().join("backup.db");
    let store = open(&directory.path().join("db")).await;
    let lease = store.grant_lease(Duration::from_secs(3600)).await.unwrap();
    store.write(Write::put("/leased", "x", Expect::Any).lease(lease)).await.unwrap();
    for round in 0..2500 {
        put(&store, format!("/{}", round % 1200), round.to_string()).await;
    }
    store.backup(&backup).await.unwrap();
    let expected = store.range(RangeRequest::prefix("")).await.unwrap();
    put(&store, "/later", "not in the backup").await;

    assert_eq!(backup.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    assert!(matches!(store.backup(&backup).await, Err(StoreError::Backup(_))), "it replaces no file");
    let beside: Vec<_> = directory.path().read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(beside.len(), 2, "the store and one file: {beside:?}");

    let options = Options::new(restored.path(), Clock::system());
    assert_eq!(restore(&backup, &options).unwrap(), None);
    let copy = open(restored.path()).await;
    assert!(matches!(restore(&backup, &options), Err(OpenError::InUse { .. })));
    drop(copy);
    // Replaced files are kept.
    let kept = restore(&backup, &options).unwrap().expect("there was a store");
    assert!(kept.join("state.db").exists() && kept.join("high-water-mark").exists());
    let copy = open(restored.path()).await;
    let found = copy.range(RangeRequest::prefix("")).await.unwrap();
    assert_eq!(found.kvs, expected.kvs);
    assert!(found.revision > store.current_revision().await.unwrap(), "no revision is given twice");
    assert!(matches!(
        copy.watch(WatchRequest::prefix("").from(expected.revision)).await.err(),
        Some(StoreError::Compacted { .. })
    ));
    copy.revoke_lease(lease).await.unwrap();
    assert_eq!(copy.range(RangeRequest::prefix("")).await.unwrap().kvs.len(), 1200);
}

#[tokio::test]
async fn a_file_that_is_no_store_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let database = directory.path().join("state.db");
    std::fs::write(&database, "something of the user's, long enough to have a header".repeat(50)).unwrap();
    let before = std::fs::read(&database).unwrap();
    let error = Embedded::open(Options::new(directory.path(), Clock::system())).await.err();
    assert!(matches!(error, Some(OpenError::Log { .. })), "{error:?}");
    assert_eq!(std::fs::read(&database).unwrap(), before);

    std::fs::remove_file(&database).unwrap();
    rusqlite::Connection::open(&database).unwrap().execute_batch("CREATE TABLE other (x)").unwrap();
    let error = Embedded::open(Options::new(directory.path(), Clock::system())).await.err();
    assert!(matches!(error, Some(OpenError::Log { source: LogError::Foreign(_), .. })), "{error:?}");
}

#[tokio::test]
async fn dropping_the_store_finishes_what_is_queued_and_ends_watches() {
    let directory = TempDir::new().unwrap();
    let store = Arc::new(open(directory.path()).await);
    let mut watch = store.watch(WatchRequest::prefix("/")).await.unwrap();
    let acknowledged = Arc::new(Mutex::new(0));
    let writers: Vec<_> = (0..50)
        .map(|writer| {
            let (store, acknowledged) = (store.clone(), acknowledged.clone());
            tokio::spawn(async move {
                put(&store, format!("/{writer}"), "x").await;
                *acknowledged.lock() += 1;
            })
        })
        .collect();
    drop(store);
    for writer in writers {
        writer.await.unwrap();
    }
    let mut seen = 0;
    let end = loop {
        match watch.next().await.unwrap() {
            Ok(batch) => seen += batch.events.len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(end, StoreError::Closed));
    assert!(seen <= 50);
    let store = open(directory.path()).await;
    assert_eq!(store.range(RangeRequest::prefix("/")).await.unwrap().kvs.len(), *acknowledged.lock());
}

#[tokio::test(start_paused = true)]
async fn leases_follow_a_paused_clock() {
    let store = Embedded::in_memory(Clock::system());
    let lease = store.grant_lease(Duration::from_secs(600)).await.unwrap();
    store.write(Write::put("/a", "x", Expect::Any).lease(lease)).await.unwrap();
    let count = async || store.range(RangeRequest::exact("/a")).await.unwrap().kvs.len();
    tokio::time::sleep(Duration::from_secs(500)).await;
    store.keep_lease_alive(lease).await.unwrap();
    tokio::time::sleep(Duration::from_secs(599)).await;
    assert_eq!(count().await, 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(count().await, 0);
}

#[tokio::test]
async fn commits_and_the_files_size_are_measured() {
    let (directory, exposition) = (tempfile::tempdir().unwrap(), metrics::Exposition::default());
    let options = Options {
        metrics: exposition.with(crate::Metrics::register),
        ..Options::new(directory.path(), Clock::system())
    };
    let store = Embedded::open(options).await.unwrap();
    let before = store.size_bytes().unwrap();
    for key in ["a", "b"] {
        put(&store, key, "x".repeat(100_000)).await;
    }
    assert!(store.size_bytes().unwrap() >= before + 200_000);
    let text = exposition.text();
    for sample in
        ["ironhull_store_commit_duration_seconds_count 2\n", "ironhull_store_commit_changes_sum 2.0\n"]
    {
        assert!(text.contains(sample), "no {sample} in\n{text}");
    }
    assert_eq!(Embedded::in_memory(Clock::system()).size_bytes(), None);
}
