//! Sets that were written for another schema.

use schema::{Field, FieldType, ListType, Shape};

use crate::element::Element;
use crate::place::{Parts, Place};
use crate::versions::Versions;
use crate::{FieldSet, Managers};

/// The managers after a list or an object that was managed by its parts has become one that is managed as one: who
/// managed parts of it manages all of it.
pub(crate) fn reconcile(versions: &dyn Versions, mut managers: Managers) -> Managers {
    for entry in &mut managers.0 {
        if let Some(def) = versions.type_of(&entry.api_version) {
            let place = Place::Object(&def);
            if outdated(&entry.fields, place) {
                entry.fields = visit(&entry.fields, place);
            }
        }
    }
    managers
}

fn below<'a>(element: &Element, place: Place<'a>) -> Place<'a> {
    match (element, place.parts()) {
        (Element::Field(name), _) => place.member(name.as_str()).map_or(Place::Opaque, |(place, _)| place),
        (_, Parts::Items(list)) => Place::Item(list),
        _ => Place::Opaque,
    }
}

/// Whether fields are managed below something that is managed as one now.
fn outdated(set: &FieldSet, place: Place<'_>) -> bool {
    set.top().filter(|(_, _, children)| !children.is_empty()).any(|(element, _, children)| {
        let place = below(element, place);
        is_atomic(place) || outdated(children, place)
    })
}

fn visit(set: &FieldSet, place: Place<'_>) -> FieldSet {
    let top = set.top().map(|(element, is_member, children)| {
        let place = below(element, place);
        if children.is_empty() || !is_atomic(place) {
            (element.clone(), is_member, visit(children, place))
        } else {
            (element.clone(), true, FieldSet::default())
        }
    });
    FieldSet::from_top(top)
}

/// Whether this is a list or an object that is managed as one.
fn is_atomic(place: Place<'_>) -> bool {
    let message = |field: &Field| matches!(&field.ty, FieldType::Message(def) if def.atomic);
    match place {
        Place::Field(field) => match field.shape {
            Shape::Single => field.atomic_map || (message(field) && !field.granular),
            Shape::List => field.list_type == ListType::Atomic,
            Shape::Map => field.atomic_map,
        },
        Place::Item(field) => message(field),
        Place::Object(_) | Place::Unknown | Place::Opaque => false,
    }
}
