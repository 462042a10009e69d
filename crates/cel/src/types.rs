//! Types of expressions.

use std::fmt;
use std::sync::Arc;

/// The type of an expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Known only when it is evaluated.
    Dyn,
    /// The type of what has failed to check: it fits everything, so that one mistake is told once.
    Error,
    /// The type of `null`, which objects, timestamps, durations and types of libraries can have as well.
    Null,
    /// `bool`
    Bool,
    /// `int`, of 64 bits.
    Int,
    /// `uint`, of 64 bits.
    Uint,
    /// `double`
    Double,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// A time, `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.Duration`
    Duration,
    /// A list, by the type of its elements.
    List(Arc<Type>),
    /// A map, by the types of its keys and values.
    Map(Arc<(Type, Type)>),
    /// An object with declared fields, by the name of its [`crate::ObjectShape`].
    Object(Arc<str>),
    /// A type of a library, with its parameters: `optional_type`, `kubernetes.Quantity`, `kubernetes.authorization.Authorizer`.
    Opaque(Arc<str>, Arc<[Type]>),
    /// The type of a type: `type(1)`. Without a parameter that is known, of `Dyn`.
    Type(Arc<Type>),
    /// A parameter in the declaration of a function: `A`, `B`, `K`, `V`; a variable of type inference while checking.
    Param(Arc<str>),
}

impl Type {
    /// The type of lists of a type.
    pub fn list(element: Type) -> Type {
        Type::List(Arc::new(element))
    }

    /// The type of maps from a type to another.
    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new((key, value)))
    }

    /// The type of optional values of a type.
    pub fn optional(of: Type) -> Type {
        Type::Opaque(Arc::from("optional_type"), Arc::from([of]))
    }

    /// A type of a library without parameters.
    pub fn opaque(name: &str) -> Type {
        Type::Opaque(Arc::from(name), Arc::from([]))
    }

    /// The type of a type.
    pub fn of_type(of: Type) -> Type {
        Type::Type(Arc::new(of))
    }

    /// A parameter in the declaration of a function.
    pub fn param(name: &str) -> Type {
        Type::Param(Arc::from(name))
    }
}

/// As messages of cel-go's checker name it (`checker/format.go`): `list(int)`, `map(string, dyn)`, `timestamp`.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Dyn => "dyn",
            Type::Error => "!error!",
            Type::Null => "null",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Timestamp => "timestamp",
            Type::Duration => "duration",
            Type::Object(name) | Type::Param(name) => name,
            Type::List(element) => return write!(f, "list({element})"),
            Type::Map(entry) => return write!(f, "map({}, {})", entry.0, entry.1),
            Type::Type(of) if **of == Type::Dyn => "type",
            Type::Type(of) => return write!(f, "type({of})"),
            Type::Opaque(name, params) => {
                f.write_str(name)?;
                return fmt_params(params, f);
            }
        })
    }
}

fn fmt_params(params: &[Type], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (number, param) in params.iter().enumerate() {
        write!(f, "{}{param}", if number == 0 { "(" } else { ", " })?;
    }
    if params.is_empty() { Ok(()) } else { f.write_str(")") }
}
