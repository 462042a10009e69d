//! The fields of a value.

use object::Value;
use schema::{Field, TypeDef};

use crate::FieldSet;
use crate::element::Element;
use crate::place::{Parts, Place, element_of};

/// The fields that an object of this type sets: its scalars, what is managed as one, the keys of maps, the items of
/// lists, and members that are explicitly empty. Structures are not among them, only their fields.
pub fn fields_of(object: &Value, def: &TypeDef) -> FieldSet {
    visit(object, Place::Object(def)).1
}

/// Whether the value itself is a field, and the fields below it.
pub(crate) fn visit(value: &Value, place: Place<'_>) -> (bool, FieldSet) {
    match (place.parts(), value) {
        (Parts::One, _) => (true, FieldSet::default()),
        (_, Value::Null) => (false, FieldSet::default()),
        (Parts::Items(list), Value::List(items)) => (false, items_of(items, list)),
        (Parts::Fields(_) | Parts::Entries(_), Value::Map(map)) => {
            let top = map.iter().filter_map(|(name, member)| {
                let (place, is_named) = place.member(name)?;
                let (is_field, below) = visit(member, place);
                let is_empty = member.is_null() || member.as_map().is_some_and(object::Map::is_empty);
                Some((place.element(name), is_field || is_empty || !is_named, below))
            });
            (false, FieldSet::from_top(top))
        }
        // Not of its type: as one.
        _ => (true, FieldSet::default()),
    }
}

/// Items that appear more than once are fields without any below them.
fn items_of(items: &[Value], list: &Field) -> FieldSet {
    let mut indexed: Vec<(Element, &Value)> =
        items.iter().filter_map(|item| Some((element_of(list, item).ok()?, item))).collect();
    indexed.sort_by(|(a, _), (b, _)| a.cmp(b));
    let top = indexed.chunk_by(|(a, _), (b, _)| a == b).map(|same| match same {
        [(element, item)] => (element.clone(), true, visit(item, Place::Item(list)).1),
        same => (same[0].0.clone(), true, FieldSet::default()),
    });
    FieldSet::from_top(top)
}

/// The set with all named fields that lie on the way to its fields.
pub(crate) fn with_named(set: &FieldSet, place: Place<'_>) -> FieldSet {
    let top = set.top().map(|(element, is_member, below)| {
        let (place, is_named) = match (element, place.parts()) {
            (Element::Field(name), _) => place.member(name.as_str()).unwrap_or((Place::Opaque, false)),
            (_, Parts::Items(list)) => (Place::Item(list), false),
            _ => (Place::Opaque, false),
        };
        let is_member = is_member || (is_named && !below.is_empty());
        (element.clone(), is_member, with_named(below, place))
    });
    FieldSet::from_top(top)
}
