//! Time, randomness and identity, injected.
//!
//! Every component gets a [`Clock`] and asks it for the wall-clock time, for random numbers and for UIDs. A
//! [`Clock::seeded`] clock is deterministic: its time follows tokio's (which a test can pause) and its numbers come
//! from one seed, so that a whole cluster can be replayed.
//!
//! This is the only crate that may read the wall clock or the thread's random numbers; clippy's `disallowed_methods`
//! enforces this. For sleeping use `tokio::time`, which a paused runtime already controls.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use uuid::Uuid;

/// Letters and digits of generated name suffixes: no vowels and no look-alikes, so that no words form.
/// The set is upstream's (`k8s.io/apimachinery/pkg/util/rand`).
const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A source of time, randomness and identity; cheap to clone, shared by everything in a process.
///
/// ```
/// let clock = clock::Clock::system();
/// assert_eq!(clock.name_suffix(5).len(), 5);
/// ```
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    time: Time,
    random: Mutex<ChaCha12Rng>,
}

enum Time {
    System,
    Seeded { start: Timestamp, origin: tokio::time::Instant },
}

impl Clock {
    /// The machine's clock and the operating system's randomness.
    pub fn system() -> Clock {
        Clock(Arc::new(Inner { time: Time::System, random: Mutex::new(ChaCha12Rng::from_os_rng()) }))
    }

    /// A clock that starts at `start`, advances with tokio's time and draws everything from `seed`.
    pub fn seeded(seed: u64, start: Timestamp) -> Clock {
        let time = Time::Seeded { start, origin: tokio::time::Instant::now() };
        Clock(Arc::new(Inner { time, random: Mutex::new(ChaCha12Rng::seed_from_u64(seed)) }))
    }

    /// The wall-clock time.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn now(&self) -> Timestamp {
        match &self.0.time {
            Time::System => Timestamp::now(),
            Time::Seeded { start, origin } => {
                let elapsed = SignedDuration::try_from(origin.elapsed()).unwrap_or(SignedDuration::MAX);
                start.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// The wall-clock time cut to whole seconds, as API timestamps (`metav1.Time`) carry it.
    pub fn now_seconds(&self) -> Timestamp {
        Timestamp::from_second(self.now().as_second()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// A random 64-bit number.
    pub fn random_u64(&self) -> u64 {
        self.0.random.lock().next_u64()
    }

    /// A random number in `0..bound`; 0 if `bound` is 0.
    pub fn random_below(&self, bound: u64) -> u64 {
        // The bias of the remainder is below 2^-32 for every bound that is used here.
        if bound == 0 { 0 } else { self.random_u64() % bound }
    }

    /// Fills `buffer` with random bytes, fit for keys and tokens when the clock is the system's.
    pub fn fill_random(&self, buffer: &mut [u8]) {
        self.0.random.lock().fill_bytes(buffer);
    }

    /// A new version-4 UID.
    pub fn uid(&self) -> String {
        let mut bytes = [0; 16];
        self.fill_random(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().hyphenated().to_string()
    }

    /// A new UID as its sixteen bytes.
    pub fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.fill_random(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// A random suffix for a generated name, in upstream's alphabet.
    pub fn name_suffix(&self, length: usize) -> String {
        (0..length).map(|_| char::from(SUFFIX_ALPHABET[self.random_below(27) as usize])).collect()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("now", &self.now()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_seeded_clock_repeats_itself() {
        let start = Timestamp::from_second(1_700_000_000).unwrap();
        let (one, two) = (Clock::seeded(7, start), Clock::seeded(7, start));
        assert_eq!(one.uid(), two.uid());
        assert_eq!(one.name_suffix(5), two.name_suffix(5));
        tokio::time::advance(std::time::Duration::from_secs(90)).await;
        assert_eq!(one.now().as_second(), 1_700_000_090);
    }

    #[test]
    fn uids_are_version_4() {
        let uid = Clock::system().uid();
        assert_eq!(uid.len(), 36);
        assert_eq!(&uid[14..15], "4");
    }
}
