//! Values as parts of objects, for mutations.

use base64::Engine;

use super::{Evaluated, Value};
use crate::{EvaluationError, Meter};

impl<'v> Value<'v> {
    /// A field of an object, or the value of a string key of a map.
    pub fn field(&self, name: &str) -> Option<Evaluated<'v>> {
        match self {
            Value::Object(object) => object.field(name),
            Value::Map(map) => map.field(name),
            _ => None,
        }
    }

    /// The value as JSON has it: times, durations and quantities are strings, bytes are base64.
    ///
    /// # Errors
    /// A key of a map is not a string, a part has no form in JSON, or the result exceeds the meter's bound.
    pub fn to_tree(&self, meter: &mut Meter<'_>) -> Result<object::Value, EvaluationError> {
        meter.use_bytes(size_of::<object::Value>())?;
        Ok(match self {
            Value::Null => object::Value::Null,
            Value::Bool(value) => object::Value::Bool(*value),
            Value::Int(value) => object::Value::Int(*value),
            Value::Uint(value) => match i64::try_from(*value) {
                Ok(value) => object::Value::Int(value),
                Err(_) => object::Value::Float(*value as f64),
            },
            Value::Double(value) if value.is_finite() => object::Value::Float(*value),
            Value::String(text) => string(text, meter)?,
            Value::Bytes(bytes) => {
                string(&base64::engine::general_purpose::STANDARD.encode(&**bytes), meter)?
            }
            Value::Timestamp(time) => string(&time.to_string(), meter)?,
            Value::Duration(span) => string(&span.to_string(), meter)?,
            Value::List(list) => {
                let items: Result<Vec<_>, _> = list.iter().map(|item| item?.to_tree(meter)).collect();
                object::Value::List(items?)
            }
            Value::Map(map) => members(map.entries(), meter)?,
            // Names in JSON need no escapes.
            Value::Object(object) => match object.tree() {
                Some(tree) => {
                    let tree = object::Value::Map(tree.clone());
                    meter.use_bytes(tree.parts().saturating_mul(size_of::<object::Value>()))?;
                    tree
                }
                None => members(object.fields(), meter)?,
            },
            Value::Opaque(value) => match value.text() {
                Some(text) => string(&text, meter)?,
                None => return Err(no_json(value.type_name())),
            },
            Value::Double(_) => return Err(no_json("a number that is not finite")),
            Value::Optional(_) => return Err(no_json("optional_type")),
            Value::Type(_) => return Err(no_json("type")),
        })
    }
}

fn string(text: &str, meter: &mut Meter<'_>) -> Result<object::Value, EvaluationError> {
    meter.use_bytes(text.len())?;
    Ok(object::Value::String(text.into()))
}

fn members(
    entries: Vec<(Value<'_>, Evaluated<'_>)>,
    meter: &mut Meter<'_>,
) -> Result<object::Value, EvaluationError> {
    let mut map = object::Map::with_capacity(entries.len());
    for (key, value) in entries {
        let Some(key) = key.as_str() else { return Err(no_json("a map whose keys are not strings")) };
        meter.use_bytes(key.len())?;
        map.insert(object::Key::from(Box::<str>::from(key)), value?.to_tree(meter)?);
    }
    Ok(object::Value::Map(map))
}

fn no_json(what: &str) -> EvaluationError {
    EvaluationError::failed(format!("{what} cannot be converted to JSON"))
}
