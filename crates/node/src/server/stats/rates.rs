//! Processor use at present, from two samples of counters.

use std::collections::HashMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

/// The shortest time between the two samples: the kernel's counters are coarse.
pub(super) const WINDOW_MIN: Duration = Duration::from_millis(500);
/// A sample that is older says nothing of the present.
const AGE_MAX: SignedDuration = SignedDuration::from_secs(60);

/// Who uses processors.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    Node,
    /// By UID.
    Pod(String),
    /// By ID.
    Container(String),
}

/// A reading of a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    /// Nanoseconds of all processors.
    pub(super) nanos: u64,
}

/// The last sample of a subject, and the use that it showed with the one before.
#[derive(Clone, Copy, Debug)]
struct Last {
    sample: Sample,
    nano_cores: Option<u64>,
}

/// Remembers samples from one request to the next.
#[derive(Debug, Default)]
pub(in crate::server) struct Rates(Mutex<HashMap<Subject, Last>>);

/// The present use, in nanoseconds per second.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    nano_cores: HashMap<Subject, u64>,
    /// Another sample, [`WINDOW_MIN`] from now, would tell more.
    pub(super) is_partial: bool,
}

impl Observed {
    pub(super) fn of(&self, subject: &Subject) -> Option<u64> {
        self.nano_cores.get(subject).copied()
    }
}

impl Rates {
    /// Takes new samples of all subjects that there are.
    pub(super) fn observe(&self, samples: impl IntoIterator<Item = (Subject, Sample)>) -> Observed {
        let mut known = self.0.lock();
        let mut observed = Observed::default();
        let mut newest = Timestamp::MIN;
        for (subject, sample) in samples {
            newest = newest.max(sample.at);
            let last = next(known.get(&subject).copied(), sample);
            match last.nano_cores {
                Some(nano_cores) => drop(observed.nano_cores.insert(subject.clone(), nano_cores)),
                None => observed.is_partial = true,
            }
            known.insert(subject, last);
        }
        known.retain(|_, last| newest.duration_since(last.sample.at) <= AGE_MAX);
        observed
    }
}

/// What to remember after a new sample.
fn next(last: Option<Last>, sample: Sample) -> Last {
    let first = Last { sample, nano_cores: None };
    let Some(last) = last else { return first };
    let window = sample.at.duration_since(last.sample.at);
    // The counter began anew.
    let Some(nanos) = sample.nanos.checked_sub(last.sample.nanos) else { return first };
    if window > AGE_MAX {
        return first;
    }
    match u128::try_from(window.as_nanos()) {
        Ok(window) if window >= WINDOW_MIN.as_nanos() => {
            let nano_cores = u128::from(nanos) * 1_000_000_000 / window;
            Last { sample, nano_cores: u64::try_from(nano_cores).ok() }
        }
        _ => last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(milliseconds: i64, nanos: u64) -> (Subject, Sample) {
        let at = Timestamp::from_millisecond(1_800_000_000_000 + milliseconds).unwrap();
        (Subject::Node, Sample { at, nanos })
    }

    fn observe(rates: &Rates, milliseconds: i64, nanos: u64) -> Option<u64> {
        let observed = rates.observe([sample(milliseconds, nanos)]);
        assert_eq!(observed.is_partial, observed.of(&Subject::Node).is_none());
        observed.of(&Subject::Node)
    }

    #[test]
    fn a_rate_needs_two_samples() {
        let rates = Rates::default();
        assert_eq!(observe(&rates, 0, 5_000), None);
        // Too soon to tell.
        assert_eq!(observe(&rates, 499, 9_000_000), None);
        // A quarter of a second of work within half a second.
        assert_eq!(observe(&rates, 500, 250_005_000), Some(500_000_000));
        // The last rate holds until there is a new one.
        assert_eq!(observe(&rates, 900, 999_000_000), Some(500_000_000));
        assert_eq!(observe(&rates, 2_500, 250_005_000), Some(0));
    }

    #[test]
    fn neither_old_samples_nor_other_counters_make_a_rate() {
        let rates = Rates::default();
        assert_eq!(observe(&rates, 0, 5_000), None);
        assert_eq!(observe(&rates, 60_001, 6_000), None);
        assert_eq!(observe(&rates, 61_001, 5_000), None, "it began anew");
        assert_eq!(observe(&rates, 62_001, 6_000), Some(1_000));
    }

    #[test]
    fn who_is_gone_is_forgotten() {
        let rates = Rates::default();
        let (_, old) = sample(0, 1);
        rates.observe([(Subject::Container("gone".into()), old), sample(0, 1)]);
        assert_eq!(rates.0.lock().len(), 2);
        observe(&rates, 60_001, 2);
        assert_eq!(rates.0.lock().len(), 1);
    }
}
