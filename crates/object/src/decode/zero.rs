//! Zero values, written or omitted as by Go's JSON encoder.

use schema::{Field, FieldType, Shape, TypeDef};

use crate::{Key, Map, Value};

/// Adds the fields that Go's JSON form shows although they are not set.
pub(crate) fn add_always(map: &mut Map, ty: &TypeDef) {
    for field in ty.fields.iter() {
        match (&field.ty, field.inline) {
            (FieldType::Message(embedded), true) => add_always(map, embedded),
            _ if field.always_in_json && !map.contains_key(&field.name) => {
                map.push(Key::from(&field.name), zero_of_field(field));
            }
            _ => {}
        }
    }
}

/// Adds, at every depth, the fields that Go's JSON form shows although they are not set.
pub(super) fn complete(value: &mut Value, ty: &TypeDef) {
    let Value::Map(map) = value else { return };
    for (key, member) in map.iter_mut() {
        let Some(field) = ty.lookup(key).map(|place| place.field) else { continue };
        let Some(message) = field.message() else { continue };
        match (field.shape, &field.ty) {
            (Shape::Single, FieldType::Message(_)) => complete(member, message),
            (Shape::List, FieldType::Message(_)) => {
                member.items_mut().for_each(|item| complete(item, message));
            }
            (Shape::Map, FieldType::Message(_)) => {
                let entries = member.as_map_mut().into_iter().flat_map(Map::iter_mut);
                entries.for_each(|(_, item)| complete(item, message));
            }
            _ => {}
        }
    }
    add_always(map, ty);
}

/// What Go's JSON form shows for a field that is not set.
fn zero_of_field(field: &Field) -> Value {
    match field.shape {
        Shape::Single if !field.pointer => zero(&field.ty),
        _ => Value::Null,
    }
}

/// The value in Go's JSON for a zero value that is not a pointer.
pub(crate) fn zero(ty: &FieldType) -> Value {
    match ty {
        FieldType::Bool => Value::Bool(false),
        FieldType::Int32 | FieldType::Int64 | FieldType::IntOrString => Value::Int(0),
        FieldType::Double => Value::Float(0.0),
        FieldType::String => Value::from(""),
        FieldType::Duration => Value::from("0s"),
        FieldType::Quantity => Value::from("0"),
        FieldType::Message(ty) => {
            let mut map = Map::new();
            add_always(&mut map, ty);
            Value::Map(map)
        }
        FieldType::Bytes
        | FieldType::Time
        | FieldType::MicroTime
        | FieldType::RawExtension
        | FieldType::FieldsV1
        | FieldType::Json
        | FieldType::StringList
        | FieldType::Nested(_)
        | FieldType::JsonSchemaOrArray(_)
        | FieldType::JsonSchemaOrBool(_)
        | FieldType::JsonSchemaOrStringArray(_) => Value::Null,
    }
}

/// Whether Go's JSON omits the field when it has this value: `null`, and empty values of fields that are neither
/// pointers nor always shown. [`add_always`] brings `null` back where Go shows it.
pub(crate) fn absent(field: &Field, value: &Value) -> bool {
    if value.is_null() {
        return true;
    }
    if field.always_in_json {
        return false;
    }
    match (field.shape, &field.ty) {
        (Shape::List | Shape::Map, _) => value.is_empty(),
        // A byte slice that is empty, but not nil: kept apart in protobuf, left out of JSON.
        (Shape::Single, FieldType::Bytes) => value.is_empty(),
        (Shape::Single, FieldType::Bool | FieldType::Int32 | FieldType::Int64) => {
            !field.pointer && value.is_empty()
        }
        (Shape::Single, FieldType::Double | FieldType::String) => !field.pointer && value.is_empty(),
        _ => false,
    }
}
