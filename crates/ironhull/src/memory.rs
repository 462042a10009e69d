//! Returns memory to the system after a peak.
//!
//! The allocator (glibc's) keeps freed memory for later, in every thread's arena, and returns only memory at an arena's
//! end. So after a burst a process stays as large as it ever was. Here the process checks its size periodically, and
//! while it is larger than it once was, asks the allocator to return every free page (`docs/decisions/allocator.md`).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often to look.
const EVERY: Duration = Duration::from_secs(30);
/// By how much a process must exceed its smallest size, in pages of 4 KiB: 8 MiB.
const GROWTH_PAGES: u64 = 2048;
/// After how many checks, at most, to try again if little was returned. History is dropped some minutes after a peak.
const PAUSE_MAX: u32 = 16;

/// Returns memory until it is stopped.
pub async fn give_back(stop: CancellationToken) {
    let mut pace = Pace::new(resident_pages().unwrap_or(0));
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        let Some(pages) = resident_pages() else { return };
        if !pace.is_time(pages) {
            continue;
        }
        give_back_now().await;
        let after = resident_pages().unwrap_or(pages);
        tracing::debug!(before = pages, after, "returned memory to the system");
        pace.gave_back(pages, after);
    }
}

/// Returns memory now. For those who know that they have just freed much.
pub async fn give_back_now() {
    // It holds locks of the allocator for milliseconds.
    let _ = tokio::task::spawn_blocking(trim).await;
}

/// When to call the allocator: as soon as the process has grown, and repeatedly while it is larger than it once was,
/// because memory that was in use may be free now. The less is returned, the longer the pauses.
struct Pace {
    /// The smallest size of the process so far.
    smallest: u64,
    /// The size after memory was last returned.
    last: u64,
    /// Checks from one try to the next.
    pause: u32,
    /// Checks until the next try.
    left: u32,
}

impl Pace {
    fn new(pages: u64) -> Pace {
        Pace { smallest: pages, last: pages, pause: 1, left: 0 }
    }

    fn is_time(&mut self, pages: u64) -> bool {
        self.smallest = self.smallest.min(pages);
        if pages < self.smallest + GROWTH_PAGES {
            return false;
        }
        if pages >= self.last + GROWTH_PAGES {
            self.pause = 1;
            return true;
        }
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }

    fn gave_back(&mut self, before: u64, after: u64) {
        self.pause = if after + GROWTH_PAGES <= before { 1 } else { (self.pause * 2).min(PAUSE_MAX) };
        self.last = after;
        self.left = self.pause;
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

/// Other C libraries return free memory by themselves.
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

    /// Memory that is freed some minutes after a peak, when nothing happens any more, is returned as well.
    #[test]
    fn a_process_that_stays_large_is_asked_again_and_less_and_less_often() {
        let (quiet, peak) = (10_000, 40_000);
        let mut pace = Pace::new(quiet);
        assert!(!pace.is_time(quiet + GROWTH_PAGES - 1));
        let mut tries = Vec::new();
        for look in 0..80 {
            if pace.is_time(peak) {
                tries.push(look);
                pace.gave_back(peak, peak);
            }
        }
        assert_eq!(tries, [0, 2, 6, 14, 30, 46, 62, 78]);
        // After a success it tries again soon, and a quiet process is left alone.
        pace.gave_back(peak, peak - 2 * GROWTH_PAGES);
        assert!(pace.is_time(peak - 2 * GROWTH_PAGES));
        pace.gave_back(peak - 2 * GROWTH_PAGES, quiet);
        assert!((0..100).all(|_| !pace.is_time(quiet + 100)));
        assert!(pace.is_time(peak), "it has grown again");
    }
}
