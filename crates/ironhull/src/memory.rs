//! Memory goes back to the system after a peak.
//!
//! The allocator (glibc's) keeps what was freed for later, in every thread's arena, and gives back only what lies at an
//! arena's end. So after a burst a process stays as large as it ever was. Here the process looks at its size now and then,
//! and where that has grown asks the allocator to give back every free page (`docs/decisions/allocator.md`).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often to look.
const EVERY: Duration = Duration::from_secs(30);
/// By how much a process must have grown since it was last as small as it gets, in pages of 4 KiB: 8 MiB.
const GROWTH_PAGES: u64 = 2048;

/// Gives memory back until it is to stop.
pub async fn give_back(stop: CancellationToken) {
    let mut smallest = resident_pages().unwrap_or(0);
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        let Some(pages) = resident_pages() else { return };
        if pages < smallest + GROWTH_PAGES {
            smallest = smallest.min(pages);
            continue;
        }
        // It takes locks of the allocator for milliseconds.
        let _ = tokio::task::spawn_blocking(trim).await;
        let after = resident_pages().unwrap_or(pages);
        tracing::debug!(before = pages, after, "gave memory back");
        // What is still in use then is no reason to try again; more is.
        smallest = after;
    }
}

/// How many pages of the process are in memory.
fn resident_pages() -> Option<u64> {
    let sizes = std::fs::read_to_string("/proc/self/statm").ok()?;
    sizes.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: the function has no preconditions; it works on the allocator's own lists, under its locks.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries give back what is free by themselves.
#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_between_other_things_goes_back() {
        // Small enough to come from an arena, and with something in between that stays.
        let mut blocks: Vec<Option<Vec<u8>>> = (0..20_000).map(|_| Some(vec![1; 4000])).collect();
        let peak = resident_pages().unwrap();
        for (number, block) in blocks.iter_mut().enumerate() {
            if !number.is_multiple_of(100) {
                *block = None;
            }
        }
        trim();
        let after = resident_pages().unwrap();
        assert!(after + 10_000 < peak, "{peak} pages at the peak, {after} after");
        assert_eq!(blocks.iter().flatten().count(), 200);
    }
}
