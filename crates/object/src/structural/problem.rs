//! Why a schema cannot be compiled.

use crate::Value;
use crate::field::Path;

/// Rules in an expression language, which others evaluate.
pub(super) const RULES: &str = "x-kubernetes-validations";

/// Why a schema cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct CompileError {
    /// Where.
    pub path: String,
    /// What.
    pub problem: Problem,
}

/// Errors of a schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Every value has a type, unless it may be an integer or a string, or anything.
    #[error("type must not be empty for specified object fields")]
    NoType,
    /// There is no such type.
    #[error("unknown type {0:?}")]
    UnknownType(String),
    /// A whole object is an object.
    #[error("must be object at the root")]
    RootType,
    /// A list states the type of its items.
    #[error("items must be specified for an array")]
    NoItems,
    /// An object has either members that are known or members that are all alike.
    #[error("additionalProperties and properties are mutual exclusive")]
    TwoKindsOfMembers,
    /// No regular expression, or one that is too large.
    #[error("must be a valid regular expression of limited size, but isn't: {why}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
}

pub(super) fn refuse(path: &Path<'_>, problem: Problem) -> CompileError {
    CompileError { path: path.to_string(), problem }
}

/// Whether a keyword of a schema is on.
pub(super) fn flag(schema: &Value, name: &str) -> bool {
    schema.get(name).as_bool().unwrap_or(false)
}
