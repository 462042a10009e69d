//! When a schedule is due next.
//!
//! Upstream's schedules go through local time from the largest unit to the smallest, and so do these, because what
//! happens where clocks are changed depends on it: a time that does not exist on a day is left out on that day, and a
//! time that exists twice is due twice.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::{Fields, Schedule, Times};

/// If nothing is found in so many years, there is nothing.
const YEARS_MAX: i16 = 5;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

impl Schedule {
    /// The first time after `after` at which it is due; `None` if there is none in the next five years. `local` is the time
    /// zone of schedules that name none.
    pub fn next(&self, after: Timestamp, local: &TimeZone) -> Option<Timestamp> {
        match &self.times {
            Times::Every(seconds) => Timestamp::from_second(after.as_second().checked_add(*seconds)?).ok(),
            // No need to search five years for what cannot be.
            Times::Fields(Fields { minutes, hours, months, .. })
                if [minutes, hours, months].iter().any(|values| values.bits == 0) =>
            {
                None
            }
            Times::Fields(fields) => {
                let zone = self.zone.as_ref().unwrap_or(local);
                // The second after it is the first that counts.
                let mut walk = Walk { zone, at: after.as_second() + 1, is_rounded: false };
                walk.find_next(fields)?;
                Timestamp::from_second(walk.at).ok()
            }
        }
    }
}

/// A time that moves on until it matches.
struct Walk<'a> {
    zone: &'a TimeZone,
    /// In seconds since the epoch.
    at: i64,
    /// Whether what is smaller than the unit that did not match was set to its start.
    is_rounded: bool,
}

/// Whether a unit matches, or a larger one has changed on the way, so that everything is to be looked at again.
#[derive(PartialEq)]
enum Found {
    Match,
    Wrapped,
}

impl Walk<'_> {
    fn find_next(&mut self, fields: &Fields) -> Option<()> {
        let year_max = self.local()?.year() + YEARS_MAX;
        while self.local()?.year() <= year_max {
            if self.find_month(fields)? == Found::Match
                && self.find_day(fields)? == Found::Match
                && self.find_hour(fields)? == Found::Match
                && self.find_minute(fields)? == Found::Match
            {
                return Some(());
            }
        }
        None
    }

    fn find_month(&mut self, fields: &Fields) -> Option<Found> {
        while !fields.months.contain(self.local()?.month()) {
            let mut month = self.local()?;
            if !std::mem::replace(&mut self.is_rounded, true) {
                month = month.date().first_of_month().at(0, 0, 0, 0);
            }
            self.go_to(month.checked_add(1.month()).ok()?)?;
            if self.local()?.month() == 1 {
                return Some(Found::Wrapped);
            }
        }
        Some(Found::Match)
    }

    fn find_day(&mut self, fields: &Fields) -> Option<Found> {
        while !matches_day(fields, self.local()?.date()) {
            let mut day = self.local()?;
            if !std::mem::replace(&mut self.is_rounded, true) {
                day = day.date().at(0, 0, 0, 0);
            }
            let before = self.at;
            self.go_to(day.checked_add(1.day()).ok()?)?;
            // Where midnight does not exist, the time before or after it was taken.
            let hour = i64::from(self.local()?.hour());
            self.at += if hour > 12 { (24 - hour) * HOUR } else { -hour * HOUR };
            if self.at <= before {
                // A whole day may not exist, where a zone moves across the date line.
                self.at = before + DAY;
            }
            if self.local()?.day() == 1 {
                return Some(Found::Wrapped);
            }
        }
        Some(Found::Match)
    }

    fn find_hour(&mut self, fields: &Fields) -> Option<Found> {
        while !fields.hours.contain(self.local()?.hour()) {
            if !std::mem::replace(&mut self.is_rounded, true) {
                let now = self.local()?;
                self.go_to(now.date().at(now.hour(), 0, 0, 0))?;
            }
            self.at += HOUR;
            if self.local()?.hour() == 0 {
                return Some(Found::Wrapped);
            }
        }
        Some(Found::Match)
    }

    /// To the first second of a minute that matches.
    fn find_minute(&mut self, fields: &Fields) -> Option<Found> {
        while !fields.minutes.contain(self.local()?.minute()) {
            if !std::mem::replace(&mut self.is_rounded, true) {
                self.at -= self.at.rem_euclid(MINUTE);
            }
            self.at += MINUTE;
            if self.local()?.minute() == 0 {
                return Some(Found::Wrapped);
            }
        }
        let second = i64::from(self.local()?.second());
        if second == 0 {
            return Some(Found::Match);
        }
        self.is_rounded = true;
        self.at += MINUTE - second;
        Some(Found::Wrapped)
    }

    fn local(&self) -> Option<DateTime> {
        Some(self.zone.to_datetime(Timestamp::from_second(self.at).ok()?))
    }

    /// To a local time. Of times that exist twice or not at all it takes the one that Go's `time.Date` takes.
    fn go_to(&mut self, local: DateTime) -> Option<()> {
        let as_utc = TimeZone::UTC.to_timestamp(local).ok()?.as_second();
        let offset = self.offset_at(as_utc)?;
        self.at = if offset == 0 { as_utc } else { as_utc - self.offset_at(as_utc - offset)? };
        Some(())
    }

    fn offset_at(&self, second: i64) -> Option<i64> {
        Some(i64::from(self.zone.to_offset(Timestamp::from_second(second).ok()?).seconds()))
    }
}

/// If both the days of the month and those of the week are limited, one of them is enough.
fn matches_day(fields: &Fields, date: Date) -> bool {
    let day = fields.days.contain(date.day());
    let weekday = fields.weekdays.contain(date.weekday().to_sunday_zero_offset());
    if fields.days.any || fields.weekdays.any { day && weekday } else { day || weekday }
}

#[cfg(test)]
mod tests;
