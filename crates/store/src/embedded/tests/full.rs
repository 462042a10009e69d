//! A full disk: the process keeps running, no acknowledged write is lost, deletions continue, and normal operation
//! resumes when there is space again.

use std::fs;
use std::path::PathBuf;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use super::*;

const DISK_BYTES: u64 = 64 << 20;
const RESERVE_BYTES: u64 = 12 << 20;
const VALUE_BYTES: usize = 40_000;

/// Runs a test on a separate file system, which is visible only to the test's threads and disappears with them.
fn on_a_small_disk<T: Future<Output = ()>>(test: impl FnOnce(PathBuf) -> T + Send + 'static) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().to_owned();
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).expect("root may have mounts of its own");
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let size = format!("size={DISK_BYTES}");
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some(size.as_str())).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test(path));
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
    drop(directory);
}

/// Fills the disk except for this number of bytes, with a file of this name.
fn fill(path: &Path, name: &str, left: u64) {
    let disk = rustix::fs::statvfs(path).unwrap();
    let bytes = (disk.f_bavail * disk.f_frsize).saturating_sub(left);
    fs::write(path.join(name), vec![b'x'; usize::try_from(bytes).unwrap()]).unwrap();
}

async fn open_here(path: &Path) -> Embedded {
    let options = Options {
        history_bytes: 1 << 20,
        reserve_bytes: RESERVE_BYTES,
        on_fatal: Arc::new(|error| panic!("a full disk is no reason to stop: {error:?}")),
        ..Options::new(path.join("db"), Clock::system())
    };
    Embedded::open(options).await.unwrap()
}

/// Puts until the disk stays full, because the log may release its own space. Returns the acknowledged keys.
async fn put_until_full(store: &Embedded, prefix: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut refused = 0;
    loop {
        let key = format!("/{prefix}/{:05}", keys.len());
        match store.write(Write::put(key.clone(), "v".repeat(VALUE_BYTES), Expect::Any)).await {
            Ok(_) => {
                keys.push(key);
                refused = 0;
            }
            Err(StoreError::Full) if refused == 3 => return keys,
            Err(StoreError::Full) => refused += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
}

async fn keys_of(store: &Embedded, prefix: &str) -> Vec<String> {
    let kvs = store.range(RangeRequest::prefix(prefix.to_owned())).await.unwrap().kvs;
    kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

#[test]
fn a_full_disk_refuses_what_takes_space_and_nothing_else() {
    on_a_small_disk(|path| async move {
        let store = open_here(&path).await;
        // The remaining space decides what finds the disk full first: a write, a checkpoint or a compaction.
        for round in 0..6_u64 {
            let prefix = format!("round-{round}");
            let reserve = path.join("db/reserve");
            assert_eq!(fs::metadata(&reserve).unwrap().len(), RESERVE_BYTES);
            fill(&path, "filler", 300_000 + round * 1_100_000);
            let mut keys = put_until_full(&store, &prefix).await;
            assert!(keys.len() > 3 && store.is_full() && !reserve.exists());

            // Reads and watches continue, and no acknowledged write is missing.
            assert_eq!(keys_of(&store, &format!("/{prefix}/")).await, keys);
            let from = store.current_revision().await.unwrap();
            let mut watch =
                store.watch(WatchRequest::prefix(format!("/{prefix}/")).from(from)).await.unwrap();
            let refused = store.write(Write::put("/other", "x", Expect::Any)).await;
            assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
            assert!(matches!(store.grant_lease(Duration::from_secs(60)).await, Err(StoreError::Full)));
            // Deletions, and writes that lead to them.
            let deleted = keys.remove(0);
            let mark = Write::put(deleted.clone(), "being deleted", Expect::Any).making_space();
            assert!(matches!(store.write(mark).await, Ok(WriteOutcome::Committed { .. })));
            store.write(Write::delete(deleted.clone(), Expect::Any)).await.unwrap();
            let mut seen = Vec::new();
            while seen.len() < 2 {
                seen.extend(watch.next().await.unwrap().unwrap().events);
            }
            assert!(matches!(&seen[1], Event::Delete { key, .. } if *key == deleted));
            store.compact(store.current_revision().await.unwrap()).await.unwrap();
            assert_eq!(keys_of(&store, &format!("/{prefix}/")).await, keys);

            // Space is available again, which the next write notices.
            fs::remove_file(path.join("filler")).unwrap();
            put(&store, format!("/{prefix}/zz"), "there is space").await;
            assert!(!store.is_full() && reserve.exists());
            for key in keys {
                store.write(Write::delete(key, Expect::Any)).await.unwrap();
            }
            store.compact(store.current_revision().await.unwrap()).await.unwrap();
        }
        drop(store);
        assert_eq!(keys_of(&open_here(&path).await, "/round").await.len(), 6);
    });
}

#[test]
fn a_store_starts_on_a_full_disk() {
    on_a_small_disk(|path| async move {
        let store = open_here(&path).await;
        fill(&path, "filler", 1_000_000);
        let keys = put_until_full(&store, "a").await;
        drop(store);
        fill(&path, "more", 0);
        for _ in 0..2 {
            let store = open_here(&path).await;
            assert!(store.is_full());
            assert_eq!(keys_of(&store, "/a/").await, keys);
            let refused = store.write(Write::put("/a/more", "x", Expect::Any)).await;
            assert!(matches!(refused, Err(StoreError::Full)), "{refused:?}");
        }
        let store = open_here(&path).await;
        fs::remove_file(path.join("filler")).unwrap();
        fs::remove_file(path.join("more")).unwrap();
        put(&store, "/a/more", "x").await;
        store.write(Write::delete(keys[0].clone(), Expect::Any)).await.unwrap();
        drop(store);
        assert_eq!(keys_of(&open_here(&path).await, "/a/").await.len(), keys.len());
    });
}

#[test]
fn a_disk_without_any_space_refuses_deletions_too_and_loses_nothing() {
    on_a_small_disk(|path| async move {
        let store = open_here(&path).await;
        fill(&path, "filler", 1_000_000);
        let keys = put_until_full(&store, "a").await;
        // Another program takes the space that the reserve has released.
        fill(&path, "more", 0);
        let mut left = keys.clone();
        let mut refused = 0;
        for key in &keys {
            match store.write(Write::delete(key.clone(), Expect::Any)).await {
                Ok(_) => left.retain(|left| left != key),
                Err(StoreError::Full) => refused += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(refused + keys.len() - left.len(), keys.len());
        assert_eq!(keys_of(&store, "/a/").await, left);
        fs::remove_file(path.join("filler")).unwrap();
        fs::remove_file(path.join("more")).unwrap();
        put(&store, "/a/more", "x").await;
        drop(store);
        left.push("/a/more".into());
        assert_eq!(keys_of(&open_here(&path).await, "/a/").await, left);
    });
}
