//! Conversion between trees and typed structs, without going through text.
//!
//! A [`Value`] serializes and deserializes as the JSON it represents; [`from_value`] and [`to_value`] convert between
//! trees and the structs of `k8s-openapi` (or any others with serde's traits).
//!
//! ```
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Port { name: String, port: u16 }
//! let tree = object::value!({"name": "http", "port": 80});
//! let port: Port = object::from_value(&tree)?;
//! assert_eq!(port.port, 80);
//! assert_eq!(object::to_value(&port)?, tree);
//! # Ok::<(), object::TypedError>(())
//! ```

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Serialize, de, ser};

use crate::Value;

mod from;
mod to;

/// Why a tree does not fit a struct, or a struct has no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypedError(String);

impl de::Error for TypedError {
    fn custom<T: fmt::Display>(message: T) -> TypedError {
        TypedError(message.to_string())
    }
}

impl ser::Error for TypedError {
    fn custom<T: fmt::Display>(message: T) -> TypedError {
        TypedError(message.to_string())
    }
}

/// Converts a tree to a struct.
pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, TypedError> {
    T::deserialize(value)
}

/// Converts a struct to a tree. Null members of structs are kept; [`decode_value`](crate::decode::decode_value) brings
/// the tree into the form that Go gives it.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, TypedError> {
    value.serialize(to::ToValue)
}

#[cfg(test)]
mod tests;
