//! Delays that double with each failure, as `k8s.io/client-go/util/flowcontrol` counts them.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The first delay of containers and image pulls.
pub(crate) const FIRST_DELAY: Duration = Duration::from_secs(10);
/// Their longest delay.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug)]
struct Entry {
    delay: Duration,
    updated_at: Timestamp,
}

/// The delays by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backoff {
    entries: HashMap<String, Entry>,
}

impl Backoff {
    /// The time until which `key`, which failed at `failed_at`, must wait, and the delay; `None` if it need not wait.
    pub(crate) fn waits_until(
        &self,
        key: &str,
        failed_at: Timestamp,
        now: Timestamp,
    ) -> Option<(Timestamp, Duration)> {
        let entry = self.entries.get(key).filter(|entry| !has_expired(entry, failed_at))?;
        let until = failed_at + SignedDuration::try_from(entry.delay).unwrap_or(SignedDuration::MAX);
        (now < until).then_some((until, entry.delay))
    }

    /// Records one more failure of `key`, at `failed_at`.
    pub(crate) fn fail(&mut self, key: &str, failed_at: Timestamp, now: Timestamp) {
        let known = self.entries.get(key).filter(|entry| !has_expired(entry, failed_at));
        let delay = known.map_or(FIRST_DELAY, |entry| (entry.delay * 2).min(DELAY_MAX));
        self.entries.insert(key.to_owned(), Entry { delay, updated_at: now });
    }

    /// Forgets `key`'s failures.
    pub(crate) fn forget(&mut self, key: &str) {
        self.entries.remove(key);
    }
}

/// A key without failures for twice the longest delay starts from the first delay again.
fn has_expired(entry: &Entry, failed_at: Timestamp) -> bool {
    failed_at.duration_since(entry.updated_at).unsigned_abs() > DELAY_MAX * 2 && failed_at > entry.updated_at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_to_the_longest_and_expire() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut backoff = Backoff::default();
        assert_eq!(backoff.waits_until("a", at(0), at(0)), None, "the first restart is at once");
        backoff.fail("a", at(0), at(0));
        for (failed, delay) in [(1, 10), (100, 20), (200, 40), (300, 80), (400, 160), (600, 300), (900, 300)]
        {
            let waits = backoff.waits_until("a", at(failed), at(failed));
            assert_eq!(waits, Some((at(failed + delay), Duration::from_secs(delay.unsigned_abs()))));
            assert_eq!(backoff.waits_until("a", at(failed), at(failed + delay)), None);
            backoff.fail("a", at(failed), at(failed));
        }
        assert_eq!(backoff.waits_until("a", at(900 + 601), at(1501)), None);
        backoff.fail("a", at(1501), at(1501));
        assert_eq!(backoff.waits_until("a", at(1502), at(1502)).unwrap().1, FIRST_DELAY);
        assert_eq!(backoff.waits_until("b", at(1502), at(1502)), None);
    }
}
