//! Where a value stands in the schema table, and in what parts it is managed.

use object::{Key, Value, json};
use schema::{Field, FieldType, ListType, Shape, TypeDef};

use crate::element::Element;

/// The place of a value in the table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// An object of this type.
    Object(&'a TypeDef),
    /// What this field holds.
    Field(&'a Field),
    /// An item of this field's list, or a value of its map.
    Item(&'a Field),
    /// Below a field that keeps what the table does not know.
    Unknown,
    /// Inside of something that is managed as one.
    Opaque,
}

/// In what parts a value is managed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Parts<'a> {
    /// As one.
    One,
    /// By field.
    Fields(&'a TypeDef),
    /// By key; the values stand in this place.
    Entries(Place<'a>),
    /// By item of this field's associative list.
    Items(&'a Field),
}

impl<'a> Place<'a> {
    /// In what parts a value is managed here.
    pub(crate) fn parts(self) -> Parts<'a> {
        match self {
            Place::Object(def) => of_type(def),
            Place::Field(field) => match field.shape {
                Shape::Single if field.atomic_map => Parts::One,
                Shape::Single => match &field.ty {
                    FieldType::Message(def) if field.granular => Parts::Fields(def),
                    ty => of_field_type(ty),
                },
                Shape::List if field.list_type == ListType::Atomic => Parts::One,
                Shape::List => Parts::Items(field),
                Shape::Map if field.atomic_map => Parts::One,
                Shape::Map => Parts::Entries(Place::Item(field)),
            },
            Place::Item(field) => of_field_type(&field.ty),
            Place::Unknown => Parts::Entries(Place::Unknown),
            Place::Opaque => Parts::One,
        }
    }

    /// The element of the member with this name that stands here.
    pub(crate) fn element(self, name: &str) -> Element {
        match self {
            Place::Field(field) if field.name == name => Element::Field(Key::from(&field.name)),
            _ => Element::field(name),
        }
    }

    /// The place of an object's member with this name, and whether the table names it. `None` if there can be none.
    pub(crate) fn member(self, name: &str) -> Option<(Place<'a>, bool)> {
        match self.parts() {
            Parts::Fields(def) => match def.lookup(name) {
                Some(found) => Some((Place::Field(found.field), true)),
                None if def.preserves_unknown => Some((Place::Unknown, false)),
                None => None,
            },
            Parts::Entries(values) => Some((values, false)),
            Parts::One | Parts::Items(_) => None,
        }
    }
}

fn of_type(def: &TypeDef) -> Parts<'_> {
    if def.atomic { Parts::One } else { Parts::Fields(def) }
}

fn of_field_type(ty: &FieldType) -> Parts<'_> {
    match ty {
        FieldType::Message(def) => of_type(def),
        FieldType::Nested(inner) => Place::Field(inner).parts(),
        // An object of unknown type: its members are managed, each as one.
        FieldType::RawExtension => Parts::Entries(Place::Opaque),
        _ => Parts::One,
    }
}

/// Whether a value is missing, or has no parts.
pub(crate) fn is_blank(value: Option<&Value>) -> bool {
    value.is_none_or(|value| match value {
        Value::Null => true,
        Value::List(items) => items.is_empty(),
        Value::Map(map) => map.is_empty(),
        _ => false,
    })
}

/// Which item of a field's associative list this is.
///
/// # Errors
/// Why it cannot be told apart from others.
pub(crate) fn element_of(list: &Field, item: &Value) -> Result<Element, String> {
    if list.list_type == ListType::Set {
        return match item {
            Value::Map(_) => Err("associative list without keys has an element that's a map type".to_owned()),
            Value::List(_) => Err("not supported: associative list with lists as elements".to_owned()),
            Value::Null => {
                Err("associative list without keys has an element that's an explicit null".to_owned())
            }
            scalar => Ok(Element::Value(scalar.clone())),
        };
    }
    let map = match item {
        Value::Map(map) => map,
        Value::Null => return Err("associative list with keys may not have a null element".to_owned()),
        _ => return Err("associative list with keys may not have non-map elements".to_owned()),
    };
    let value_of = |key: &str| map.get(key).cloned().or_else(|| default_of(list, key));
    let keys = list.list_map_keys.iter().filter_map(|key| Some((Key::from(key), value_of(key)?)));
    let keys: Vec<(Key, Value)> = keys.collect();
    if keys.is_empty() {
        let names: Vec<String> = list.list_map_keys.iter().map(|key| format!("{key:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default \
             values for any key fields)",
            names.join(" ")
        ));
    }
    Ok(Element::keys(keys))
}

fn default_of(list: &Field, key: &str) -> Option<Value> {
    let Parts::Fields(def) = Place::Item(list).parts() else { return None };
    let text = def.lookup(key)?.field.default.as_deref()?;
    json::parse(text.as_bytes()).ok()
}
