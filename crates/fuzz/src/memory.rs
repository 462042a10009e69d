//! A parser's use of memory, and the growth of its work.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// How much longer the longer input of [`assert_linear`] is.
const LONGER: usize = 8;
/// Work that grows with the input's length takes about [`LONGER`] times as much, work that grows with its square
/// `LONGER * LONGER` times. The range in between allows for a busy machine.
const RATIO_MAX: u64 = 24;
/// Less time than this is noise, in nanoseconds.
const NOISE_NANOS: u64 = 2_000_000;
/// The number of runs, of which the best counts.
const RUNS: usize = 3;

/// The system's allocator, which counts what each thread has. A test program makes it its own:
///
/// ```ignore
/// #[global_allocator]
/// static METER: fuzz::Meter = fuzz::Meter;
/// ```
#[derive(Debug)]
pub struct Meter;

thread_local! {
    static PRESENT: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static TOTAL: Cell<usize> = const { Cell::new(0) };
}

/// The memory used by some work, on its own thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// The most bytes at once.
    pub peak: usize,
    /// All bytes that were asked for. It is the same in every run.
    pub total: usize,
}

fn more(bytes: usize) {
    let present = PRESENT.get().saturating_add(bytes);
    PRESENT.set(present);
    PEAK.set(PEAK.get().max(present));
    TOTAL.set(TOTAL.get().saturating_add(bytes));
}

fn less(bytes: usize) {
    // Memory allocated by another thread may be freed here.
    PRESENT.set(PRESENT.get().saturating_sub(bytes));
}

// SAFETY: all calls are the system allocator's; counting touches thread-locals that need neither memory nor destructors.
unsafe impl GlobalAlloc for Meter {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        more(layout.size());
        // SAFETY: the caller's promises are those that the system's allocator requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        less(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        more(size);
        less(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Runs some work and returns its usage; zeros unless [`Meter`] is the program's allocator.
pub fn measured<T>(work: impl FnOnce() -> T) -> (T, Spent) {
    let before = PRESENT.get();
    PEAK.set(before);
    let total = TOTAL.get();
    let result = work();
    let spent = Spent { peak: PEAK.get().saturating_sub(before), total: TOTAL.get() - total };
    (result, spent)
}

/// Asserts that work on inputs of a kind grows at most linearly with their length. `make` returns an input with a
/// number of parts.
///
/// Memory is counted, and so exact; time is the thread's own on a processor.
///
/// # Panics
/// If work on an input of eight times as many parts takes more than 24 times as much.
pub fn assert_linear(what: &str, parts: usize, make: impl Fn(usize) -> Vec<u8>, work: impl Fn(&[u8])) {
    let cost = |parts: usize| {
        let input = make(parts);
        let run = || {
            let start = thread_nanos();
            let ((), spent) = measured(|| work(&input));
            (thread_nanos().saturating_sub(start), spent.total as u64)
        };
        let runs: Vec<(u64, u64)> = (0..RUNS).map(|_| run()).collect();
        let least = |of: fn(&(u64, u64)) -> u64| runs.iter().map(of).min().unwrap_or(0);
        (least(|run| run.0), least(|run| run.1))
    };
    let (short, long) = (cost(parts), cost(parts * LONGER));
    assert!(
        long.0 <= RATIO_MAX * short.0.max(NOISE_NANOS),
        "{what}: {LONGER} times the input took {} ns instead of {} ns",
        long.0,
        short.0
    );
    assert!(
        long.1 <= RATIO_MAX * short.1.max(1 << 10),
        "{what}: {LONGER} times the input took {} bytes instead of {}",
        long.1,
        short.1
    );
}

/// How long this thread has run on a processor.
fn thread_nanos() -> u64 {
    let text =
        std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts the time of threads");
    text.split_whitespace().next().and_then(|first| first.parse().ok()).expect("the time comes first")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[global_allocator]
    static METER: Meter = Meter;

    #[test]
    fn memory_is_counted() {
        let (bytes, spent) = measured(|| {
            drop(vec![0_u8; 1000]);
            vec![1_u8; 500]
        });
        assert_eq!(spent, Spent { peak: 1000, total: 1500 });
        drop(bytes);
    }

    #[test]
    fn linear_work_passes() {
        assert_linear(
            "a copy",
            1000,
            |parts| vec![7; parts],
            |input| drop(std::hint::black_box(input.to_vec())),
        );
    }

    #[test]
    #[should_panic(expected = "8 times the input took")]
    fn square_work_does_not() {
        let square = |input: &[u8]| input.iter().for_each(|_| drop(std::hint::black_box(input.to_vec())));
        assert_linear("copies", 1000, |parts| vec![7; parts], square);
    }
}
