//! Figures of the embedded store on this machine's disk: `cargo run --release -p store --example bench [DIR]`.
//!
//! Durable writes of 2 KB a second with 1, 16 and 128 writers, the time of a list of 10,000 keys, and of opening a
//! store of 27,000 keys. One line per figure: name, value, unit.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use store::{Bytes, Embedded, Expect, Options, RangeRequest, Store, StoreError, Write};
use tokio::time::Instant;

const VALUE_BYTES: usize = 2048;
const MEASURE: Duration = Duration::from_secs(3);
const LISTS: u32 = 50;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = tempfile::tempdir_in(parent)?;
    for writers in [1, 16, 128] {
        let path = directory.path().join(writers.to_string());
        let store = Arc::new(Embedded::open(Options::new(path, Clock::system())).await?);
        let rate = write_rate(&store, writers).await?;
        println!("durable-writes-{writers} {rate:.0} /s");
    }
    list_and_open(directory.path().join("list")).await
}

/// Durable writes per second with a number of writers, each with a hundred keys.
async fn write_rate(store: &Arc<Embedded>, writers: usize) -> Result<f64, Failure> {
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let value = Bytes::from(vec![b'x'; VALUE_BYTES]);
                let mut writes = 0_u32;
                while start.elapsed() < MEASURE {
                    let key = format!("/bench/{writer:03}/{}", writes % 100);
                    store.write(Write::put(key, value.clone(), Expect::Any)).await?;
                    writes += 1;
                }
                Ok::<_, StoreError>(writes)
            })
        })
        .collect();
    let mut writes = 0;
    for task in tasks {
        writes += task.await??;
    }
    Ok(f64::from(writes) / start.elapsed().as_secs_f64())
}

async fn list_and_open(path: PathBuf) -> Result<(), Failure> {
    let options = Options::new(path, Clock::system());
    let store = Arc::new(Embedded::open(options.clone()).await?);
    fill(&store, 0..10_000).await?;
    let start = Instant::now();
    for _ in 0..LISTS {
        let count = store.range(RangeRequest::prefix("/bench/")).await?.kvs.len();
        assert_eq!(count, 10_000, "everything written is listed");
    }
    println!("list-10000 {:.2} ms", (start.elapsed() / LISTS).as_secs_f64() * 1e3);
    fill(&store, 10_000..27_000).await?;
    drop(store);
    let start = Instant::now();
    let store = Embedded::open(options).await?;
    println!("open-27000 {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    drop(store);
    Ok(())
}

async fn fill(store: &Arc<Embedded>, keys: std::ops::Range<usize>) -> Result<(), Failure> {
    let writes: Vec<_> = keys
        .map(|key| {
            let store = store.clone();
            let write = Write::put(format!("/bench/{key:05}"), vec![b'x'; VALUE_BYTES], Expect::Any);
            tokio::spawn(async move { store.write(write).await })
        })
        .collect();
    for write in writes {
        write.await??;
    }
    Ok(())
}
