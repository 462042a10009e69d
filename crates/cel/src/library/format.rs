//! `string.format` of cel-go's strings library, up to its version 3: numbers with a point are written as in American
//! English.

use crate::value::{Evaluated, List, Value, type_name};
use crate::{EvaluationError, Meter, go};

/// How many digits behind the point there are if the format does not say.
const PRECISION: usize = 6;
/// The most digits behind the point: more than any number has.
const PRECISION_MAX: usize = 1_100;

type Formatted = Result<String, EvaluationError>;

pub(super) fn format<'v>(meter: &mut Meter<'_>, format: &str, values: &List<'v>) -> Evaluated<'v> {
    let mut out = String::with_capacity(format.len());
    let mut rest = format;
    let mut used = 0;
    while let Some((text, clause)) = rest.split_once('%') {
        out.push_str(text);
        if let Some(behind) = clause.strip_prefix('%') {
            out.push('%');
            rest = behind;
            continue;
        }
        let Some(value) = values.get(used) else { return failed(format!("index {used} out of range")) };
        used += 1;
        let value = value?;
        let (formatted, behind) = self::clause(meter, clause, &value)?;
        meter.use_bytes(formatted.len())?;
        out.push_str(&formatted);
        rest = behind;
    }
    out.push_str(rest);
    meter.use_bytes(out.len())?;
    Ok(Value::from(out))
}

fn failed<T>(message: String) -> Result<T, EvaluationError> {
    Err(EvaluationError::failed(message))
}

/// A value as a clause says, and the text behind the clause.
fn clause<'f>(
    meter: &mut Meter<'_>,
    clause: &'f str,
    value: &Value<'_>,
) -> Result<(String, &'f str), EvaluationError> {
    let (precision, rest) = match clause.strip_prefix('.') {
        None => (None, clause),
        Some(digits) => {
            let end = digits.find(|digit: char| !digit.is_ascii_digit()).ok_or_else(|| {
                EvaluationError::failed(
                    "could not parse formatting clause: error while parsing precision: \
                     could not find end of precision specifier",
                )
            })?;
            let (digits, rest) = digits.split_at(end);
            let precision = digits.parse::<usize>().map_err(|_| {
                EvaluationError::failed(
                    "could not parse formatting clause: error while parsing precision: \
                     error while converting precision to integer",
                )
            })?;
            (Some(precision.min(PRECISION_MAX)), rest)
        }
    };
    let Some(kind) = rest.chars().next() else { return failed("unexpected end of string".into()) };
    let behind = rest.get(kind.len_utf8()..).unwrap_or_default();
    let formatted = match kind {
        's' => string(meter, value),
        'd' => decimal(value),
        'f' => number(value, "fixed-point").map(|number| fixed(number, precision.unwrap_or(PRECISION))),
        'e' => number(value, "scientific").map(|number| scientific(number, precision.unwrap_or(PRECISION))),
        'b' => binary(value),
        'x' => hexadecimal(value, false),
        'X' => hexadecimal(value, true),
        'o' => octal(value),
        other => {
            return failed(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{other}\""
            ));
        }
    };
    match formatted {
        Err(EvaluationError::Failed(message)) => failed(format!("error during formatting: {message}")),
        other => Ok((other?, behind)),
    }
}

fn unfit(what: &str, value: &Value<'_>) -> Formatted {
    failed(format!("{what}, was given {}", type_name(&value.runtime_type())))
}

fn decimal(value: &Value<'_>) -> Formatted {
    match value {
        Value::Int(number) => Ok(number.to_string()),
        Value::Uint(number) => Ok(number.to_string()),
        _ => unfit("decimal clause can only be used on integers", value),
    }
}

fn number(value: &Value<'_>, clause: &str) -> Result<f64, EvaluationError> {
    match value {
        Value::Double(number) => Ok(*number),
        Value::String(text) if matches!(&**text, "NaN" | "Infinity" | "-Infinity") => {
            Ok(text.parse().unwrap_or(f64::NAN))
        }
        _ => {
            let name = type_name(&value.runtime_type()).into_owned();
            failed(format!("{clause} clause can only be used on doubles, was given {name}"))
        }
    }
}

/// A number that is not finite, in words.
fn special(number: f64) -> Option<String> {
    match number {
        number if number.is_nan() => Some("NaN".into()),
        f64::INFINITY => Some("\u{221e}".into()),
        f64::NEG_INFINITY => Some("-\u{221e}".into()),
        _ => None,
    }
}

/// With commas between groups of three digits.
fn fixed(number: f64, precision: usize) -> String {
    if let Some(special) = special(number) {
        return special;
    }
    let plain = format!("{number:.precision$}");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain.as_str()),
    };
    let whole = digits.find('.').unwrap_or(digits.len());
    let mut grouped = String::from(sign);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && place < whole && (whole - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `2.718280×10⁰⁰`, as the version of `x/text` that Kubernetes 1.37 has writes it; older ones put narrow spaces around the
/// sign.
fn scientific(number: f64, precision: usize) -> String {
    if let Some(special) = special(number) {
        return special;
    }
    let plain = go::format_scientific(number, precision);
    let Some((mantissa, exponent)) = plain.split_once('e') else { return plain };
    let mut text = format!("{mantissa}\u{d7}10");
    text.extend(exponent.chars().filter_map(|character| match character {
        '-' => Some('\u{207b}'),
        '1' => Some('\u{b9}'),
        '2' => Some('\u{b2}'),
        '3' => Some('\u{b3}'),
        digit => char::from_u32(0x2070 + digit.to_digit(10)?),
    }));
    text
}

fn binary(value: &Value<'_>) -> Formatted {
    match value {
        Value::Int(number) if *number < 0 => Ok(format!("-{:b}", number.unsigned_abs())),
        Value::Int(number) => Ok(format!("{number:b}")),
        Value::Uint(number) => Ok(format!("{number:b}")),
        Value::Bool(flag) => Ok(u8::from(*flag).to_string()),
        _ => unfit("only integers and bools can be formatted as binary", value),
    }
}

fn octal(value: &Value<'_>) -> Formatted {
    match value {
        Value::Int(number) if *number < 0 => Ok(format!("-{:o}", number.unsigned_abs())),
        Value::Int(number) => Ok(format!("{number:o}")),
        Value::Uint(number) => Ok(format!("{number:o}")),
        _ => unfit("octal clause can only be used on integers", value),
    }
}

fn hexadecimal(value: &Value<'_>, upper: bool) -> Formatted {
    let of_bytes = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let text = match value {
        Value::Int(number) if *number < 0 => format!("-{:x}", number.unsigned_abs()),
        Value::Int(number) => format!("{number:x}"),
        Value::Uint(number) => format!("{number:x}"),
        Value::String(text) => of_bytes(text.as_bytes()),
        Value::Bytes(bytes) => of_bytes(bytes),
        _ => return unfit("only integers, byte buffers, and strings can be formatted as hex", value),
    };
    Ok(if upper { text.to_ascii_uppercase() } else { text })
}

fn string(meter: &mut Meter<'_>, value: &Value<'_>) -> Formatted {
    Ok(match value {
        Value::List(_) | Value::Map(_) | Value::Object(_) => return nested(meter, value),
        Value::Null => "null".into(),
        Value::Double(number) => go::format_float(*number),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => return failed("invalid UTF-8 in bytes, cannot convert to string".into()),
        },
        Value::String(text) => {
            meter.use_bytes(text.len())?;
            text.to_string()
        }
        Value::Bool(_)
        | Value::Int(_)
        | Value::Uint(_)
        | Value::Timestamp(_)
        | Value::Duration(_)
        | Value::Type(_) => value.to_string(),
        _ => {
            return unfit(
                "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, \
                 and timestamps",
                value,
            );
        }
    })
}

/// A part of a list or map: as it is written in an expression.
fn nested(meter: &mut Meter<'_>, value: &Value<'_>) -> Formatted {
    meter.use_bytes(1)?;
    Ok(match value {
        Value::List(list) => {
            let items: Result<Vec<String>, _> = list.iter().map(|item| nested(meter, &item?)).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Map(map) => entries(meter, map.entries())?,
        Value::Object(object) => entries(meter, object.fields())?,
        Value::String(text) => {
            meter.use_bytes(text.len())?;
            go::quote(text)
        }
        Value::Bytes(_) => format!("b{}", go::quote(&string(meter, value)?)),
        Value::Double(number) if number.is_finite() => format!("{number:.PRECISION$}"),
        Value::Double(number) => go::quote(&go::format_float(*number)),
        Value::Timestamp(time) => format!("timestamp(\"{time}\")"),
        Value::Duration(span) => format!("duration(\"{span}\")"),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Type(_) => {
            string(meter, value)?
        }
        _ => return failed(format!("no formatting function for {}", type_name(&value.runtime_type()))),
    })
}

/// Sorted by their keys as they are written.
fn entries(meter: &mut Meter<'_>, entries: Vec<(Value<'_>, Evaluated<'_>)>) -> Formatted {
    let mut written = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        if !matches!(key, Value::String(_) | Value::Bool(_) | Value::Int(_) | Value::Uint(_)) {
            let name = type_name(&key.runtime_type()).into_owned();
            return failed(format!("no formatting function for map key of type {name}"));
        }
        written.push((nested(meter, &key)?, nested(meter, &value?)?));
    }
    written.sort_by(|(left, _), (right, _)| left.cmp(right));
    let written: Vec<String> = written.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
    Ok(format!("{{{}}}", written.join(", ")))
}
