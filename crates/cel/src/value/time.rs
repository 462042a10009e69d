//! Points and spans of time.

use std::fmt;

use crate::EvaluationError;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A point in time, of the years 1 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

/// A span of time in nanoseconds, of up to 292 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(i64);

impl Timestamp {
    /// The first one, Go's zero value.
    pub const ZERO: Timestamp = Timestamp { seconds: Timestamp::SECONDS_MIN, nanos: 0 };
    const SECONDS_MIN: i64 = -62_135_596_800;
    const SECONDS_MAX: i64 = 253_402_300_799;

    /// Seconds since 1970 and nanoseconds above them; `None` beyond the years 1 to 9999.
    pub fn new(seconds: i64, nanos: u32) -> Option<Timestamp> {
        let is_valid = (Timestamp::SECONDS_MIN..=Timestamp::SECONDS_MAX).contains(&seconds);
        (is_valid && nanos < 1_000_000_000).then_some(Timestamp { seconds, nanos })
    }

    /// Nanoseconds since 1970.
    pub(crate) fn nanos(self) -> i128 {
        i128::from(self.seconds) * NANOS_PER_SECOND + i128::from(self.nanos)
    }

    pub(crate) fn from_nanos(nanos: i128) -> Option<Timestamp> {
        let seconds = i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).ok()?;
        Timestamp::new(seconds, u32::try_from(nanos.rem_euclid(NANOS_PER_SECOND)).ok()?)
    }

    /// Seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds above the seconds.
    pub fn subsecond_nanos(self) -> u32 {
        self.nanos
    }

    /// Reads the form of RFC 3339.
    ///
    /// # Errors
    /// Go's message.
    pub fn parse(text: &str) -> Result<Timestamp, EvaluationError> {
        let precision = object::timestamp::Precision::Seconds;
        let parsed = object::timestamp::Timestamp::parse(text, precision)
            .map_err(|error| EvaluationError::failed(error.to_string()))?;
        Timestamp::new(parsed.seconds, parsed.nanos)
            .ok_or_else(|| EvaluationError::failed("timestamp overflow"))
    }
}

/// As RFC 3339 in UTC, with the digits of the fraction that are needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = object::timestamp::Timestamp { seconds: self.seconds, nanos: 0 };
        let text = whole.format(object::timestamp::Precision::Seconds);
        if self.nanos == 0 {
            return f.write_str(&text);
        }
        let fraction = format!("{:09}", self.nanos);
        write!(f, "{}.{}Z", text.trim_end_matches('Z'), fraction.trim_end_matches('0'))
    }
}

impl Duration {
    /// Nothing.
    pub const ZERO: Duration = Duration(0);

    /// A span of nanoseconds.
    pub fn from_nanos(nanos: i64) -> Duration {
        Duration(nanos)
    }

    /// Its nanoseconds.
    pub fn nanos(self) -> i64 {
        self.0
    }
}

/// As seconds: `1.5s`.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000_000;
        let rest = self.0 % 1_000_000_000;
        write!(f, "{}s", seconds as f64 + rest as f64 / 1e9)
    }
}
