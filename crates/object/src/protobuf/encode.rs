//! The encoder.

use bytes::Bytes;
use schema::{Field, FieldType, Shape, TypeDef};

use super::EncodeError;
use super::well_known;
use super::wire::{FIXED64, VARINT, Writer};
use crate::{Map, Value};

mod union;

pub(super) fn encode(value: &Value, ty: &TypeDef) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    message(value, ty, &mut writer)?;
    Ok(writer.finish())
}

/// Writes the fields of a message; null is a message without any.
fn message(value: &Value, ty: &TypeDef, writer: &mut Writer) -> Result<(), EncodeError> {
    match value {
        Value::Map(map) => fields(map, ty, writer),
        Value::Null => fields(&Map::new(), ty, writer),
        _ => Err(EncodeError::mismatch(value, "an object")),
    }
}

fn fields(map: &Map, ty: &TypeDef, writer: &mut Writer) -> Result<(), EncodeError> {
    for field in ty.fields.iter().rev().filter(|field| field.number != 0) {
        match (&field.ty, field.inline) {
            (FieldType::Message(embedded), true) => {
                let end = writer.len();
                fields(map, embedded, writer)?;
                writer.close(field.number, end);
            }
            _ => {
                let value = map.get(&field.name).unwrap_or(&Value::Null);
                one_field(value, field, writer).map_err(|error| error.within(&field.name))?;
            }
        }
    }
    Ok(())
}

fn one_field(value: &Value, field: &Field, writer: &mut Writer) -> Result<(), EncodeError> {
    match (field.shape, value) {
        (Shape::Single, Value::Null) if field.pointer => Ok(()),
        (Shape::Single, _) => single(value, &field.ty, field.number, writer),
        (_, Value::Null) => Ok(()),
        (Shape::List, Value::List(items)) => {
            for (index, item) in items.iter().enumerate().rev() {
                single(item, &field.ty, field.number, writer)
                    .map_err(|error| error.within(format_args!("[{index}]")))?;
            }
            Ok(())
        }
        (Shape::List, _) => Err(EncodeError::mismatch(value, "a list")),
        (Shape::Map, Value::Map(map)) => entries(map, field, writer),
        (Shape::Map, _) => Err(EncodeError::mismatch(value, "an object")),
    }
}

/// The entries of a map: messages `{1: key, 2: value}`, sorted by key.
fn entries(map: &Map, field: &Field, writer: &mut Writer) -> Result<(), EncodeError> {
    let mut sorted: Vec<(&str, &Value)> = map.iter().collect();
    // Decoded maps are sorted already.
    if !sorted.is_sorted_by_key(|(key, _)| *key) {
        sorted.sort_unstable_by_key(|(key, _)| *key);
    }
    for (key, value) in sorted.into_iter().rev() {
        let end = writer.len();
        single(value, &field.ty, 2, writer).map_err(|error| error.within(key))?;
        writer.bytes(1, key.as_bytes());
        writer.close(field.number, end);
    }
    Ok(())
}

/// One value with its tag; null is the zero value.
fn single(value: &Value, ty: &FieldType, number: u32, writer: &mut Writer) -> Result<(), EncodeError> {
    match (ty, value) {
        (FieldType::Message(ty), _) => {
            let end = writer.len();
            message(value, ty, writer)?;
            writer.close(number, end);
        }
        (FieldType::String, Value::String(text)) => writer.bytes(number, text.as_bytes()),
        (FieldType::String, Value::Null) => writer.bytes(number, b""),
        (FieldType::String, _) => return Err(EncodeError::mismatch(value, "a string")),
        (FieldType::Bool, Value::Bool(truth)) => flag(number, *truth, writer),
        (FieldType::Bool, Value::Null) => flag(number, false, writer),
        (FieldType::Bool, _) => return Err(EncodeError::mismatch(value, "a truth value")),
        (FieldType::Int32 | FieldType::Int64, Value::Null) => writer.int(number, 0),
        (FieldType::Int32 | FieldType::Int64, _) => {
            writer.int(number, value.as_i64().ok_or_else(|| EncodeError::mismatch(value, "an integer"))?);
        }
        (FieldType::Double, _) => {
            let double = if value.is_null() { Some(0.0) } else { value.as_f64() };
            writer.put(&double.ok_or_else(|| EncodeError::mismatch(value, "a number"))?.to_le_bytes());
            writer.tag(number, FIXED64);
        }
        // A byte slice that is nil is not written, unlike an empty one.
        (FieldType::Bytes, Value::Null) => {}
        _ => {
            let end = writer.len();
            match ty {
                FieldType::JsonSchemaOrArray(schema) => union::schema_or_array(value, schema, writer)?,
                FieldType::JsonSchemaOrBool(schema) => union::schema_or_bool(value, schema, writer)?,
                FieldType::JsonSchemaOrStringArray(schema) => {
                    union::schema_or_strings(value, schema, writer)?;
                }
                _ => well_known::encode(value, ty, writer)?,
            }
            writer.close(number, end);
        }
    }
    Ok(())
}

fn flag(number: u32, truth: bool, writer: &mut Writer) {
    writer.put(&[u8::from(truth)]);
    writer.tag(number, VARINT);
}
