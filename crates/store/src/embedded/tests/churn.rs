//! Hours of churn under a paused clock: leases expire on time, and the database does not grow.

use std::fs;

use jiff::Timestamp;

use super::super::open::open as open_files;
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// A store on disk without a separate thread, so that a paused clock does not advance while it writes.
fn open_in_place(directory: &Path, clock: &Clock) -> Embedded {
    let options = Options { reserve_bytes: 1 << 16, ..Options::new(directory, clock.clone()) };
    let opened = open_files(&options).unwrap();
    let shared = opened.engine.shared().clone();
    let writer = Writer::in_place(opened.engine);
    Embedded::start(shared, writer, clock.clone(), opened.cluster, Some(opened.directory))
}

fn clock() -> Clock {
    Clock::seeded(7, Timestamp::from_second(1_800_000_000).unwrap())
}

async fn count(store: &Embedded) -> usize {
    store.range(RangeRequest::prefix("/")).await.unwrap().kvs.len()
}

#[tokio::test(start_paused = true)]
async fn the_database_is_flat_under_hours_of_churn() {
    let directory = TempDir::new().unwrap();
    let store = open_in_place(directory.path(), &clock());
    let size_bytes = || {
        let size = |name: &str| fs::metadata(directory.path().join(name)).map_or(0, |found| found.len());
        size("state.db") + size("state.db-wal")
    };
    let (mut sizes, mut counts, mut revisions) = (Vec::new(), Vec::new(), Vec::new());
    for minute in 0..6 * 60 {
        // As the API server does: events of a minute share a lease.
        let lease = store.grant_lease(HOUR + Duration::from_secs(60)).await.unwrap();
        for number in 0..8 {
            let event = Write::put(format!("/events/{minute}-{number}"), "e".repeat(8000), Expect::Any);
            store.write(event.lease(lease)).await.unwrap();
        }
        // Pods are created, changed and deleted.
        put(&store, format!("/pods/{minute}"), "p".repeat(12_000)).await;
        put(&store, format!("/pods/{minute}"), "q".repeat(12_000)).await;
        store.write(Write::delete(format!("/pods/{}", minute - 5), Expect::Any)).await.unwrap();
        revisions.push(store.current_revision().await.unwrap());
        if minute % 5 == 4 {
            store.compact(revisions[minute as usize - 4]).await.unwrap();
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        if minute % 60 == 59 {
            sizes.push(size_bytes());
            counts.push(count(&store).await);
        }
    }
    eprintln!("bytes after each hour: {sizes:?}, keys: {counts:?}");
    assert!(counts[1..].iter().all(|count| *count == counts[1]), "{counts:?}");
    assert!(counts[1] < 61 * 8 + 6 + 8, "{counts:?}");
    for size in &sizes[2..] {
        assert!(*size < sizes[1] + sizes[1] / 10, "bytes after each hour: {sizes:?}");
    }
    drop(store);
    // Unused space is released at the end, and everything is intact.
    assert!(size_bytes() < 20_000_000, "{}", size_bytes());
    assert_eq!(count(&open_in_place(directory.path(), &clock())).await, counts[1]);
}

#[tokio::test(start_paused = true)]
async fn the_time_left_survives_a_restart_unless_somebody_keeps_the_lease() {
    let directory = TempDir::new().unwrap();
    let clock = clock();
    let store = open_in_place(directory.path(), &clock);
    let (left, kept) = (store.grant_lease(HOUR).await.unwrap(), store.grant_lease(HOUR).await.unwrap());
    for (key, lease) in [("/left", left), ("/kept", kept)] {
        store.write(Write::put(key, "x", Expect::Any).lease(lease)).await.unwrap();
    }
    tokio::time::sleep(HOUR / 2).await;
    store.keep_lease_alive(kept).await.unwrap();
    for _ in 0..3 {
        tokio::time::sleep(HOUR / 10).await;
        store.keep_lease_alive(kept).await.unwrap();
    }
    drop(store);
    let store = open_in_place(directory.path(), &clock);
    // 48 minutes are over.
    tokio::time::sleep(Duration::from_secs(11 * 60)).await;
    assert_eq!(count(&store).await, 2);
    drop(store);
    // The last minutes pass while nothing is running.
    tokio::time::advance(Duration::from_secs(120)).await;
    let store = open_in_place(directory.path(), &clock);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(values(&store, RangeRequest::prefix("/kept")).await, ["x"]);
    assert_eq!(count(&store).await, 1, "it ended when it was going to");
    tokio::time::sleep(HOUR).await;
    assert_eq!(count(&store).await, 0);
}

#[tokio::test]
async fn a_large_lease_ends_in_pieces_between_other_writes() {
    let directory = TempDir::new().unwrap();
    let store = Arc::new(open(directory.path()).await);
    let lease = store.grant_lease(Duration::from_secs(1)).await.unwrap();
    let keys = futures::future::join_all((0..3000).map(|key| {
        let store = Arc::clone(&store);
        async move { store.write(Write::put(format!("/e/{key}"), "x", Expect::Any).lease(lease)).await }
    }));
    let written = keys.await.into_iter().filter(Result::is_ok).count();
    assert_eq!(written, 3000, "all before the lease ends");
    let from = store.current_revision().await.unwrap();
    let mut watch = store.watch(WatchRequest::prefix("/").from(from)).await.unwrap();
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            loop {
                put(&store, "/other", "x").await;
            }
        })
    };
    let (mut deleted, mut between) = (0, 0);
    while deleted < 3000 {
        for event in watch.next().await.unwrap().unwrap().events {
            match event {
                Event::Delete { .. } => deleted += 1,
                Event::Put { .. } if deleted > 0 => between += 1,
                Event::Put { .. } => {}
            }
        }
    }
    writer.abort();
    assert!(between >= 3, "{between} writes came between the deletions");
}
