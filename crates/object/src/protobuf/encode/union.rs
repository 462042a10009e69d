//! Fields that hold a JSON schema or something else: `items`, `additionalProperties` and `dependencies` of a schema.

use schema::TypeDef;

use super::super::EncodeError;
use super::super::well_known::strings;
use super::super::wire::{VARINT, Writer};
use super::message;
use crate::Value;

pub(super) fn schema_or_array(
    value: &Value,
    schema: &TypeDef,
    writer: &mut Writer,
) -> Result<(), EncodeError> {
    let Value::List(items) = value else { return nested(value, schema, 1, writer) };
    items.iter().rev().try_for_each(|item| nested(item, schema, 2, writer))
}

pub(super) fn schema_or_bool(
    value: &Value,
    schema: &TypeDef,
    writer: &mut Writer,
) -> Result<(), EncodeError> {
    let allows = match value {
        Value::Bool(allows) => *allows,
        _ => {
            nested(value, schema, 2, writer)?;
            true
        }
    };
    writer.put(&[u8::from(allows)]);
    writer.tag(1, VARINT);
    Ok(())
}

pub(super) fn schema_or_strings(
    value: &Value,
    schema: &TypeDef,
    writer: &mut Writer,
) -> Result<(), EncodeError> {
    match value {
        Value::List(_) => strings(value, 2, writer),
        _ => nested(value, schema, 1, writer),
    }
}

fn nested(value: &Value, ty: &TypeDef, number: u32, writer: &mut Writer) -> Result<(), EncodeError> {
    let end = writer.len();
    message(value, ty, writer)?;
    writer.close(number, end);
    Ok(())
}
