//! Points and spans of time.

use std::cmp::Ordering;
use std::fmt;

use crate::EvaluationError;

const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// A point in time, of the years 1 to 9999. It is shown with the offset that it was written with.
#[derive(Clone, Copy, Debug)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
    /// How far the clock that it was written by is ahead of UTC, in seconds.
    offset: i32,
}

impl PartialEq for Timestamp {
    fn eq(&self, other: &Timestamp) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Timestamp {}

impl PartialOrd for Timestamp {
    fn partial_cmp(&self, other: &Timestamp) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timestamp {
    fn cmp(&self, other: &Timestamp) -> Ordering {
        self.nanos().cmp(&other.nanos())
    }
}

/// A span of time in nanoseconds, of up to 292 years.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(i64);

impl Timestamp {
    /// The first one, Go's zero value.
    pub const ZERO: Timestamp = Timestamp { seconds: Timestamp::SECONDS_MIN, nanos: 0, offset: 0 };
    const SECONDS_MIN: i64 = -62_135_596_800;
    const SECONDS_MAX: i64 = 253_402_300_799;

    /// Seconds since 1970 and nanoseconds above them; `None` beyond the years 1 to 9999.
    pub fn new(seconds: i64, nanos: u32) -> Option<Timestamp> {
        let is_valid = (Timestamp::SECONDS_MIN..=Timestamp::SECONDS_MAX).contains(&seconds);
        (is_valid && nanos < 1_000_000_000).then_some(Timestamp { seconds, nanos, offset: 0 })
    }

    /// Nanoseconds since 1970.
    pub(crate) fn nanos(self) -> i128 {
        i128::from(self.seconds) * NANOS_PER_SECOND + i128::from(self.nanos)
    }

    /// This point in time plus nanoseconds; `None` beyond the years 1 to 9999.
    pub(crate) fn plus(self, nanos: i128) -> Option<Timestamp> {
        Some(Timestamp { offset: self.offset, ..Timestamp::from_nanos(self.nanos().checked_add(nanos)?)? })
    }

    fn from_nanos(nanos: i128) -> Option<Timestamp> {
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
        let time = Timestamp::new(parsed.seconds, parsed.nanos)
            .ok_or_else(|| EvaluationError::failed("timestamp overflow"))?;
        Ok(Timestamp { offset: offset(text).unwrap_or(0), ..time })
    }
}

/// The offset at the end of a time that has been read: `+01:00`, in seconds. There is none in UTC.
fn offset(text: &str) -> Option<i32> {
    let (sign, rest) = text.split_at_checked(text.len().checked_sub(6)?)?.1.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let seconds = hours.parse::<i32>().ok()? * 3600 + minutes.parse::<i32>().ok()? * 60;
    match sign {
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

/// As RFC 3339, with the digits of the fraction that are needed.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = object::timestamp::Timestamp { seconds: self.seconds + i64::from(self.offset), nanos: 0 };
        let text = local.format(object::timestamp::Precision::Seconds);
        f.write_str(text.trim_end_matches('Z'))?;
        if self.nanos > 0 {
            let fraction = format!("{:09}", self.nanos);
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        if self.offset == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.unsigned_abs() / 60;
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
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
