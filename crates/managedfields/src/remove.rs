//! Removing fields from an object.

use object::{Map, Value};
use schema::TypeDef;

use crate::FieldSet;
use crate::element::Element;
use crate::place::{Parts, Place, element_of};

/// The object without these fields and all below them. What is managed as one goes or stays as a whole.
pub(crate) fn remove(object: &Value, fields: &FieldSet, def: &TypeDef) -> Value {
    visit(object, fields, Place::Object(def)).unwrap_or_else(Value::map)
}

/// What is left of a value; `None` if nothing is.
fn visit(value: &Value, fields: &FieldSet, place: Place<'_>) -> Option<Value> {
    match (place.parts(), value) {
        (Parts::Items(list), Value::List(items)) => {
            let left = items.iter().filter_map(|item| match element_of(list, item) {
                Ok(element) => below(item, &element, fields, Place::Item(list)),
                Err(_) => Some(item.clone()),
            });
            let left: Vec<Value> = left.collect();
            (!left.is_empty()).then_some(Value::List(left))
        }
        (Parts::Fields(_) | Parts::Entries(_), Value::Map(map)) => {
            let left = map.iter().filter_map(|(name, member)| {
                let place = place.member(name).map_or(Place::Opaque, |(place, _)| place);
                let element = Element::field(name);
                below(member, &element, fields, place).map(|left| (name.to_owned(), left))
            });
            let left: Map = left.collect();
            (!left.is_empty()).then_some(Value::Map(left))
        }
        // What is managed as one has no fields of its own.
        _ => None,
    }
}

fn below(value: &Value, element: &Element, fields: &FieldSet, place: Place<'_>) -> Option<Value> {
    match fields.below(element) {
        _ if fields.has(element) => None,
        Some(fields) => visit(value, fields, place),
        None => Some(value.clone()),
    }
}
