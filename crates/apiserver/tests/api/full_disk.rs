//! The API on a full disk: reads and deletions continue, other writes are answered with 507, and the server recovers by
//! itself.

use std::path::Path;
use std::sync::Arc;

use apiserver::testing::TestServer;
use clock::Clock;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use object::{Value, value};
use store::{Embedded, Options, Store};

use crate::support;

const DISK: &str = "size=64m";
const RESERVE_BYTES: u64 = 12 << 20;

/// Runs a test on a separate file system, which is visible only to the test's threads and disappears with them.
fn on_a_small_disk(test: impl FnOnce(&Path) + Send + 'static) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let thread = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNS).expect("root may have mounts of its own");
        let none: Option<&str> = None;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        mount(Some("tmpfs"), &path, Some("tmpfs"), MsFlags::empty(), Some(DISK)).unwrap();
        test(&path);
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
    drop(directory);
}

/// One life of a server: all of it ends with the runtime.
fn live<T>(life: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(life)
}

async fn store(path: &Path) -> Arc<dyn Store> {
    let options = Options { reserve_bytes: RESERVE_BYTES, ..Options::new(path.join("db"), Clock::system()) };
    Arc::new(Embedded::open(options).await.unwrap())
}

fn config_map(name: &str) -> Value {
    value!({"metadata": {"name": name, "finalizers": ["example.com/hold"]}, "data": {"k": "v".repeat(100_000)}})
}

#[test]
fn a_full_disk_is_answered_by_507_until_there_is_space() {
    on_a_small_disk(|path| {
        let names = live(fill(path));
        live(start_and_recover(path, &names));
    });
}

/// Fills the disk; returns the names of the acknowledged objects, of which the first is deleted again.
async fn fill(path: &Path) -> Vec<String> {
    let store = store(path).await;
    let server = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    let mut names = Vec::new();
    let mut refused = 0;
    let status = loop {
        let name = format!("c-{}", names.len());
        match server.create("", "configmaps", "default", config_map(&name)).await {
            Ok(_) => (names.push(name), refused = 0).1,
            // Its own log may give back some space first.
            Err(_) if refused < 3 => refused += 1,
            Err(status) => break status,
        }
    };
    assert_eq!((status.code, status.reason.as_str()), (507, "InsufficientStorage"), "{status:?}");
    assert_eq!(status.retry_after_seconds(), Some(1));
    assert!(status.message.contains("no space left on the disk"), "{}", status.message);
    let body = object::json::to_bytes(&config_map("more"));
    let headers = [("content-type", "application/json")];
    let path_of = "/api/v1/namespaces/default/configmaps";
    let admin = apiserver::testing::admin();
    let reply = support::send(&server, Some(&admin), "POST", path_of, &headers, body).await;
    assert_eq!((reply.code, reply.headers["retry-after"].to_str().unwrap()), (507, "1"));

    // Health says it, and the process is alive.
    assert_eq!(support::get(&server, "/livez").await.code, 200);
    let ready = support::get(&server, "/readyz").await;
    let text = String::from_utf8_lossy(&ready.bytes).into_owned();
    assert!(ready.code == 500 && text.contains("[-]storage-space failed: the disk is full"), "{text}");

    // Everything that was acknowledged is readable; changes are refused.
    for name in &names {
        server.get("", "configmaps", "default", name).await.unwrap();
    }
    let change = object::json::to_bytes(&value!({"data": {"k": "w"}}));
    let path_of_one = format!("{path_of}/{}", names[0]);
    let merge = "application/merge-patch+json";
    let changed = server.request(&admin, "PATCH", &path_of_one, merge, change).await;
    assert_eq!(changed.unwrap_err().code, 507);

    // A deletion by steps: the mark, and the change that takes the finalizer off.
    server.delete("", "configmaps", "default", &names[0]).await.unwrap();
    let free = object::json::to_bytes(&value!({"metadata": {"finalizers": null}}));
    server.request(&admin, "PATCH", &path_of_one, merge, free).await.unwrap();
    let gone = server.get("", "configmaps", "default", &names[0]).await.unwrap_err();
    assert_eq!(gone.code, 404);

    names
}

/// A server starts on a full disk, and continues normally when there is space.
async fn start_and_recover(path: &Path, names: &[String]) {
    let store = store(path).await;
    assert!(store.is_full());
    let server = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    assert_eq!(
        server.get("", "configmaps", "default", &names[1]).await.unwrap().str_at("metadata.name"),
        names[1]
    );

    // Space is freed, and the next write succeeds.
    let none: Option<&str> = None;
    mount(none, path, none, MsFlags::MS_REMOUNT, Some("size=128m")).unwrap();
    server.create("", "configmaps", "default", config_map("after")).await.unwrap();
    assert_eq!(support::get(&server, "/readyz").await.code, 200);
}
