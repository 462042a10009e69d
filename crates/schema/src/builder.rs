//! Short constructors for the generated table: they keep a field on one readable line, and run at compile time. The
//! generated files import everything in this module.

use std::mem;

pub(crate) use std::borrow::Cow;

pub(crate) use crate::{Field, FieldType, TypeDef, TypeRef};
use crate::{FieldIndex, ListType, PatchStrategy, Shape};

/// Flag: [`Field::pointer`].
pub(crate) const P: u8 = 1;
/// Flag: [`Field::always_in_json`].
pub(crate) const A: u8 = 2;
/// Flag: [`Field::required`].
pub(crate) const R: u8 = 4;
/// Flag: [`Field::inline`].
pub(crate) const I: u8 = 8;
/// Flag: [`TypeDef::atomic`] of a type, [`Field::atomic_map`] of a field.
pub(crate) const ATOMIC: u8 = 16;
/// Flag: [`Field::granular`].
pub(crate) const GRANULAR: u8 = 32;

/// A type.
pub(crate) const fn def(name: &'static str, flags: u8, fields: &'static [Field]) -> TypeDef {
    TypeDef {
        name: Cow::Borrowed(name),
        fields: Cow::Borrowed(fields),
        preserves_unknown: false,
        atomic: flags & ATOMIC != 0,
        embedded: false,
        source: None,
        index: FieldIndex::new(),
    }
}

/// A message type.
pub(crate) const fn msg(def: &'static TypeDef) -> FieldType {
    FieldType::Message(TypeRef::Static(def))
}

/// A field with one value.
pub(crate) const fn f(name: &'static str, number: u32, ty: FieldType, flags: u8) -> Field {
    field(name, number, Shape::Single, ty, flags)
}

/// A list.
pub(crate) const fn l(name: &'static str, number: u32, ty: FieldType, flags: u8) -> Field {
    field(name, number, Shape::List, ty, flags)
}

/// A map.
pub(crate) const fn m(name: &'static str, number: u32, ty: FieldType, flags: u8) -> Field {
    field(name, number, Shape::Map, ty, flags)
}

const fn field(name: &'static str, number: u32, shape: Shape, ty: FieldType, flags: u8) -> Field {
    Field {
        name: Cow::Borrowed(name),
        number,
        shape,
        ty,
        pointer: flags & P != 0,
        always_in_json: flags & A != 0,
        required: flags & R != 0,
        inline: flags & I != 0,
        list_type: ListType::Atomic,
        list_map_keys: Cow::Borrowed(&[]),
        atomic_map: flags & ATOMIC != 0,
        granular: flags & GRANULAR != 0,
        patch: PatchStrategy::DEFAULT,
        default: None,
        nullable: false,
    }
}

// Assigning would drop the old value, which constant evaluation cannot do; the forgotten value is only borrowed data.
impl Field {
    /// A list that is a set.
    pub(crate) const fn set(mut self) -> Field {
        self.list_type = ListType::Set;
        self
    }

    /// An associative list.
    pub(crate) const fn keys(mut self, keys: &'static [Cow<'static, str>]) -> Field {
        self.list_type = ListType::Map;
        mem::forget(mem::replace(&mut self.list_map_keys, Cow::Borrowed(keys)));
        self
    }

    /// Strategic merge: `merge`, with the key unless the items are scalars.
    pub(crate) const fn merge(mut self, key: &'static str) -> Field {
        self.patch.merge = true;
        if !key.is_empty() {
            mem::forget(self.patch.merge_key.replace(Cow::Borrowed(key)));
        }
        self
    }

    /// Strategic merge: `replace`.
    pub(crate) const fn replace(mut self) -> Field {
        self.patch.replace = true;
        self
    }

    /// Strategic merge: `retainKeys`.
    pub(crate) const fn retain(mut self) -> Field {
        self.patch.retain_keys = true;
        self
    }

    /// A default, as JSON text.
    pub(crate) const fn or(mut self, default: &'static str) -> Field {
        mem::forget(self.default.replace(Cow::Borrowed(default)));
        self
    }
}
