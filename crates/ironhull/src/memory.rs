//! The allocator, and what returns memory to the system after a peak.
//!
//! Blocks go back to the thread that asked for them, whoever frees them, and each thread decides by itself when it returns
//! pages. A thread that has nothing to do would keep them for good. So all threads are asked to return what they can,
//! periodically and by those who know that they have just freed much, and do so when they go idle
//! (`docs/decisions/allocator.md`).

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often threads are asked.
const EVERY: Duration = Duration::from_secs(30);

/// How often threads have been asked.
static ASKED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// How often they had been asked when this thread returned memory the last time.
    static ANSWERED: Cell<u64> = const { Cell::new(0) };
}

/// A runtime whose threads return memory when they are asked.
///
/// # Errors
/// If the system has no resources for its threads.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().on_thread_park(before_waiting).enable_all().build()
}

/// Asks for memory until it is stopped.
pub async fn give_back(stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => give_back_now().await,
            () = stop.cancelled() => return,
        }
    }
}

/// Has every thread of the runtime return memory as soon as it goes idle. For those who know that they have just freed
/// much.
pub async fn give_back_now() {
    ASKED.fetch_add(1, Ordering::Relaxed);
    // Threads that wait already have to be woken, or they would wait on.
    for _ in 0..Handle::current().metrics().num_workers() {
        drop(tokio::spawn(tokio::task::yield_now()));
    }
    // What threads that have exited left behind. It takes milliseconds.
    let _ = tokio::task::spawn_blocking(return_pages).await;
}

/// What a thread does that is about to wait: returns memory if that has been asked for since it did so last.
fn before_waiting() {
    let asked = ASKED.load(Ordering::Relaxed);
    if ANSWERED.replace(asked) != asked {
        return_pages();
    }
}

/// Returns all pages of which this thread knows that nobody uses them.
fn return_pages() {
    // SAFETY: the function has no preconditions; it works on the heap of the thread that calls it, and on what is left of
    // heaps whose threads have exited.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of the process that are in memory.
    fn resident() -> usize {
        let sizes = std::fs::read_to_string("/proc/self/statm").unwrap();
        sizes.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    fn blocks() -> Vec<Option<Vec<u8>>> {
        (0..20_000).map(|_| Some(vec![1; 4000])).collect()
    }

    /// 80 MB from one thread are freed by another, but for some blocks in between.
    #[test]
    fn what_another_thread_freed_goes_back() {
        let runtime = runtime().unwrap();
        runtime.block_on(async {
            let mut blocks = tokio::spawn(async { blocks() }).await.unwrap();
            let full = resident();
            for (number, block) in blocks.iter_mut().enumerate() {
                if !number.is_multiple_of(100) {
                    *block = None;
                }
            }
            let mut after = resident();
            for _ in 0..600 {
                if after + 40_000_000 < full {
                    break;
                }
                give_back_now().await;
                tokio::time::sleep(Duration::from_millis(50)).await;
                after = resident();
            }
            assert!(after + 40_000_000 < full, "{full} bytes with all blocks, {after} with few");
            assert_eq!(blocks.iter().flatten().count(), 200);
        });
    }
}
