//! Conversions between types.

use crate::go;
use crate::operation::{Operation, fail};
use crate::value::{Bytes, Duration, Evaluated, Text, Timestamp, Value, type_name};

pub(super) fn operation(function: &str) -> Option<Operation> {
    Some(match function {
        "bool" => |_, args| one(args, bool),
        "bytes" => |_, args| one(args, bytes),
        "double" => |_, args| one(args, double),
        "duration" => |_, args| one(args, duration),
        "dyn" => |_, args| one(args, Ok),
        "int" => |_, args| one(args, int),
        "string" => |_, args| one(args, string),
        "timestamp" => |_, args| one(args, timestamp),
        "type" => |_, args| one(args, |value| Ok(Value::Type(value.runtime_type()))),
        "uint" => |_, args| one(args, uint),
        _ => return None,
    })
}

fn one<'v>(args: &mut [Value<'v>], convert: fn(Value<'v>) -> Evaluated<'v>) -> Evaluated<'v> {
    match args {
        [value] => convert(std::mem::take(value)),
        _ => Err(crate::EvaluationError::no_such_overload()),
    }
}

fn impossible<'v>(value: &Value<'_>, to: &str) -> Evaluated<'v> {
    let from = value.runtime_type();
    fail(format!("type conversion error from '{}' to '{to}'", type_name(&from)))
}

fn bool(value: Value<'_>) -> Evaluated<'_> {
    match &value {
        Value::Bool(_) => Ok(value),
        Value::String(text) => match &**text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            _ => impossible(&value, "bool"),
        },
        _ => impossible(&value, "bool"),
    }
}

fn bytes(value: Value<'_>) -> Evaluated<'_> {
    match &value {
        Value::Bytes(_) => Ok(value),
        Value::String(text) => Ok(Value::Bytes(Bytes::from(text.as_bytes().to_vec()))),
        _ => impossible(&value, "bytes"),
    }
}

fn double(value: Value<'_>) -> Evaluated<'_> {
    match &value {
        Value::Double(_) => Ok(value),
        Value::Int(number) => Ok(Value::Double(*number as f64)),
        Value::Uint(number) => Ok(Value::Double(*number as f64)),
        Value::String(text) => match go::parse_float(text) {
            Some(number) => Ok(Value::Double(number)),
            None => impossible(&value, "double"),
        },
        _ => impossible(&value, "double"),
    }
}

fn duration(value: Value<'_>) -> Evaluated<'_> {
    match &value {
        Value::Duration(_) => Ok(value),
        Value::String(text) => match object::duration::parse(text) {
            Ok(nanos) => Ok(Value::Duration(Duration::from_nanos(nanos))),
            Err(_) => impossible(&value, "google.protobuf.Duration"),
        },
        _ => impossible(&value, "google.protobuf.Duration"),
    }
}

fn int(value: Value<'_>) -> Evaluated<'_> {
    let converted = match &value {
        Value::Int(number) => Some(*number),
        Value::Uint(number) => i64::try_from(*number).ok(),
        // The bounds themselves are beyond what a double can tell from the numbers next to them.
        Value::Double(number) if *number > i64::MIN as f64 && *number < i64::MAX as f64 => {
            Some(*number as i64)
        }
        Value::Double(_) => None,
        Value::Timestamp(time) => Some(time.seconds()),
        Value::Duration(span) => Some(span.nanos()),
        Value::String(text) => match text.parse() {
            Ok(number) => Some(number),
            Err(_) => return impossible(&value, "int"),
        },
        _ => return impossible(&value, "int"),
    };
    converted.map_or_else(|| fail("integer overflow"), |number| Ok(Value::Int(number)))
}

fn uint(value: Value<'_>) -> Evaluated<'_> {
    let converted = match &value {
        Value::Uint(number) => Some(*number),
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Double(number) if *number >= 0.0 && *number < u64::MAX as f64 => Some(*number as u64),
        Value::Double(_) => None,
        // Go reads no sign here.
        Value::String(text) if !text.starts_with('+') => match text.parse() {
            Ok(number) => Some(number),
            Err(_) => return impossible(&value, "uint"),
        },
        _ => return impossible(&value, "uint"),
    };
    converted.map_or_else(|| fail("unsigned integer overflow"), |number| Ok(Value::Uint(number)))
}

fn string(value: Value<'_>) -> Evaluated<'_> {
    Ok(match &value {
        Value::String(_) => value,
        Value::Bool(flag) => Value::from(if *flag { "true" } else { "false" }),
        Value::Int(number) => Value::from(number.to_string()),
        Value::Uint(number) => Value::from(number.to_string()),
        Value::Double(number) => Value::from(go::format_float(*number)),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::String(Text::from(std::sync::Arc::<str>::from(text))),
            Err(_) => return fail("invalid UTF-8 in bytes, cannot convert to string"),
        },
        Value::Timestamp(time) => Value::from(time.to_string()),
        Value::Duration(span) => Value::from(span.to_string()),
        Value::Opaque(opaque) => match opaque.text().filter(|_| opaque.type_name().starts_with("net.")) {
            Some(text) => Value::from(text),
            None => return impossible(&value, "string"),
        },
        _ => return impossible(&value, "string"),
    })
}

fn timestamp(value: Value<'_>) -> Evaluated<'_> {
    match &value {
        Value::Timestamp(_) => Ok(value),
        Value::Int(seconds) => Timestamp::new(*seconds, 0)
            .map_or_else(|| fail("timestamp overflow"), |time| Ok(Value::Timestamp(time))),
        Value::String(text) => match Timestamp::parse(text) {
            Ok(time) => Ok(Value::Timestamp(time)),
            Err(error) if error.to_string() == "timestamp overflow" => Err(error),
            Err(_) => impossible(&value, "google.protobuf.Timestamp"),
        },
        _ => impossible(&value, "google.protobuf.Timestamp"),
    }
}
