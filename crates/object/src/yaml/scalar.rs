//! The meaning of plain scalars in go-yaml v2.

use crate::Value;

/// The meaning of a plain scalar.
#[derive(Debug, PartialEq)]
pub(super) enum Plain {
    /// `null`, a truth value or a number that JSON can express
    Value(Value),
    /// A number that JSON cannot express
    NotFinite,
    /// `<<`
    Merge,
    /// A string
    Text,
}

pub(super) fn resolve(text: &str) -> Plain {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            Plain::Value(Value::Bool(true))
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            Plain::Value(Value::Bool(false))
        }
        "" | "~" | "null" | "Null" | "NULL" => Plain::Value(Value::Null),
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf"
        | "-.Inf" | "-.INF" => Plain::NotFinite,
        "<<" => Plain::Merge,
        _ => match text.as_bytes().first() {
            Some(b'0'..=b'9' | b'+' | b'-' | b'.') if !is_timestamp(text) => number(text),
            _ => Plain::Text,
        },
    }
}

fn number(text: &str) -> Plain {
    let plain = text.replace('_', "");
    if let Some(integer) = integer(&plain) {
        return Plain::Value(match i64::try_from(integer) {
            Ok(integer) => Value::Int(integer),
            Err(_) => Value::Float(integer as f64),
        });
    }
    if !is_float(&plain) {
        return Plain::Text;
    }
    match plain.parse::<f64>() {
        Ok(float) if !float.is_finite() => Plain::Text,
        // JSON text of a whole number has no point, and is read back as an integer.
        Ok(float) if float.fract() == 0.0 && float.abs() < 9.2e18 => Plain::Value(Value::Int(float as i64)),
        Ok(float) => Plain::Value(Value::Float(float)),
        Err(_) => Plain::Text,
    }
}

/// An integer as Go's `ParseInt` with base 0 reads it, within 64 bits (signed or not).
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let radix_of = |prefix: Option<&str>| match prefix {
        Some("0x" | "0X") => Some(16),
        Some("0o" | "0O") => Some(8),
        Some("0b" | "0B") => Some(2),
        _ => None,
    };
    let (radix, digits) = match radix_of(digits.get(..2)) {
        Some(radix) => (radix, &digits[2..]),
        None if digits.len() > 1 && digits.starts_with('0') => (8, &digits[1..]),
        None => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let number = i128::from_str_radix(digits, radix).ok()?;
    let number = if negative { -number } else { number };
    (number >= i128::from(i64::MIN) && number <= i128::from(u64::MAX)).then_some(number)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => digits(fraction),
        Some((whole, fraction)) => digits(whole) && (fraction.is_empty() || digits(fraction)),
        None => digits(mantissa),
    };
    mantissa_fits && exponent.is_none_or(|e| digits(e.strip_prefix(['-', '+']).unwrap_or(e)))
}

/// Whether go-yaml sees a point in time, which it keeps as the string it is (and quotes when it writes).
pub(super) fn is_timestamp(text: &str) -> bool {
    let Some((date, time)) = text.find(['T', 't', ' ']).map(|at| text.split_at(at)).or(Some((text, "")))
    else {
        return false;
    };
    let mut parts = date.split('-');
    let number = |part: Option<&str>, len: std::ops::RangeInclusive<usize>| {
        part.filter(|part| len.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|part| part.parse::<u32>().ok())
    };
    let date = (number(parts.next(), 4..=4), number(parts.next(), 1..=2), number(parts.next(), 1..=2));
    let (Some(_), Some(1..=12), Some(1..=31), None) = (date.0, date.1, date.2, parts.next()) else {
        return false;
    };
    if time.is_empty() {
        return true;
    }
    let spaced = time.starts_with(' ');
    let (clock, zone) = match time[1..].find(['Z', '+', '-']) {
        Some(at) => time[1..].split_at(at),
        None => (&time[1..], ""),
    };
    if spaced != zone.is_empty() {
        return false;
    }
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut parts = clock.split(':');
    let clock = (number(parts.next(), 1..=2), number(parts.next(), 1..=2), number(parts.next(), 1..=2));
    let (Some(0..=23), Some(0..=59), Some(0..=59), None) = (clock.0, clock.1, clock.2, parts.next()) else {
        return false;
    };
    let zone_fits = match zone.as_bytes() {
        [] | [b'Z'] => true,
        [b'+' | b'-', a, b, b':', c, d] => [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    zone_fits && !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a string must be quoted, because without quotes it would mean something else.
pub(super) fn is_ambiguous(text: &str) -> bool {
    resolve(text) != Plain::Text || is_timestamp(text) || is_base_60(text)
}

/// `[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?`, a float in YAML 1.1 that go-yaml does not read.
fn is_base_60(text: &str) -> bool {
    let text = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (text, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits_or_lines = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let mut parts = text.split(':');
    let first = parts.next().unwrap_or_default();
    let mut rest = parts.peekable();
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits_or_lines(first)
        && digits_or_lines(fraction)
        && rest.peek().is_some()
        && rest.all(|part| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']))
}
