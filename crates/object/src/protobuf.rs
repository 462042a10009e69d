//! Kubernetes' protobuf, driven by the schema table, byte for byte as upstream's Go encoders write it.
//!
//! Go writes fields in the order of their numbers, single fields that are not pointers always, even if they are zero,
//! and maps sorted by key. A whole object is wrapped in an envelope: `k8s\0` and a `runtime.Unknown` with `apiVersion`
//! and `kind`, which the message itself does not contain.
//!
//! ```
//! use object::{protobuf, value};
//! let find = |api_version: &str, kind: &str| {
//!     let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
//!     schema::type_by_gvk(group, version, kind)
//! };
//! let namespace = value!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "web"}});
//! let bytes = protobuf::encode(&namespace, &find("v1", "Namespace").unwrap())?;
//! let decoded = protobuf::decode(&bytes, &find)?;
//! assert_eq!((&*decoded.api_version, &*decoded.kind), ("v1", "Namespace"));
//! assert_eq!(decoded.value.at("metadata.name").as_str(), Some("web"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use bytes::Bytes;
use schema::{TypeDef, TypeRef};

use crate::Value;

mod decode;
mod encode;
mod envelope;
mod well_known;
mod wire;

pub use envelope::{ListEnvelope, MAGIC, envelope, watch_frame};

/// The nesting of messages that is read; deeper ones are refused. It is what most implementations allow.
pub const DEPTH_MAX: usize = 100;

/// Why a tree cannot be encoded. Trees that were decoded as their type always can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: cannot encode {found} as {expected}")]
pub struct EncodeError {
    /// Where, from the root
    pub path: String,
    /// The value found
    pub found: &'static str,
    /// The expected type
    pub expected: &'static str,
}

impl EncodeError {
    /// The error of a value of the wrong kind, at a path that the callers complete.
    fn mismatch(value: &Value, expected: &'static str) -> EncodeError {
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

    /// Puts a step before the path.
    fn within(mut self, step: impl std::fmt::Display) -> EncodeError {
        let dot = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{step}{dot}{}", self.path);
        self
    }
}

/// Why bytes cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes do not begin as an envelope does.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    NoEnvelope,
    /// They end in the middle of a value.
    #[error("unexpected EOF")]
    UnexpectedEnd,
    /// A number that is longer than 64 bits.
    #[error("proto: integer overflow")]
    IntegerOverflow,
    /// A field with number 0, or an invalid wire type.
    #[error("proto: illegal tag {number} (wire type {wire})")]
    IllegalTag {
        /// The field number
        number: u32,
        /// The wire type
        wire: u8,
    },
    /// A field whose wire type is not that of its type.
    #[error("proto: wrong wireType for field {field} of {message}")]
    WireType {
        /// The type that has the field
        message: String,
        /// The field
        field: String,
    },
    /// A field whose bytes do not have the form that its type requires.
    #[error("field {field} of {message}: {problem}")]
    Form {
        /// The type that has the field
        message: String,
        /// The field
        field: String,
        /// The reason
        problem: String,
    },
    /// Nesting beyond [`DEPTH_MAX`].
    #[error("exceeded max depth")]
    TooDeep,
    /// An envelope of an unknown kind.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// `apiVersion` of the envelope
        api_version: String,
        /// `kind` of the envelope
        kind: String,
    },
    /// An envelope around something other than plain protobuf.
    #[error("unsupported content of the envelope: {0:?}")]
    Content(String),
}

/// Finds the type of a kind by `apiVersion` and `kind`.
pub type Lookup<'l> = &'l dyn Fn(&str, &str) -> Option<TypeRef>;

/// A decoded object.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// `apiVersion` of the envelope
    pub api_version: Box<str>,
    /// `kind` of the envelope
    pub kind: Box<str>,
    /// The object; it has `apiVersion` and `kind` too, if the envelope names them.
    pub value: Value,
}

/// Encodes an object, in an envelope that names the object's `apiVersion` and `kind`.
pub fn encode(value: &Value, ty: &TypeDef) -> Result<Bytes, EncodeError> {
    let message = encode_message(value, ty)?;
    Ok(envelope(value.str_at("apiVersion"), value.str_at("kind"), &message))
}

/// Encodes an object without an envelope.
pub fn encode_message(value: &Value, ty: &TypeDef) -> Result<Bytes, EncodeError> {
    encode::encode(value, ty)
}

/// Decodes an object in its envelope. `lookup` finds its type, and those of objects within.
pub fn decode(bytes: &[u8], lookup: Lookup<'_>) -> Result<Decoded, DecodeError> {
    let unknown = envelope::open(bytes)?;
    let (api_version, kind) = (unknown.api_version, unknown.kind);
    let ty = lookup(&api_version, &kind).ok_or_else(|| DecodeError::UnknownKind {
        api_version: api_version.clone().into(),
        kind: kind.clone().into(),
    })?;
    let mut value = Value::map();
    for (key, text) in [("kind", &kind), ("apiVersion", &api_version)] {
        if !text.is_empty() {
            value.set(key, &**text);
        }
    }
    decode::decode(unknown.raw, &ty, lookup, &mut value)?;
    Ok(Decoded { api_version: api_version.into(), kind: kind.into(), value })
}

/// Decodes a message without an envelope. `lookup` finds the types of enveloped objects within.
pub fn decode_message(bytes: &[u8], ty: &TypeDef, lookup: Lookup<'_>) -> Result<Value, DecodeError> {
    let mut value = Value::map();
    decode::decode(bytes, ty, lookup, &mut value)?;
    Ok(value)
}

#[cfg(test)]
mod tests;
