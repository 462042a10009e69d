//! What a schema says of values: their types and fields for the checker, their sizes for estimates of costs, and how lists
//! are compared.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Type;

/// A part of an object as its schema declares it (`DeclType` in `k8s.io/apiserver/pkg/cel`).
#[derive(Clone, Debug)]
pub struct Shape {
    /// What it is.
    pub kind: ShapeKind,
    /// The most items, entries, bytes or characters that it can have.
    pub max_elements: Option<u64>,
    /// The fewest bytes that it takes as JSON; a bound for how many of it fit into a request.
    pub min_serialized_size: u64,
}

/// What a part of an object is.
#[derive(Clone, Debug)]
pub enum ShapeKind {
    /// `bool`, `int`, `double`, `string`, `bytes` (format byte), `timestamp` (formats date and date-time), `duration`
    Scalar(Type),
    /// No schema, int-or-string, or fields that nobody knows: known only when it is evaluated.
    Dynamic,
    /// A list.
    List {
        /// What its elements are.
        items: Arc<Shape>,
        /// How it is compared and joined.
        list: ListKind,
    },
    /// A map from strings, with `additionalProperties`.
    Map {
        /// What its values are.
        values: Arc<Shape>,
    },
    /// An object with declared fields.
    Object(Arc<ObjectShape>),
}

/// `x-kubernetes-list-type`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Compared in order.
    Atomic,
    /// Compared without order; `+` makes the union.
    Set,
    /// Compared without order, by keys; `+` replaces elements with equal keys.
    Map {
        /// The fields that tell elements apart.
        keys: Arc<[Box<str>]>,
    },
}

/// An object with declared fields.
#[derive(Clone, Debug)]
pub struct ObjectShape {
    /// Its type's name, as messages tell it: `object`, `object.spec`.
    pub name: Arc<str>,
    /// By the name in expressions, which is escaped where it is no identifier or a reserved word.
    pub fields: BTreeMap<Box<str>, Field>,
}

/// A field of an object.
#[derive(Clone, Debug)]
pub struct Field {
    /// The name in JSON.
    pub name: Box<str>,
    /// Whether the object must have it.
    pub required: bool,
    /// What it is.
    pub shape: Arc<Shape>,
}

impl Shape {
    /// A value about which nothing is known.
    pub fn dynamic() -> Shape {
        Shape { kind: ShapeKind::Dynamic, max_elements: None, min_serialized_size: 1 }
    }

    /// The type of an expression that has this value.
    pub fn expression_type(&self) -> Type {
        match &self.kind {
            ShapeKind::Scalar(scalar) => scalar.clone(),
            ShapeKind::Dynamic => Type::Dyn,
            ShapeKind::List { items, .. } => Type::list(items.expression_type()),
            ShapeKind::Map { values } => Type::map(Type::String, values.expression_type()),
            ShapeKind::Object(object) => Type::Object(Arc::clone(&object.name)),
        }
    }
}
