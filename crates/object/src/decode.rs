//! Decoding of requests: turns text into the tree that Go would encode from the decoded struct.
//!
//! A body is decoded here first, before anything else sees it: members that the type does not have are removed and
//! reported, wrong types are refused with the messages of Go's decoder, and values with a normal form (times,
//! quantities, zero values) are normalized. So two bodies with the same meaning to Go become the same tree.
//!
//! Custom resources (types that are [`TypeRef::Shared`]) are free-form in Go: they are checked only for unknown members
//! and duplicates, and `null` and zero values are kept.
//!
//! ```
//! let ty = schema::type_by_gvk("apps", "v1", "Deployment").unwrap();
//! let decoded = object::decode::decode_json(br#"{"spec":{"replicas":0,"foo":1,"paused":false}}"#, &ty)?;
//! assert_eq!(decoded.strict_errors[0].to_string(), r#"unknown field "spec.foo""#);
//! assert_eq!(decoded.value.at("spec.replicas").as_i64(), Some(0)); // a pointer in Go: zero is not absence
//! assert!(decoded.value.at("spec.paused").is_null());
//! # Ok::<(), object::decode::DecodeError>(())
//! ```

use std::fmt;

use schema::TypeRef;

use crate::json::{Hint, JsonError, parse_hinted};
use crate::yaml::{self, STRICT_ERRORS_MAX, YamlError};
use crate::{Value, quote};

mod conform;
mod scalar;
mod zero;

pub(crate) use zero::{absent, add_always, zero};

/// A decoded body.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object
    pub value: Value,
    /// The errors for strict field validation, in the order in which they were found; at most [`STRICT_ERRORS_MAX`].
    pub strict_errors: Vec<StrictError>,
}

/// A finding of strict field validation, in upstream's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StrictError {
    /// A member that the type does not have; its path.
    UnknownField(String),
    /// A member that came twice; its path.
    DuplicateField(String),
    /// Members that came twice in YAML text.
    Yaml(yaml::DuplicateKeys),
}

impl StrictError {
    /// As warnings show it, each of which is a single line.
    pub fn warnings(&self) -> Vec<String> {
        match self {
            StrictError::Yaml(keys) => keys.lines().collect(),
            other => vec![other.to_string()],
        }
    }
}

impl fmt::Display for StrictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StrictError::UnknownField(path) => write!(f, "unknown field {}", quote(path)),
            StrictError::DuplicateField(path) => write!(f, "duplicate field {}", quote(path)),
            StrictError::Yaml(keys) => keys.fmt(f),
        }
    }
}

/// Why a body cannot be decoded, in the words of Go's decoder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is not JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is not YAML, or cannot be expressed in JSON.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// A value is not of the type of its field.
    #[error("json: cannot unmarshal {found} into Go {place} of type {expected}")]
    Type {
        /// The value found: `string`, `number 1.5`, `object`, ...
        found: String,
        /// `value`, or `struct field STRUCT.path`
        place: String,
        /// The Go type
        expected: String,
    },
    /// A value has the right type, but not the form that its field requires.
    #[error("{0}")]
    Form(String),
}

/// Decodes JSON text as an object of type `ty`.
pub fn decode_json(text: &[u8], ty: &TypeRef) -> Result<Decoded, DecodeError> {
    let value = parse_hinted(text, Hint::of_type(ty))?;
    decode_value(value, ty)
}

/// Decodes YAML text (one document) as an object of type `ty`.
pub fn decode_yaml(text: &[u8], ty: &TypeRef) -> Result<Decoded, DecodeError> {
    let (value, duplicates) = yaml::parse_reporting(text)?;
    let mut decoded = decode_value(value, ty)?;
    if let Some(keys) = duplicates {
        decoded.strict_errors.insert(0, StrictError::Yaml(keys));
    }
    Ok(decoded)
}

/// Decodes a tree that came from elsewhere (a patch, a webhook, a typed struct) as an object of type `ty`.
pub fn decode_value(mut value: Value, ty: &TypeRef) -> Result<Decoded, DecodeError> {
    let mut strict_errors = Vec::new();
    conform::conform(&mut value, ty, &mut strict_errors)?;
    Ok(Decoded { value, strict_errors })
}

/// Gives an object of a built-in type that was changed after it was decoded, such as one that lost its `status`, the form
/// again that Go's encoder gives it: members that it writes although they are empty. Custom resources stay as they are.
///
/// ```
/// let ty = schema::type_by_gvk("", "v1", "Service").unwrap();
/// let mut service = object::value!({"spec": {}});
/// object::decode::complete(&mut service, &ty);
/// assert_eq!(service.at("status.loadBalancer"), &object::Value::map());
/// ```
pub fn complete(value: &mut Value, ty: &TypeRef) {
    if let TypeRef::Static(ty) = ty {
        zero::complete(value, ty);
    }
}

#[cfg(test)]
mod tests;
