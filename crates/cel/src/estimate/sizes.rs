//! Where the sizes of values come from: the schemas of variables (`sizeEstimator` in `k8s.io/apiextensions-apiserver`).

use crate::estimate::{Range, SizeRange};
use crate::{Env, Shape, ShapeKind, Type};

/// Where in a schema an expression leads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Place<'e> {
    /// It does not start at a variable.
    #[default]
    Nowhere,
    At(&'e Shape),
    /// The keys of a map.
    Keys,
    /// It starts at a variable, but the schema does not say where it leads.
    Unknown,
}

/// Elements of a list, or values of a map.
pub(super) const ITEMS: &str = "@items";
pub(super) const VALUES: &str = "@values";
pub(super) const KEYS: &str = "@keys";
pub(super) const INDICES: &str = "@indices";

/// Knows sizes.
pub(super) trait Sizes {
    /// Where a name leads that is not the variable of a macro. Upstream takes every such name for the object itself, also
    /// those of types, as in `type(self.port) == string`.
    fn place_of(&self, name: &str) -> Place<'_>;

    /// Where what has no place begins if one steps into it. Upstream takes what is selected of the result of a call for
    /// the object itself.
    fn root(&self) -> Place<'_>;

    fn size(&self, place: Place<'_>, kind: &Type) -> Option<SizeRange>;

    /// A field, or the elements, keys or values.
    fn step<'e>(&'e self, place: Place<'e>, name: &str) -> Place<'e> {
        match place {
            Place::Nowhere => self.root(),
            Place::At(shape) => step(shape, name).unwrap_or(Place::Unknown),
            Place::Keys | Place::Unknown => Place::Unknown,
        }
    }
}

fn step<'e>(shape: &'e Shape, name: &str) -> Option<Place<'e>> {
    Some(match (&shape.kind, name) {
        (ShapeKind::List { items: inner, .. } | ShapeKind::Map { values: inner }, ITEMS | VALUES) => {
            Place::At(inner)
        }
        (ShapeKind::Map { .. }, KEYS) => Place::Keys,
        (ShapeKind::Object(object), field) => Place::At(&object.fields.get(field)?.shape),
        _ => return None,
    })
}

impl Sizes for Env {
    fn place_of(&self, name: &str) -> Place<'_> {
        self.shape(name).map_or_else(|| self.root(), |shape| Place::At(shape))
    }

    fn root(&self) -> Place<'_> {
        self.shape("self").map_or(Place::Unknown, |shape| Place::At(shape))
    }

    fn size(&self, place: Place<'_>, _kind: &Type) -> Option<SizeRange> {
        match place {
            Place::Nowhere | Place::Unknown => None,
            // Upstream says so of keys, however long they may be.
            Place::Keys => Some(Range::exactly(0)),
            Place::At(shape) => Some(Range::up_to(max_elements(shape))),
        }
    }
}

/// The limit of a schema. What cannot have one counts as empty, as upstream has it.
fn max_elements(shape: &Shape) -> u64 {
    let unlimited = match &shape.kind {
        ShapeKind::Scalar(Type::String | Type::Bytes)
        | ShapeKind::List { .. }
        | ShapeKind::Map { .. }
        | ShapeKind::Dynamic => i64::MAX as u64,
        ShapeKind::Scalar(_) | ShapeKind::Object(_) => 0,
    };
    shape.max_elements.unwrap_or(unlimited)
}
