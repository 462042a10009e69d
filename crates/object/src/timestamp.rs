//! Points in time as the API writes them: `metav1.Time` with seconds, `metav1.MicroTime` with microseconds.
//!
//! Parsing is as strict as Go's `time.Parse` with the layouts of these types, and fails with its messages.

use std::fmt;
use std::ops::Range;

#[cfg(test)]
mod tests;

/// A point in time: seconds since 1970 and nanoseconds above them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Seconds since 1970 (UTC)
    pub seconds: i64,
    /// Nanoseconds, below 10^9
    pub nanos: u32,
}

/// How many digits the fraction of a second has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// `metav1.Time`: a fraction is read (of any length) and not written.
    Seconds,
    /// `metav1.MicroTime`: just six digits.
    Micros,
}

impl Precision {
    fn layout(self) -> &'static str {
        match self {
            Precision::Seconds => "2006-01-02T15:04:05Z07:00",
            Precision::Micros => "2006-01-02T15:04:05.000000Z07:00",
        }
    }
}

/// Why text is not a point in time, with Go's messages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// A part is not of its form.
    #[error(r#"parsing time {text:?} as "{layout}": cannot parse {rest:?} as "{part}""#)]
    Form {
        /// The whole text
        text: String,
        /// The layout
        layout: &'static str,
        /// The text from the part on
        rest: String,
        /// The part of the layout
        part: &'static str,
    },
    /// A part is out of its range.
    #[error("parsing time {text:?}: {part} out of range")]
    Range {
        /// The whole text
        text: String,
        /// `year`, `month`, `day`, `hour`, `minute` or `second`
        part: &'static str,
    },
    /// There is text behind the time.
    #[error("parsing time {text:?}: extra text: {extra:?}")]
    Extra {
        /// The whole text
        text: String,
        /// The part out of range
        extra: String,
    },
}

impl Timestamp {
    /// Go's zero time, 0001-01-01: its JSON form is `null`.
    pub const ZERO: Timestamp = Timestamp { seconds: -62_135_596_800, nanos: 0 };

    /// The seconds of the years 0 to 9999 in UTC: what RFC 3339 can write.
    pub const SECONDS: Range<i64> = -62_167_219_200..253_402_300_800;

    /// Reads RFC 3339 text.
    pub fn parse(text: &str, precision: Precision) -> Result<Timestamp, TimestampError> {
        Reader { text, rest: text, precision }.read()
    }

    /// The text in UTC with this precision.
    pub fn format(self, precision: Precision) -> String {
        let (year, month, day) = civil(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        let fraction = match precision {
            Precision::Seconds => String::new(),
            Precision::Micros => format!(".{:06}", self.nanos / 1000),
        };
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format(Precision::Seconds))
    }
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    precision: Precision,
}

impl<'a> Reader<'a> {
    fn form(&self, rest: &str, part: &'static str) -> TimestampError {
        let layout = self.precision.layout();
        TimestampError::Form { text: self.text.into(), layout, rest: rest.into(), part }
    }

    fn range(&self, part: &'static str) -> TimestampError {
        TimestampError::Range { text: self.text.into(), part }
    }

    /// A number of just `len` digits.
    fn digits(&mut self, len: usize, part: &'static str) -> Result<i64, TimestampError> {
        match self.rest.split_at_checked(len) {
            Some((digits, rest)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                self.rest = rest;
                Ok(digits.bytes().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
            }
            _ => Err(self.form(self.rest, part)),
        }
    }

    fn literal(&mut self, literal: &'static str) -> Result<(), TimestampError> {
        self.rest = self.rest.strip_prefix(literal).ok_or_else(|| self.form(self.rest, literal))?;
        Ok(())
    }

    fn read(mut self) -> Result<Timestamp, TimestampError> {
        let year = self.digits(4, "2006")?;
        self.literal("-")?;
        let month = self.digits(2, "01")?;
        if !(1..=12).contains(&month) {
            return Err(self.range("month"));
        }
        self.literal("-")?;
        let day = self.digits(2, "02")?;
        self.literal("T")?;
        let hour = self.digits(2, "15")?;
        if hour > 23 {
            return Err(self.range("hour"));
        }
        self.literal(":")?;
        let minute = self.digits(2, "04")?;
        if minute > 59 {
            return Err(self.range("minute"));
        }
        self.literal(":")?;
        let second = self.digits(2, "05")?;
        if second > 59 {
            return Err(self.range("second"));
        }
        let nanos = self.fraction()?;
        let offset = self.offset()?;
        if !self.rest.is_empty() {
            return Err(TimestampError::Extra { text: self.text.into(), extra: self.rest.into() });
        }
        if day < 1 || day > days_in(year, month) {
            return Err(self.range("day"));
        }
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        // The offset may lead out of the years that can be written, and so be read again.
        if !Timestamp::SECONDS.contains(&seconds) {
            return Err(self.range("year"));
        }
        Ok(Timestamp { seconds, nanos })
    }

    /// The fraction of the second, in nanoseconds.
    fn fraction(&mut self) -> Result<u32, TimestampError> {
        let digits = self.rest.strip_prefix(['.', ',']).unwrap_or_default();
        let len = digits.bytes().take_while(u8::is_ascii_digit).count();
        match self.precision {
            Precision::Seconds if len == 0 => return Ok(0),
            Precision::Micros if len != 6 => return Err(self.form(self.rest, ".000000")),
            _ => {}
        }
        self.rest = &digits[len..];
        let padded = digits[..len].bytes().chain(std::iter::repeat(b'0')).take(9);
        Ok(padded.fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }

    /// The distance of the zone from UTC, in seconds.
    fn offset(&mut self) -> Result<i64, TimestampError> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        const PART: &str = "Z07:00";
        let all = self.rest;
        let sign = match all.as_bytes().first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(self.form(all, PART)),
        };
        self.rest = &all[1..];
        let read = |reader: &mut Self| {
            let hours = reader.digits(2, PART)?;
            reader.literal(":")?;
            Ok((hours, reader.digits(2, PART)?))
        };
        let (hours, minutes) = read(self).map_err(|_: TimestampError| self.form(all, PART))?;
        if hours > 24 {
            return Err(self.range("time zone offset hour"));
        }
        if minutes > 60 {
            return Err(self.range("time zone offset minute"));
        }
        Ok(sign * (hours * 3600 + minutes * 60))
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March here, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_of_year = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_of_year + 2) / 5 + 1;
    let month = if month_of_year < 10 { month_of_year + 3 } else { month_of_year - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
