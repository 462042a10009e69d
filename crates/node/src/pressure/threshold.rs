//! The settings of evictions, in the syntax of upstream's flags.

use std::time::Duration;

use object::Quantity;

use super::signal::Signal;

/// An amount, absolute or as a part of the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Amount {
    Units(i64),
    Part(f64),
}

impl Amount {
    pub(crate) fn of(self, capacity: i64) -> i64 {
        match self {
            Amount::Units(units) => units,
            Amount::Part(part) => (capacity as f64 * part) as i64,
        }
    }

    fn parse(signal: Signal, text: &str) -> Result<Amount, ThresholdError> {
        let invalid = || ThresholdError::Amount { signal: signal.as_str(), text: text.to_owned() };
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.parse().map_err(|_| invalid())?;
            return match (0.0..=100.0).contains(&percent) {
                true => Ok(Amount::Part(percent / 100.0)),
                false => Err(invalid()),
            };
        }
        let units = Quantity::parse(text).map_err(|_| invalid())?.value();
        if units < 0 { Err(invalid()) } else { Ok(Amount::Units(units)) }
    }
}

/// A signal and its minimum.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Threshold {
    pub(crate) signal: Signal,
    pub(crate) value: Amount,
    /// How long it may be crossed; zero for a hard threshold.
    pub(crate) grace: Duration,
    /// How much more to reclaim once it is crossed.
    pub(crate) reclaim_min: Option<Amount>,
}

impl Threshold {
    pub(crate) fn is_hard(&self) -> bool {
        self.grace.is_zero()
    }
}

/// Why settings cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdError {
    /// There is no such signal.
    #[error(
        "unsupported eviction signal {0:?}: use memory.available, nodefs.available, nodefs.inodesFree, \
         imagefs.available, imagefs.inodesFree or pid.available"
    )]
    Signal(String),
    /// A setting has the wrong form.
    #[error("invalid eviction setting {text:?}: it must have the form {form}")]
    Form {
        /// The setting.
        text: String,
        /// The expected form.
        form: &'static str,
    },
    /// An amount cannot be read.
    #[error("invalid amount {text:?} for {signal}: use a positive quantity such as 100Mi, or 0% to 100%")]
    Amount {
        /// The signal.
        signal: &'static str,
        /// The amount.
        text: String,
    },
    /// A signal is set twice.
    #[error("duplicate eviction threshold for {0}")]
    Duplicate(&'static str),
    /// A soft threshold without its time.
    #[error("grace period must be specified for the soft eviction threshold {0}")]
    NoGracePeriod(&'static str),
    /// A duration cannot be read.
    #[error("invalid duration {0:?}: use a form such as 90s or 5m")]
    Duration(String),
}

/// The raw flags: lists of `signal<amount` or `signal=value`.
#[derive(Clone, Debug, Default)]
pub struct EvictionFlags<'a> {
    /// `--eviction-hard`; `None` for upstream's defaults.
    pub hard: Option<&'a [String]>,
    /// `--eviction-soft`.
    pub soft: &'a [String],
    /// `--eviction-soft-grace-period`.
    pub soft_grace: &'a [String],
    /// `--eviction-minimum-reclaim`.
    pub minimum_reclaim: &'a [String],
    /// `--eviction-max-pod-grace-period`, in seconds.
    pub pod_grace_seconds_max: i64,
    /// `--eviction-pressure-transition-period`.
    pub pressure_transition: &'a str,
}

/// When pods are evicted.
#[derive(Clone, Debug, PartialEq)]
pub struct EvictionConfig {
    pub(crate) thresholds: Vec<Threshold>,
    /// The maximum grace period of a pod when a soft threshold is crossed, in seconds.
    pub(crate) pod_grace_seconds_max: i64,
    /// How long a condition stays after it was last measured.
    pub(crate) pressure_transition: Duration,
}

/// Upstream's defaults on Linux.
const HARD: [(Signal, Amount); 5] = [
    (Signal::MemoryAvailable, Amount::Units(100 << 20)),
    (Signal::NodeFsAvailable, Amount::Part(0.10)),
    (Signal::NodeFsInodesFree, Amount::Part(0.05)),
    (Signal::ImageFsAvailable, Amount::Part(0.15)),
    (Signal::ImageFsInodesFree, Amount::Part(0.05)),
];
const PRESSURE_TRANSITION: Duration = Duration::from_secs(300);

impl Default for EvictionConfig {
    fn default() -> EvictionConfig {
        let hard = HARD.into_iter().map(|(signal, value)| Threshold {
            signal,
            value,
            grace: Duration::ZERO,
            reclaim_min: None,
        });
        EvictionConfig {
            thresholds: hard.collect(),
            pod_grace_seconds_max: 0,
            pressure_transition: PRESSURE_TRANSITION,
        }
    }
}

impl EvictionConfig {
    /// Reads flags.
    ///
    /// # Errors
    /// [`ThresholdError`] for the first that cannot be used.
    pub fn parse(flags: &EvictionFlags<'_>) -> Result<EvictionConfig, ThresholdError> {
        let mut thresholds = match flags.hard {
            Some(hard) => statements(hard)?,
            None => EvictionConfig::default().thresholds,
        };
        let graces = values(flags.soft_grace, |_, text| duration(text))?;
        for mut soft in statements(flags.soft)? {
            let grace = graces.iter().find(|(signal, _)| *signal == soft.signal);
            soft.grace = grace.ok_or(ThresholdError::NoGracePeriod(soft.signal.as_str()))?.1;
            thresholds.push(soft);
        }
        let reclaims = values(flags.minimum_reclaim, Amount::parse)?;
        for threshold in &mut thresholds {
            let more = reclaims.iter().find(|(signal, _)| *signal == threshold.signal);
            threshold.reclaim_min = more.map(|(_, amount)| *amount);
        }
        Ok(EvictionConfig {
            thresholds,
            pod_grace_seconds_max: flags.pod_grace_seconds_max,
            pressure_transition: duration(flags.pressure_transition)?,
        })
    }

    /// The amount that the hard threshold of a signal reserves.
    pub(crate) fn reserved(&self, signal: Signal, capacity: i64) -> i64 {
        let hard = self.thresholds.iter().filter(|threshold| threshold.is_hard());
        hard.filter(|threshold| threshold.signal == signal).map(|t| t.value.of(capacity)).max().unwrap_or(0)
    }
}

fn signal_of(text: &str) -> Result<Signal, ThresholdError> {
    Signal::parse(text).ok_or_else(|| ThresholdError::Signal(text.to_owned()))
}

/// Thresholds of the form `signal<amount`. Those of 0% and 100% are ignored, as upstream does.
fn statements(texts: &[String]) -> Result<Vec<Threshold>, ThresholdError> {
    let mut thresholds = Vec::<Threshold>::new();
    for text in texts.iter().filter(|text| !text.is_empty()) {
        let form = || ThresholdError::Form { text: text.clone(), form: "SIGNAL<AMOUNT" };
        let (signal, amount) = text.split_once('<').ok_or_else(form)?;
        let signal = signal_of(signal.trim())?;
        let value = Amount::parse(signal, amount.trim())?;
        if thresholds.iter().any(|threshold| threshold.signal == signal) {
            return Err(ThresholdError::Duplicate(signal.as_str()));
        }
        match value {
            Amount::Part(part) if part == 0.0 || part == 1.0 => continue,
            Amount::Units(0) => {
                return Err(ThresholdError::Amount { signal: signal.as_str(), text: amount.to_owned() });
            }
            _ => {}
        }
        thresholds.push(Threshold { signal, value, grace: Duration::ZERO, reclaim_min: None });
    }
    Ok(thresholds)
}

/// Values of the form `signal=value`.
fn values<T>(
    texts: &[String],
    parse: impl Fn(Signal, &str) -> Result<T, ThresholdError>,
) -> Result<Vec<(Signal, T)>, ThresholdError> {
    let parsed = texts.iter().filter(|text| !text.is_empty()).map(|text| {
        let form = || ThresholdError::Form { text: text.clone(), form: "SIGNAL=VALUE" };
        let (signal, value) = text.split_once('=').ok_or_else(form)?;
        let signal = signal_of(signal.trim())?;
        Ok((signal, parse(signal, value.trim())?))
    });
    parsed.collect()
}

/// A duration as Go writes it: `1h30m`, `90s`, `1m30s`.
fn duration(text: &str) -> Result<Duration, ThresholdError> {
    let invalid = || ThresholdError::Duration(text.to_owned());
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(invalid)?;
        let number: u64 = rest[..digits].parse().map_err(|_| invalid())?;
        let unit_end =
            rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let millis = match &rest[digits..unit_end] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(invalid()),
        };
        total += Duration::from_millis(number.checked_mul(millis).ok_or_else(invalid)?);
        rest = &rest[unit_end..];
    }
    if text.is_empty() { Err(invalid()) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn flags_are_read() {
        let hard = list(&["memory.available<1Gi", "nodefs.available<0%", "imagefs.inodesFree<5%"]);
        let (soft, grace) = (list(&["memory.available<2Gi"]), list(&["memory.available=1m30s"]));
        let reclaim = list(&["memory.available=500Mi"]);
        let flags = EvictionFlags {
            hard: Some(&hard),
            soft: &soft,
            soft_grace: &grace,
            minimum_reclaim: &reclaim,
            pod_grace_seconds_max: 20,
            pressure_transition: "30s",
        };
        let config = EvictionConfig::parse(&flags).unwrap();
        let more = Some(Amount::Units(500 << 20));
        let memory = |value: i64, seconds| Threshold {
            signal: Signal::MemoryAvailable,
            value: Amount::Units(value),
            grace: Duration::from_secs(seconds),
            reclaim_min: more,
        };
        let inodes = Threshold {
            signal: Signal::ImageFsInodesFree,
            value: Amount::Part(0.05),
            grace: Duration::ZERO,
            reclaim_min: None,
        };
        assert_eq!(config.thresholds, [memory(1 << 30, 0), inodes, memory(2 << 30, 90)]);
        assert_eq!(config.reserved(Signal::MemoryAvailable, 0), 1 << 30);
        assert_eq!(config.pressure_transition, Duration::from_secs(30));
        let defaults = EvictionFlags { pressure_transition: "5m0s", ..EvictionFlags::default() };
        assert_eq!(EvictionConfig::parse(&defaults).unwrap(), EvictionConfig::default());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let parse = |hard: &[&str], soft: &[&str], transition: &str| {
            let (hard, soft) = (list(hard), list(soft));
            let flags = EvictionFlags {
                hard: Some(&hard),
                soft: &soft,
                pressure_transition: transition,
                ..EvictionFlags::default()
            };
            EvictionConfig::parse(&flags).unwrap_err().to_string()
        };
        for (text, message) in [
            ("memory<1Gi", "unsupported eviction signal \"memory\""),
            ("memory.available=1Gi", "invalid eviction setting \"memory.available=1Gi\""),
            ("memory.available<x", "invalid amount \"x\" for memory.available"),
            ("memory.available<-1Gi", "invalid amount"),
            ("memory.available<101%", "invalid amount"),
            ("memory.available<0", "invalid amount"),
        ] {
            assert!(parse(&[text], &[], "5m").starts_with(message), "{text}");
        }
        assert_eq!(
            parse(&["pid.available<1", "pid.available<2"], &[], "5m"),
            "duplicate eviction threshold for pid.available"
        );
        assert!(parse(&[], &["pid.available<1"], "5m").starts_with("grace period must be specified"));
        assert!(parse(&[], &[], "5").starts_with("invalid duration"));
    }
}
