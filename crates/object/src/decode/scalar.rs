//! Values with a normal form, and Go's type names.

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use schema::{FieldType, Shape, TypeDef};

use super::DecodeError;
use crate::timestamp::{Precision, Timestamp};
use crate::{Quantity, Value, duration, json};

/// Go's decoder ignores bits that are set after the last byte.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Why a value does not fit: it has a different type from the one that Go's decoder expects, or the wrong form.
pub(super) enum Misfit {
    /// Of another type; the expected Go type.
    Type(&'static str),
    /// The words of the type's own decoder.
    Form(String),
}

/// Brings a value that is not `null` into the normal form of a scalar type.
pub(super) fn normalize(value: &mut Value, ty: &FieldType) -> Result<(), Misfit> {
    match (ty, &mut *value) {
        (FieldType::Bool, Value::Bool(_)) | (FieldType::String, Value::String(_)) => Ok(()),
        (FieldType::Int32, Value::Int(number)) if i32::try_from(*number).is_ok() => Ok(()),
        (FieldType::Int64, Value::Int(_)) | (FieldType::Double, Value::Int(_) | Value::Float(_)) => Ok(()),
        (FieldType::Bool, _) => Err(Misfit::Type("bool")),
        (FieldType::String, _) => Err(Misfit::Type("string")),
        (FieldType::Int32, _) => Err(Misfit::Type("int32")),
        (FieldType::Int64, _) => Err(Misfit::Type("int64")),
        (FieldType::Double, _) => Err(Misfit::Type("float64")),
        (FieldType::Bytes, Value::String(text)) => bytes(text),
        (FieldType::Bytes, _) => Err(Misfit::Type("[]uint8")),
        (FieldType::Time, _) => time(value, Precision::Seconds),
        (FieldType::MicroTime, _) => time(value, Precision::Micros),
        (FieldType::Duration, Value::String(text)) => {
            let nanos = duration::parse(text).map_err(|error| Misfit::Form(error.to_string()))?;
            replace(text, duration::format(nanos));
            Ok(())
        }
        (FieldType::Duration, _) => Err(Misfit::Type("string")),
        (FieldType::Quantity, _) => quantity(value),
        (FieldType::IntOrString, Value::String(_)) => Ok(()),
        (FieldType::IntOrString, Value::Int(number)) if i32::try_from(*number).is_ok() => Ok(()),
        (FieldType::IntOrString, _) => Err(Misfit::Type("int32")),
        _ => Ok(()),
    }
}

fn replace(text: &mut Box<str>, canonical: String) {
    if **text != *canonical {
        *text = canonical.into_boxed_str();
    }
}

fn bytes(text: &mut Box<str>) -> Result<(), Misfit> {
    // Go skips line ends.
    let clean: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let bytes = LENIENT.decode(&clean).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
                clean.len() / 4 * 4
            }
        };
        Misfit::Form(format!("illegal base64 data at input byte {at}"))
    })?;
    replace(text, STANDARD.encode(bytes));
    Ok(())
}

fn time(value: &mut Value, precision: Precision) -> Result<(), Misfit> {
    let Value::String(text) = value else {
        return Err(Misfit::Type("string"));
    };
    let time = Timestamp::parse(text, precision).map_err(|error| Misfit::Form(error.to_string()))?;
    match time {
        Timestamp::ZERO => *value = Value::Null,
        time => replace(text, time.format(precision)),
    }
    Ok(())
}

fn quantity(value: &mut Value) -> Result<(), Misfit> {
    let canonical = match &*value {
        Value::String(text) => Quantity::parse(text.trim()),
        other => Quantity::parse(&String::from_utf8_lossy(&json::to_vec(other))),
    };
    let canonical = canonical.map_err(|error| Misfit::Form(error.to_string()))?.to_string();
    match value {
        Value::String(text) => replace(text, canonical),
        other => *other = Value::from(canonical),
    }
    Ok(())
}

/// The name that Go's decoder uses for the value found.
pub(super) fn found(value: &Value, expected: &str) -> String {
    let number = |text: String| match expected {
        "int32" | "int64" | "float64" => format!("number {text}"),
        _ => "number".to_owned(),
    };
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "bool".to_owned(),
        Value::Int(int) => number(int.to_string()),
        Value::Float(float) if float.fract() == 0.0 && float.abs() < 1e15 => number(format!("{float:.1}")),
        Value::Float(_) => number(String::from_utf8_lossy(&json::to_vec(value)).into_owned()),
        Value::String(_) => "string".to_owned(),
        Value::List(_) => "array".to_owned(),
        Value::Map(_) => "object".to_owned(),
    }
}

/// The name of a struct with its package, `v1.Pod`.
pub(super) fn go_struct(ty: &TypeDef) -> &str {
    let name = &*ty.name;
    let package = name.rmatch_indices('.').nth(1).map_or(0, |(dot, _)| dot + 1);
    &name[package..]
}

/// The Go type of a value, of a list or of a map.
pub(super) fn go_type(shape: Shape, ty: &FieldType) -> String {
    let single = match ty {
        FieldType::Bool => "bool",
        FieldType::Int32 => "int32",
        FieldType::Int64 => "int64",
        FieldType::Double => "float64",
        FieldType::String => "string",
        FieldType::Bytes => "[]uint8",
        FieldType::Message(ty) => go_struct(ty),
        FieldType::Time => "v1.Time",
        FieldType::MicroTime => "v1.MicroTime",
        FieldType::Duration => "v1.Duration",
        FieldType::Quantity => "resource.Quantity",
        FieldType::IntOrString => "intstr.IntOrString",
        FieldType::RawExtension => "runtime.RawExtension",
        FieldType::FieldsV1 => "v1.FieldsV1",
        FieldType::Json => "v1.JSON",
        FieldType::JsonSchemaOrArray(_) => "v1.JSONSchemaPropsOrArray",
        FieldType::JsonSchemaOrBool(_) => "v1.JSONSchemaPropsOrBool",
        FieldType::JsonSchemaOrStringArray(_) => "v1.JSONSchemaPropsOrStringArray",
        FieldType::StringList => "[]string",
        FieldType::Nested(_) => "interface {}",
    };
    match shape {
        Shape::Single => single.to_owned(),
        Shape::List => format!("[]{single}"),
        Shape::Map => format!("map[string]{single}"),
    }
}

/// The error for a value of another type, or of a wrong form.
pub(super) fn misfit(misfit: Misfit, value: &Value, place: String) -> DecodeError {
    match misfit {
        Misfit::Type(expected) => {
            DecodeError::Type { found: found(value, expected), place, expected: expected.to_owned() }
        }
        Misfit::Form(text) => DecodeError::Form(text),
    }
}
