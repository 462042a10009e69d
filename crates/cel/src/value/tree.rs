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
        (Type::Duration, object::Value::String(text)) => object::duration::parse(text)
            .map(|nanos| Value::Duration(Duration::from_nanos(nanos)))
            .map_err(|error| of_format("duration", text, &error))?,
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

fn expected(name: &str) -> EvaluationError {
    invalid(&format!("expected {name}"))
}

fn invalid(what: &str) -> EvaluationError {
    EvaluationError::failed(format!("invalid data, {what}"))
}

fn of_format(format: &str, text: &str, error: &dyn std::fmt::Display) -> EvaluationError {
    EvaluationError::failed(format!("Invalid {format} formatted string {text}: {error}"))
}
