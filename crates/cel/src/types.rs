//! Types of expressions.

use std::sync::Arc;

/// The type of an expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Known only when it is evaluated.
    Dyn,
    /// The type of what has failed to check: it fits everything, so that one mistake is told once.
    Error,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List(Arc<Type>),
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
    pub fn list(element: Type) -> Type {
        Type::List(Arc::new(element))
    }

    pub fn map(key: Type, value: Type) -> Type {
        Type::Map(Arc::new((key, value)))
    }

    pub fn optional(of: Type) -> Type {
        Type::Opaque(Arc::from("optional_type"), Arc::from([of]))
    }

    pub fn opaque(name: &str) -> Type {
        Type::Opaque(Arc::from(name), Arc::from([]))
    }

    pub fn of_type(of: Type) -> Type {
        Type::Type(Arc::new(of))
    }

    pub fn param(name: &str) -> Type {
        Type::Param(Arc::from(name))
    }
}
