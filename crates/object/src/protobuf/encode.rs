//! The encoder.

use bytes::Bytes;
use schema::{Field, FieldType, Shape, TypeDef};

use super::EncodeError;
use super::well_known;
use super::wire::{FIXED64, VARINT, Writer};
use crate::{Map, Value};

pub(super) fn encode(value: &Value, ty: &TypeDef) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    message(value, ty, &mut writer)?;
    Ok(writer.finish())
}

pub(super) fn mismatch(value: &Value, expected: &'static str) -> EncodeError {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::String(_) => "a string",
        Value::List(_) => "a list",
        Value::Map(_) => "an object",
    };
    EncodeError { path: String::new(), found, expected }
}

/// Puts a step before the path of an error.
fn within(mut error: EncodeError, step: impl std::fmt::Display) -> EncodeError {
    let dot = if error.path.is_empty() || error.path.starts_with('[') { "" } else { "." };
    error.path = format!("{step}{dot}{}", error.path);
    error
}

/// Writes the fields of a message; null is a message without any.
pub(super) fn message(value: &Value, ty: &TypeDef, writer: &mut Writer) -> Result<(), EncodeError> {
    match value {
        Value::Map(map) => fields(map, ty, writer),
        Value::Null => fields(&Map::new(), ty, writer),
        _ => Err(mismatch(value, "an object")),
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
                one_field(value, field, writer).map_err(|error| within(error, &field.name))?;
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
                    .map_err(|error| within(error, format_args!("[{index}]")))?;
            }
            Ok(())
        }
        (Shape::List, _) => Err(mismatch(value, "a list")),
        (Shape::Map, Value::Map(map)) => entries(map, field, writer),
        (Shape::Map, _) => Err(mismatch(value, "an object")),
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
        // A byte slice that is nil is not written, unlike an empty one.
        if !(value.is_null() && matches!(field.ty, FieldType::Bytes)) {
            single(value, &field.ty, 2, writer).map_err(|error| within(error, key))?;
        }
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
        (FieldType::String, _) => return Err(mismatch(value, "a string")),
        (FieldType::Bool, Value::Bool(truth)) => flag(number, *truth, writer),
        (FieldType::Bool, Value::Null) => flag(number, false, writer),
        (FieldType::Bool, _) => return Err(mismatch(value, "a truth value")),
        (FieldType::Int32 | FieldType::Int64, Value::Null) => writer.int(number, 0),
        (FieldType::Int32 | FieldType::Int64, _) => {
            writer.int(number, value.as_i64().ok_or_else(|| mismatch(value, "an integer"))?);
        }
        (FieldType::Double, _) => {
            let double = if value.is_null() { Some(0.0) } else { value.as_f64() };
            writer.put(&double.ok_or_else(|| mismatch(value, "a number"))?.to_le_bytes());
            writer.tag(number, FIXED64);
        }
        _ => {
            let end = writer.len();
            let written = well_known::encode(value, ty, writer)?;
            if written {
                writer.close(number, end);
            }
        }
    }
    Ok(())
}

fn flag(number: u32, truth: bool, writer: &mut Writer) {
    writer.put(&[u8::from(truth)]);
    writer.tag(number, VARINT);
}
