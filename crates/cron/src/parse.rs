//! The texts of schedules.

use super::{Fields, Schedule, Times, Values, zone};

/// The values of one field of a schedule.
struct Bounds {
    min: u64,
    max: u64,
    /// Names that stand for values; the first is that of `min`.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Minute, hour, day of the month, month, day of the week.
const FIELDS: [Bounds; 5] = [
    Bounds { min: 0, max: 59, names: &[] },
    Bounds { min: 0, max: 23, names: &[] },
    Bounds { min: 1, max: 31, names: &[] },
    Bounds { min: 1, max: 12, names: &MONTHS },
    Bounds { min: 0, max: 6, names: &DAYS },
];

/// Names of schedules.
const DESCRIPTORS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Schedule {
    /// Reads a schedule: five fields, a name such as `@daily` or a pause such as `@every 1h30m`, each after a time zone
    /// (`TZ=Europe/Berlin`) or without one.
    ///
    /// # Errors
    /// What is wrong with it, in the words of `robfig/cron`.
    pub fn parse(text: &str) -> Result<Schedule, String> {
        if text.is_empty() {
            return Err("empty spec string".to_owned());
        }
        let (mut rest, mut named) = (text, None);
        if let Some(name_first) = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ=")) {
            let (name, schedule) = name_first.split_once(' ').unwrap_or((name_first, ""));
            rest = schedule.trim();
            if name != "Local" {
                let found = zone(name).map_err(|why| format!("provided bad location {name}: {why}"))?;
                named = Some(found);
            }
        }
        let times = if rest.starts_with('@') { described(rest)? } else { Times::Fields(fields(rest)?) };
        Ok(Schedule { times, zone: named })
    }
}

fn described(text: &str) -> Result<Times, String> {
    if let Some((_, meaning)) = DESCRIPTORS.iter().find(|(name, _)| *name == text) {
        return Ok(Times::Fields(fields(meaning)?));
    }
    let Some(duration) = text.strip_prefix("@every ") else {
        return Err(format!("unrecognized descriptor: {text}"));
    };
    match object::duration::parse(duration) {
        // Pauses are whole seconds.
        Ok(nanos) => Ok(Times::Every((nanos / 1_000_000_000).max(1))),
        Err(error) => Err(format!("failed to parse duration {text}: {error}")),
    }
}

fn fields(text: &str) -> Result<Fields, String> {
    let texts: Vec<&str> = text.split_whitespace().collect();
    let [minutes, hours, days, months, weekdays] = texts[..] else {
        let (expected, found) = (FIELDS.len(), texts.len());
        return Err(format!("expected exactly {expected} fields, found {found}: [{}]", texts.join(" ")));
    };
    let [in_minutes, in_hours, in_days, in_months, in_weekdays] = &FIELDS;
    Ok(Fields {
        minutes: values(minutes, in_minutes)?,
        hours: values(hours, in_hours)?,
        days: values(days, in_days)?,
        months: values(months, in_months)?,
        weekdays: values(weekdays, in_weekdays)?,
    })
}

fn values(field: &str, bounds: &Bounds) -> Result<Values, String> {
    let mut values = Values::default();
    for range in field.split(',').filter(|range| !range.is_empty()) {
        let Values { bits, any } = range_values(range, bounds)?;
        values = Values { bits: values.bits | bits, any: values.any || any };
    }
    Ok(values)
}

/// `*`, `7`, `1-5`, each with a step or without: `*/15`.
fn range_values(range: &str, bounds: &Bounds) -> Result<Values, String> {
    let (span, steps) = range.split_once('/').map_or((range, None), |(span, steps)| (span, Some(steps)));
    let ends: Vec<&str> = span.split('-').collect();
    let is_any = matches!(ends[0], "*" | "?");
    let (start, mut end) = match ends.as_slice() {
        _ if is_any => (bounds.min, bounds.max),
        [only] => {
            let only = number_or_name(only, bounds)?;
            (only, only)
        }
        [start, end] => (number_or_name(start, bounds)?, number_or_name(end, bounds)?),
        _ => return Err(format!("too many hyphens: {range}")),
    };
    let step = match steps {
        None => 1,
        Some(steps) if steps.contains('/') => return Err(format!("too many slashes: {range}")),
        Some(steps) => {
            if ends.len() == 1 {
                end = bounds.max;
            }
            number(steps)?
        }
    };
    let (min, max) = (bounds.min, bounds.max);
    if start < min {
        return Err(format!("beginning of range ({start}) below minimum ({min}): {range}"));
    }
    if end > max {
        return Err(format!("end of range ({end}) above maximum ({max}): {range}"));
    }
    if start > end {
        return Err(format!("beginning of range ({start}) beyond end of range ({end}): {range}"));
    }
    if step == 0 {
        return Err(format!("step of range should be a positive number: {range}"));
    }
    let bits = (start..=end)
        .step_by(usize::try_from(step).unwrap_or(usize::MAX))
        .fold(0, |bits, value| bits | 1 << value);
    Ok(Values { bits, any: is_any && step == 1 })
}

fn number_or_name(text: &str, bounds: &Bounds) -> Result<u64, String> {
    let lower = text.to_lowercase();
    match (bounds.min..).zip(bounds.names).find(|(_, name)| **name == lower) {
        Some((value, _)) => Ok(value),
        None => number(text),
    }
}

fn number(text: &str) -> Result<u64, String> {
    match text.parse::<i64>() {
        Ok(number) => {
            u64::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
        }
        Err(_) => {
            let quoted = object::quote(text);
            Err(format!("failed to parse int from {text}: strconv.Atoi: parsing {quoted}: invalid syntax"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules() {
        for good in [
            "* * * * *",
            "*/15 0-12/2 1,15 jan-MAR mon",
            "? 5/10 * * 0,6",
            "@hourly",
            "@every 1h30m",
            "TZ=UTC 0 0 * * *",
        ] {
            assert!(Schedule::parse(good).is_ok(), "{good}");
        }
        let cases = [
            ("", "empty spec string"),
            ("* * *", "expected exactly 5 fields, found 3: [* * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("1/2/3 * * * *", "too many slashes: 1/2/3"),
            ("x * * * *", r#"failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax"#),
            ("*/-5 * * * *", "negative number (-5) not allowed: -5"),
            (
                "TZ=Europe/Atlantis * * * * *",
                "provided bad location Europe/Atlantis: unknown time zone Europe/Atlantis",
            ),
            ("CRON_TZ=UTC", "expected exactly 5 fields, found 0: []"),
            ("@every 5", r#"failed to parse duration @every 5: time: missing unit in duration "5""#),
            ("@often", "unrecognized descriptor: @often"),
        ];
        for (wrong, why) in cases {
            assert_eq!(Schedule::parse(wrong), Err(why.to_owned()), "{wrong}");
        }
    }
}
