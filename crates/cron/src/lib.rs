//! Schedules in cron's standard format, as `robfig/cron` reads them, and the times at which they are due.
//!
//! | module | defines |
//! | --- | --- |
//! | [`zones`](zone) | time zones by name |
//! | `parse` | the texts of schedules, with upstream's messages |
//! | `next` | when a schedule is due next, also where clocks are changed |
//!
//! ```
//! use cron::Schedule;
//! use jiff::{Timestamp, tz::TimeZone};
//!
//! let schedule = Schedule::parse("30 2 * * mon-fri").unwrap();
//! let friday: Timestamp = "2026-01-02T12:00:00Z".parse().unwrap();
//! let monday: Timestamp = "2026-01-05T02:30:00Z".parse().unwrap();
//! assert_eq!(schedule.next(friday, &TimeZone::UTC), Some(monday));
//! ```
//!
//! This crate must not know what is scheduled.

use jiff::tz::TimeZone;

mod next;
mod parse;
mod zones;

pub use zones::zone;

/// A schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    times: Times,
    /// The zone that its text names.
    zone: Option<TimeZone>,
}

/// When a schedule is due.
#[derive(Clone, Debug, PartialEq)]
enum Times {
    /// At the minutes that match all fields.
    Fields(Fields),
    /// Again and again after this many seconds, which are at least one.
    Every(i64),
}

/// The values of a field, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Values {
    bits: u64,
    /// Whether the text says that any value will do.
    any: bool,
}

impl Values {
    fn contain(self, value: i8) -> bool {
        u32::try_from(value).is_ok_and(|value| self.bits.checked_shr(value).is_some_and(|bits| bits & 1 == 1))
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Fields {
    minutes: Values,
    hours: Values,
    days: Values,
    months: Values,
    /// From Sunday, which is 0.
    weekdays: Values,
}
