//! Types with a special JSON form, which contain no messages: the bottom of encoder and decoder.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schema::FieldType;

use super::wire::{Payload, Reader, Writer, text};
use super::{DecodeError, EncodeError};
use crate::timestamp::{Precision, Timestamp};
use crate::{Value, duration, json};

/// Writes the content of a value; the caller puts length and tag before it.
pub(super) fn encode(value: &Value, ty: &FieldType, writer: &mut Writer) -> Result<(), EncodeError> {
    let mismatch = EncodeError::mismatch;
    match ty {
        FieldType::Bytes => match value {
            Value::Null => {}
            Value::String(text) => {
                writer.put(&STANDARD.decode(&**text).map_err(|_| mismatch(value, "base64 text"))?);
            }
            _ => return Err(mismatch(value, "base64 text")),
        },
        FieldType::Time => time(value, Precision::Seconds, writer)?,
        FieldType::MicroTime => time(value, Precision::Micros, writer)?,
        FieldType::Duration => {
            let nanos = match value {
                Value::Null => 0,
                Value::String(text) => duration::parse(text).map_err(|_| mismatch(value, "a duration"))?,
                _ => return Err(mismatch(value, "a duration")),
            };
            writer.int(1, nanos);
        }
        FieldType::Quantity => match value {
            Value::Null => writer.bytes(1, b"0"),
            Value::String(text) => writer.bytes(1, text.as_bytes()),
            _ => return Err(mismatch(value, "a quantity")),
        },
        FieldType::IntOrString => {
            let (kind, number, text) = match value {
                Value::String(text) => (1, 0, &**text),
                Value::Null => (0, 0, ""),
                _ => (0, value.as_i64().ok_or_else(|| mismatch(value, "an integer or a string"))?, ""),
            };
            writer.bytes(3, text.as_bytes());
            writer.int(2, number);
            writer.int(1, kind);
        }
        FieldType::RawExtension | FieldType::FieldsV1 | FieldType::Json => {
            if !value.is_null() {
                writer.bytes(1, &json::to_vec(value));
            }
        }
        FieldType::StringList => strings(value, 1, writer)?,
        FieldType::Nested(_) => return Err(mismatch(value, "a value with a protobuf form")),
        FieldType::Bool
        | FieldType::Int32
        | FieldType::Int64
        | FieldType::Double
        | FieldType::String
        | FieldType::Message(_)
        | FieldType::JsonSchemaOrArray(_)
        | FieldType::JsonSchemaOrBool(_)
        | FieldType::JsonSchemaOrStringArray(_) => {
            unreachable!("the encoder writes plain types and messages itself")
        }
    }
    Ok(())
}

/// Writes the texts of a list.
pub(super) fn strings(value: &Value, number: u32, writer: &mut Writer) -> Result<(), EncodeError> {
    for item in value.items().rev() {
        writer
            .bytes(number, item.as_str().ok_or_else(|| EncodeError::mismatch(item, "a string"))?.as_bytes());
    }
    Ok(())
}

/// A point in time; Go writes its zero time as a message without fields.
fn time(value: &Value, precision: Precision, writer: &mut Writer) -> Result<(), EncodeError> {
    let mismatch = EncodeError::mismatch;
    let time = match value {
        Value::Null => Timestamp::ZERO,
        Value::String(text) => Timestamp::parse(text, precision).map_err(|_| mismatch(value, "a time"))?,
        _ => return Err(mismatch(value, "a time")),
    };
    if time != Timestamp::ZERO {
        let nanos = if precision == Precision::Micros { time.nanos / 1000 * 1000 } else { 0 };
        writer.int(2, i64::from(nanos));
        writer.int(1, time.seconds);
    }
    Ok(())
}

/// The value represented by the content of a field.
pub(super) fn decode(bytes: &[u8], ty: &FieldType) -> Result<Value, Problem> {
    match ty {
        FieldType::Bytes => Ok(Value::from(STANDARD.encode(bytes))),
        FieldType::Time => read_time(bytes, Precision::Seconds),
        FieldType::MicroTime => read_time(bytes, Precision::Micros),
        FieldType::Duration => {
            let nanos = varint_field(bytes, 1)?.unwrap_or_default();
            Ok(Value::from(duration::format(nanos.cast_signed())))
        }
        FieldType::Quantity => {
            let quantity = text(bytes_field(bytes, 1)?.unwrap_or(b"0"));
            let quantity =
                crate::Quantity::parse(&quantity).map_err(|error| Problem::Form(error.to_string()))?;
            Ok(Value::from(quantity.to_string()))
        }
        FieldType::IntOrString if varint_field(bytes, 1)? == Some(1) => {
            Ok(Value::from(&*text(bytes_field(bytes, 3)?.unwrap_or_default())))
        }
        FieldType::IntOrString => Ok(int32(varint_field(bytes, 2)?.unwrap_or_default())),
        FieldType::StringList => Ok(read_strings(bytes, 1)?),
        FieldType::String => Ok(Value::from(&*text(bytes))),
        // Numbers in the form of bytes, and what the decoder reads itself.
        FieldType::Bool
        | FieldType::Int32
        | FieldType::Int64
        | FieldType::Double
        | FieldType::Nested(_)
        | FieldType::Message(_)
        | FieldType::RawExtension
        | FieldType::FieldsV1
        | FieldType::Json
        | FieldType::JsonSchemaOrArray(_)
        | FieldType::JsonSchemaOrBool(_)
        | FieldType::JsonSchemaOrStringArray(_) => Err(Problem::WireType),
    }
}

/// Why a field cannot be decoded; the caller knows which field it is.
pub(super) enum Problem {
    /// Of the wrong wire type
    WireType,
    /// Of the wrong form
    Form(String),
    /// Something within is wrong
    Inner(DecodeError),
}

impl From<DecodeError> for Problem {
    fn from(error: DecodeError) -> Problem {
        Problem::Inner(error)
    }
}

pub(super) fn int32(number: u64) -> Value {
    // Go truncates to 32 bits.
    Value::from(number as i32)
}

fn read_time(bytes: &[u8], precision: Precision) -> Result<Value, Problem> {
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let seconds = varint_field(bytes, 1)?.unwrap_or_default().cast_signed();
    let nanos = match precision {
        Precision::Seconds => 0,
        Precision::Micros => varint_field(bytes, 2)?.unwrap_or_default() as u32,
    };
    // The years 0 to 9999 are what RFC 3339 can express.
    if !Timestamp::SECONDS.contains(&seconds) || nanos >= 1_000_000_000 {
        return Err(Problem::Form("time is out of range".to_owned()));
    }
    match (Timestamp { seconds, nanos }) {
        Timestamp::ZERO => Ok(Value::Null),
        time => Ok(Value::from(time.format(precision))),
    }
}

/// The number in a field.
pub(super) fn varint_field(bytes: &[u8], wanted: u32) -> Result<Option<u64>, Problem> {
    let mut found = None;
    let mut reader = Reader(bytes);
    while let Some((number, payload)) = reader.field()? {
        match payload {
            Payload::Varint(value) if number == wanted => found = Some(value),
            _ if number == wanted => return Err(Problem::WireType),
            _ => {}
        }
    }
    Ok(found)
}

/// The bytes in a field.
pub(super) fn bytes_field(bytes: &[u8], wanted: u32) -> Result<Option<&[u8]>, Problem> {
    let mut found = None;
    let mut reader = Reader(bytes);
    while let Some((number, payload)) = reader.field()? {
        match payload {
            Payload::Bytes(value) if number == wanted => found = Some(value),
            _ if number == wanted => return Err(Problem::WireType),
            _ => {}
        }
    }
    Ok(found)
}

/// The texts in a repeated field.
pub(super) fn read_strings(bytes: &[u8], wanted: u32) -> Result<Value, DecodeError> {
    let mut items = Vec::new();
    let mut reader = Reader(bytes);
    while let Some((number, payload)) = reader.field()? {
        if let (true, Payload::Bytes(item)) = (number == wanted, payload) {
            items.push(Value::from(&*text(item)));
        }
    }
    Ok(Value::List(items))
}
