//! Human-readable durations.

use clock::Clock;
use object::Value;
use object::timestamp::{Precision, Timestamp};

#[cfg(test)]
mod tests;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;

/// The placeholder for an unknown time.
const UNKNOWN: &str = "<unknown>";

/// A duration in seconds with two or three significant figures, such as `5m30s` or `3d4h`
/// (`k8s.io/apimachinery/pkg/util/duration`). One negative second is attributed to clock skew, more is `<invalid>`.
pub fn human_duration(seconds: i64) -> String {
    let pair = |whole: i64, unit: &str, rest: i64, small: &str| match rest {
        0 => format!("{whole}{unit}"),
        rest => format!("{whole}{unit}{rest}{small}"),
    };
    match seconds {
        ..=-2 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => pair(s / MINUTE, "m", s % MINUTE, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => pair(s / HOUR, "h", s % HOUR / MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => pair(s / DAY, "d", s % DAY / HOUR, "h"),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => pair(s / YEAR, "y", s % YEAR / DAY, "d"),
        s => format!("{}y", s / YEAR),
    }
}

/// How long ago the object was created.
pub(crate) fn age(object: &Value, clock: &Clock) -> String {
    since(object.at("metadata.creationTimestamp"), clock)
}

/// How long ago a time was, with seconds or with microseconds.
pub(crate) fn since(time: &Value, clock: &Clock) -> String {
    since_or(time, clock, UNKNOWN)
}

/// The time elapsed since a time, or the placeholder if it is absent.
pub(crate) fn since_or(time: &Value, clock: &Clock, absent: &str) -> String {
    until_now(time, clock).map_or_else(|| absent.to_owned(), human_duration)
}

/// The whole seconds since a time; `None` if there is none.
pub(crate) fn until_now(time: &Value, clock: &Clock) -> Option<i64> {
    let now = clock.now();
    let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
    Some(span(instant(time)?, Timestamp { seconds: now.as_second(), nanos }))
}

/// The whole seconds from one time to another; `None` if one is missing.
pub(crate) fn seconds_between(start: &Value, end: &Value) -> Option<i64> {
    Some(span(instant(start)?, instant(end)?))
}

fn instant(time: &Value) -> Option<Timestamp> {
    // Fractions of any length are accepted, so microseconds need no special case.
    Timestamp::parse(time.as_str()?, Precision::Seconds).ok()
}

/// The seconds from one instant to another, cut towards zero.
fn span(start: Timestamp, end: Timestamp) -> i64 {
    let seconds = end.seconds - start.seconds;
    match end.nanos.cmp(&start.nanos) {
        std::cmp::Ordering::Less if seconds > 0 => seconds - 1,
        std::cmp::Ordering::Greater if seconds < 0 => seconds + 1,
        _ => seconds,
    }
}
