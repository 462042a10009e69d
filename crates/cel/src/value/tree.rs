//! Parts of objects as values, by their schema.

use base64::Engine;

use super::{Bytes, Duration, Evaluated, List, Map, Object, Timestamp, Value};
use crate::{EvaluationError, Shape, ShapeKind, Type};

impl<'v> Value<'v> {
    /// A part of an object. Without a schema, or where it allows several types, it is what it is in JSON; a schema also
    /// tells numbers from integers, and strings from times and bytes.
    ///
    /// # Errors
    /// The value is not of its schema.
    pub fn of_tree(tree: &'v object::Value, shape: Option<&'v Shape>) -> Evaluated<'v> {
        let Some(shape) = shape else { return Ok(dynamic(tree)) };
        match (tree, &shape.kind) {
            (object::Value::Null, _) => Ok(Value::Null),
            (_, ShapeKind::Dynamic) => Ok(dynamic(tree)),
            (object::Value::List(items), ShapeKind::List { .. }) => {
                Ok(Value::List(List::of_tree(items, Some(shape))))
            }
            (object::Value::Map(map), ShapeKind::Map { values }) => {
                Ok(Value::Map(Map::of_tree(map, Some(values))))
            }
            (object::Value::Map(map), ShapeKind::Object(object)) => {
                Ok(Value::Object(Object::of_tree(map, object)))
            }
            (_, ShapeKind::Scalar(scalar)) => self::scalar(tree, scalar),
            (_, ShapeKind::List { .. }) => {
                Err(invalid("expected an array for the provided schema with type=array"))
            }
            (_, ShapeKind::Map { .. } | ShapeKind::Object(_)) => {
                Err(invalid("expected a map for the provided schema with type=object"))
            }
        }
    }
}

fn dynamic(tree: &object::Value) -> Value<'_> {
    match tree {
        object::Value::Null => Value::Null,
        object::Value::Bool(value) => Value::Bool(*value),
        object::Value::Int(value) => Value::Int(*value),
        object::Value::Float(value) => Value::Double(*value),
        object::Value::String(text) => Value::from(text.as_ref()),
        object::Value::List(items) => Value::List(List::of_tree(items, None)),
        object::Value::Map(map) => Value::Map(Map::of_tree(map, None)),
    }
}

fn scalar<'v>(tree: &'v object::Value, scalar: &Type) -> Evaluated<'v> {
    let value = match (scalar, tree) {
        (Type::Bool, object::Value::Bool(value)) => Value::Bool(*value),
        (Type::Int, _) => Value::Int(tree.as_i64().ok_or_else(|| expected("int"))?),
        (Type::Double, _) => Value::Double(tree.as_f64().ok_or_else(|| expected("float"))?),
        (Type::String, object::Value::String(text)) => Value::from(text.as_ref()),
        (Type::Bytes, object::Value::String(text)) => base64::engine::general_purpose::STANDARD
            .decode(text.as_bytes())
            .map(|bytes| Value::Bytes(Bytes::from(bytes)))
            .map_err(|error| of_format("byte", text, &error))?,
        (Type::Duration, object::Value::String(text)) => {
            let nanos = object::duration::parse(text).or_else(|error| wordy_duration(text).ok_or(error));
            let nanos = nanos.map_err(|error| of_format("duration", text, &error))?;
            Value::Duration(Duration::from_nanos(nanos))
        }
        (Type::Timestamp, object::Value::String(text)) => {
            // A date alone is its midnight.
            let time = match text.len() {
                10 => Timestamp::parse(&format!("{text}T00:00:00Z")),
                _ => Timestamp::parse(text),
            };
            Value::Timestamp(time.map_err(|error| of_format("date-time", text, &error))?)
        }
        (Type::Null | Type::Dyn, _) => dynamic(tree),
        (Type::Bool, _) => return Err(expected("bool")),
        (Type::String | Type::Bytes | Type::Duration | Type::Timestamp, _) => return Err(expected("string")),
        _ => return Err(invalid("the schema has an unknown type")),
    };
    Ok(value)
}

/// Numbers with units, anywhere in a text, as formats of schemas allow them besides Go's durations: `3 weeks 1 day`. Their
/// sum in nanoseconds; `None` without any, or beyond 292 years.
fn wordy_duration(text: &str) -> Option<i64> {
    // The last word of a unit can go on: `secs`, `seconds`.
    const UNITS: [(&[&str], &str, i64); 8] = [
        (&["ns"], "nano", 1),
        (&["us", "\u{b5}s"], "micro", 1_000),
        (&["ms"], "milli", 1_000_000),
        (&["s"], "sec", 1_000_000_000),
        (&["m"], "min", 60_000_000_000),
        (&["h", "hr"], "hour", 3_600_000_000_000),
        (&["d"], "day", 86_400_000_000_000),
        (&["w", "wk"], "week", 604_800_000_000_000),
    ];
    let mut sum = None;
    let mut rest = text;
    while let Some(start) = rest.find(|character: char| character.is_ascii_digit()) {
        let (_, from) = rest.split_at(start);
        let end = from.find(|digit: char| !digit.is_ascii_digit()).unwrap_or(from.len());
        let (number, behind) = from.split_at(end);
        let behind = behind.trim_start();
        let is_end = |character: char| !(character.is_ascii_alphabetic() || character == '\u{b5}');
        let (unit, behind) = behind.split_at(behind.find(is_end).unwrap_or(behind.len()));
        let unit = unit.to_lowercase();
        let found =
            UNITS.iter().find(|(words, last, _)| words.contains(&unit.as_str()) || unit.starts_with(last));
        if let Some((_, _, nanos)) = found {
            let part = number.parse::<i64>().ok()?.checked_mul(*nanos)?;
            sum = Some(sum.unwrap_or(0i64).checked_add(part)?);
        }
        rest = behind;
    }
    sum
}

fn expected(name: &str) -> EvaluationError {
    invalid(&format!("expected {name}"))
}

fn invalid(what: &str) -> EvaluationError {
    EvaluationError::failed(format!("invalid data, {what}"))
}

fn of_format(format: &str, text: &str, error: &dyn std::fmt::Display) -> EvaluationError {
    EvaluationError::failed(format!("Invalid {format} formatted string {text}: {error}"))
}
