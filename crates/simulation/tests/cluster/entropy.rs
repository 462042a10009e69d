//! The operating system's randomness, replaced by one seed, in a process for one run.
//!
//! Time, names and UIDs come from the seeded clock, but two things below it do not: tokio randomizes which branch of a
//! `select!` and which of the waiters of a channel comes first, and hash maps have a random order. Both are seeded from
//! the C library's `getrandom`. So that function is replaced, for this test program only.

#![allow(unsafe_code, reason = "a symbol of the C library is replaced")]

use std::sync::atomic::{AtomicU64, Ordering};

/// The state of the generator; 0 while the operating system's randomness is wanted.
static STATE: AtomicU64 = AtomicU64::new(0);

/// From here on this process draws everything from `seed`.
pub(crate) fn replace(seed: u64) {
    STATE.store(seed.wrapping_mul(2).wrapping_add(1), Ordering::SeqCst);
}

/// The function that the standard library and others call for random bytes, replacing the C library's function of this
/// name.
///
/// # Safety
/// As of the C library's: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(
    buffer: *mut libc::c_void,
    length: libc::size_t,
    flags: libc::c_uint,
) -> libc::ssize_t {
    if STATE.load(Ordering::SeqCst) == 0 {
        // SAFETY: the caller's promise is the one that the system call asks for.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) } as libc::ssize_t;
    }
    // SAFETY: the caller promises that there is room.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&next().to_le_bytes()[..chunk.len()]);
    }
    length as libc::ssize_t
}

/// The next number of the generator (SplitMix64).
fn next() -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut number = STATE.fetch_add(STEP, Ordering::SeqCst).wrapping_add(STEP);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
