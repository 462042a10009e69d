//! Values of expressions.
//!
//! Objects are not copied: strings, lists and maps refer to the tree and are read through their schema as far as an
//! expression looks at them. Cloning a value is cheap.

mod convert;
mod equal;
mod list;
mod map;
mod object;
mod order;
mod show;
#[cfg(test)]
mod tests;
mod text;
mod time;
mod tree;

use std::any::Any;
use std::fmt;
use std::sync::Arc;

pub use list::List;
pub use map::{Map, MapKey};
pub use object::Object;
pub use text::{Bytes, Text};
pub use time::{Duration, Timestamp};

pub(crate) use equal::{equal, item_keys, set_key};
pub(crate) use map::MapBuilder;
pub(crate) use order::{compare, compare_numbers};
pub(crate) use show::type_name;

use crate::{EvaluationError, Type};

/// A value. `'v` is the life of the objects that it refers to.
#[derive(Clone, Debug, Default)]
pub enum Value<'v> {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A signed integer
    Int(i64),
    /// An unsigned integer
    Uint(u64),
    /// A number
    Double(f64),
    /// A string
    String(Text<'v>),
    /// Bytes
    Bytes(Bytes<'v>),
    /// A point in time
    Timestamp(Timestamp),
    /// A span of time
    Duration(Duration),
    /// A list
    List(List<'v>),
    /// A map
    Map(Map<'v>),
    /// An object with declared fields
    Object(Object<'v>),
    /// A value that may be absent
    Optional(Option<Arc<Value<'v>>>),
    /// A type
    Type(Type),
    /// A value of a library
    Opaque(Arc<dyn Opaque>),
}

/// A value of a library, about which expressions know only what its functions tell.
pub trait Opaque: Any + Send + Sync + fmt::Debug {
    /// The name of its type, as in `net.IP`.
    fn type_name(&self) -> &'static str;

    /// Whether another value is the same.
    fn equals(&self, other: &dyn Opaque) -> bool;

    /// How many bytes it counts for in costs; `None` for 1.
    fn size(&self) -> Option<u64> {
        None
    }

    /// Its text in messages and patches, if it has one.
    fn text(&self) -> Option<String> {
        None
    }

    /// For downcasts.
    fn as_any(&self) -> &dyn Any;
}

/// The result of an operation.
pub type Evaluated<'v> = Result<Value<'v>, EvaluationError>;

impl<'v> Value<'v> {
    /// A value of a library.
    pub fn opaque(value: impl Opaque) -> Value<'v> {
        Value::Opaque(Arc::new(value))
    }

    /// A string that the evaluation made.
    pub fn string(text: impl Into<Arc<str>>) -> Value<'v> {
        Value::String(Text::from(text.into()))
    }

    /// A list that the evaluation made.
    pub fn list(items: Vec<Value<'v>>) -> Value<'v> {
        Value::List(List::from(items))
    }

    /// A list of strings.
    pub fn strings<T: Into<Arc<str>>>(items: impl IntoIterator<Item = T>) -> Value<'v> {
        Value::list(items.into_iter().map(Value::string).collect())
    }

    /// An optional with a value.
    pub fn some(value: Value<'v>) -> Value<'v> {
        Value::Optional(Some(Arc::new(value)))
    }

    /// A value of a library, if it is this one.
    pub fn downcast<T: Opaque>(&self) -> Option<&T> {
        match self {
            Value::Opaque(value) => value.as_any().downcast_ref(),
            _ => None,
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The integer, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// How much it counts in costs: characters, bytes, items or entries; 1 for everything else.
    pub fn size(&self) -> u64 {
        let size = match self {
            Value::String(text) => text.chars().count(),
            Value::Bytes(bytes) => bytes.len(),
            Value::List(list) => list.len(),
            Value::Map(map) => map.len(),
            Value::Object(object) => object.len(),
            Value::Optional(Some(value)) => return value.size(),
            Value::Opaque(value) => return value.size().unwrap_or(1),
            _ => 1,
        };
        size as u64
    }

    /// Whether it is the zero value of its type, which `optional.ofNonZeroValue` leaves out.
    pub fn is_zero(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Int(value) => *value == 0,
            Value::Uint(value) => *value == 0,
            Value::Double(value) => *value == 0.0,
            Value::String(text) => text.is_empty(),
            Value::Bytes(bytes) => bytes.is_empty(),
            Value::Timestamp(time) => *time == Timestamp::ZERO,
            Value::Duration(span) => *span == Duration::ZERO,
            Value::List(list) => list.is_empty(),
            Value::Map(map) => map.is_empty(),
            Value::Object(object) => object.is_empty(),
            Value::Optional(value) => value.is_none(),
            Value::Type(_) | Value::Opaque(_) => false,
        }
    }

    /// The type that `type(x)` gives: parameters are not known.
    pub fn runtime_type(&self) -> Type {
        match self {
            Value::Null => Type::Null,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Uint(_) => Type::Uint,
            Value::Double(_) => Type::Double,
            Value::String(_) => Type::String,
            Value::Bytes(_) => Type::Bytes,
            Value::Timestamp(_) => Type::Timestamp,
            Value::Duration(_) => Type::Duration,
            Value::List(_) => Type::list(Type::Dyn),
            Value::Map(_) => Type::map(Type::Dyn, Type::Dyn),
            Value::Object(object) => match object.made_name() {
                Some(name) => Type::Object(Arc::clone(name)),
                // Upstream reads objects as maps.
                None => Type::map(Type::Dyn, Type::Dyn),
            },
            Value::Optional(_) => Type::optional(Type::Dyn),
            Value::Type(_) => Type::of_type(Type::Dyn),
            Value::Opaque(value) => Type::opaque(value.type_name()),
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Value::String(Text::from(text))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Value::string(text)
    }
}
