//! Returns memory to the system after a peak.
//!
//! The allocator (glibc's) keeps freed memory for later, in every thread's arena, and returns only memory at an arena's
//! end. So after a burst a process stays as large as it ever was. Here the process checks periodically how much of its
//! memory is free, and when that has grown, asks the allocator to return every free page
//! (`docs/decisions/allocator.md`).

use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How often to look.
const EVERY: Duration = Duration::from_secs(30);
/// By how much free memory must have grown, in bytes.
const GROWTH: i64 = 4 << 20;

/// From how much free memory at the end of an arena on, in bytes, it is returned at once.
const END_MAX: i32 = 1 << 20;
/// From which size on, in bytes, a block is memory of its own, which is returned when it is freed.
const BLOCK_MAX: i32 = 4 << 20;

/// Sets the allocator up. By default it keeps the more at the end of each arena the larger the blocks were that it saw (up
/// to 64 MiB), and nothing but a release of memory in that arena returns it.
pub fn set_up() {
    #[cfg(target_env = "gnu")]
    for (parameter, value) in [(libc::M_TRIM_THRESHOLD, END_MAX), (libc::M_MMAP_THRESHOLD, BLOCK_MAX)] {
        // SAFETY: both parameters take any number of bytes, at any time.
        unsafe { libc::mallopt(parameter, value) };
    }
}

/// Returns memory until it is stopped.
pub async fn give_back(stop: CancellationToken) {
    let Some(mut pace) = free().map(Pace::new) else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
        let Some(before) = free() else { return };
        if !pace.is_time(before) {
            continue;
        }
        give_back_now().await;
        let after = free().unwrap_or(before);
        tracing::debug!(before, after, "returned memory to the system");
        pace.gave_back(after);
    }
}

/// Returns memory now. For those who know that they have just freed much.
pub async fn give_back_now() {
    // It holds locks of the allocator for milliseconds.
    let _ = tokio::task::spawn_blocking(trim).await;
}

/// When to call the allocator: as soon as more is free than it left the last time, or at any time since. What it left
/// cannot be returned, as it lies between blocks that are in use.
struct Pace {
    least: i64,
}

impl Pace {
    fn new(free: i64) -> Pace {
        Pace { least: free }
    }

    fn is_time(&mut self, free: i64) -> bool {
        self.least = self.least.min(free);
        free >= self.least.saturating_add(GROWTH)
    }

    fn gave_back(&mut self, free: i64) {
        self.least = free;
    }
}

/// Bytes of the process that are in memory and that nobody uses. Only differences say something: it includes what never
/// came from the allocator, and is too low by what is in use but was never written.
#[cfg(target_env = "gnu")]
fn free() -> Option<i64> {
    // SAFETY: the function has no preconditions; it reads the allocator's own lists, under its locks.
    let sizes = unsafe { libc::mallinfo2() };
    let used = i64::try_from(sizes.uordblks.saturating_add(sizes.hblkhd)).ok()?;
    Some(own_bytes()?.saturating_sub(used))
}

/// Other C libraries return free memory by themselves.
#[cfg(not(target_env = "gnu"))]
fn free() -> Option<i64> {
    None
}

/// Bytes of the process that are in memory, without pages of files.
#[cfg(target_env = "gnu")]
fn own_bytes() -> Option<i64> {
    use std::io::Read;

    // Without an allocation, which would be in the way at the end of an arena.
    let mut text = [0; 128];
    let length = std::fs::File::open("/proc/self/statm").ok()?.read(&mut text).ok()?;
    let sizes = std::str::from_utf8(text.get(..length)?).ok()?;
    let mut pages = sizes.split_ascii_whitespace().skip(1).map(str::parse::<i64>);
    let (resident, of_files) = (pages.next()?.ok()?, pages.next()?.ok()?);
    // SAFETY: the function has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    resident.saturating_sub(of_files).checked_mul(size)
}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: the function has no preconditions; it works on the allocator's own lists, under its locks.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Tests that measure the process run one after the other.
    static MEASURED: Mutex<()> = Mutex::new(());

    #[test]
    #[cfg(target_env = "gnu")]
    fn what_was_freed_between_other_things_goes_back() {
        let _alone = MEASURED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Small enough to come from an arena, and with something in between that stays.
        let mut blocks: Vec<Option<Vec<u8>>> = (0..20_000).map(|_| Some(vec![1; 4000])).collect();
        let full = free().unwrap();
        let mut pace = Pace::new(full);
        for (number, block) in blocks.iter_mut().enumerate() {
            if !number.is_multiple_of(100) {
                *block = None;
            }
        }
        let freed = free().unwrap();
        assert!(freed > full + 60_000_000, "{full} bytes free before, {freed} when most blocks were");
        assert!(pace.is_time(freed));
        trim();
        let after = free().unwrap();
        assert!(after + 40_000_000 < freed, "{freed} bytes free, {after} after they were returned");
        assert_eq!(blocks.iter().flatten().count(), 200);
    }

    /// The second arena of a process that has seen large blocks: what is free at its end goes back without being asked for.
    #[test]
    #[cfg(target_env = "gnu")]
    fn the_end_of_an_arena_goes_back() {
        let _alone = MEASURED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        set_up();
        let in_another_arena = || {
            drop(vec![1_u8; 30 << 20]);
            let blocks: Vec<Vec<u8>> = (0..5000).map(|_| vec![1; 4000]).collect();
            let full = own_bytes().unwrap();
            drop(blocks);
            (full, own_bytes().unwrap())
        };
        let (full, after) = std::thread::spawn(in_another_arena).join().unwrap();
        assert!(after + 15_000_000 < full, "{full} bytes in memory with the blocks, {after} without");
    }

    /// However long a load took and however often little could be returned during it: what it frees at its end is
    /// returned at the next look.
    #[test]
    fn the_end_of_a_long_load_is_noticed_at_once() {
        let mut pace = Pace::new(5_000_000);
        for _ in 0..100 {
            assert!(pace.is_time(5_000_000 + GROWTH), "it is more than it left the last time");
            pace.gave_back(5_000_000);
        }
        // As much as this lies between blocks that are in use: it is not asked for again and again.
        pace.gave_back(20_000_000);
        assert!((0..100).all(|_| !pace.is_time(20_000_000 + GROWTH - 1)));
        assert!(pace.is_time(20_000_000 + GROWTH));
        // What became less meanwhile has to grow from there.
        assert!(!pace.is_time(6_000_000));
        assert!(pace.is_time(6_000_000 + GROWTH));
    }
}
