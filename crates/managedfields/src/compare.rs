//! What a change does to the fields of an object.

use object::{Map, Value};
use schema::{Field, TypeDef};

use crate::element::Element;
use crate::place::{Parts, Place, element_of, is_blank};
use crate::{FieldSet, Scope};

/// The fields that differ between two states of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Those that only the old state has.
    pub removed: FieldSet,
    /// Those that have another value.
    pub modified: FieldSet,
    /// Those that only the new state has.
    pub added: FieldSet,
}

impl Comparison {
    /// Compares two states of an object of this type.
    pub fn new(old: &Value, new: &Value, def: &TypeDef) -> Comparison {
        compare_members(old.as_map(), new.as_map(), Place::Object(def), is_equal)
    }

    /// The part of it that a scope has.
    #[must_use]
    pub fn within(self, scope: &Scope) -> Comparison {
        let Comparison { removed, modified, added } = self;
        Comparison { removed: scope.of(removed), modified: scope.of(modified), added: scope.of(added) }
    }
}

/// What became of a value: of itself, and of the fields below it.
#[derive(Default)]
struct Outcome {
    removed: bool,
    modified: bool,
    added: bool,
    below: Comparison,
}

fn as_one(old: Option<&Value>, new: Option<&Value>) -> Outcome {
    Outcome {
        removed: old.is_some() && new.is_none(),
        modified: old.zip(new).is_some_and(|(old, new)| old != new),
        added: old.is_none() && new.is_some(),
        below: Comparison::default(),
    }
}

fn items_of(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_list).unwrap_or_default()
}

fn visit(old: Option<&Value>, new: Option<&Value>, place: Place<'_>) -> Outcome {
    if let (None, Some(new)) = (old, new) {
        let below = Comparison { added: all_of(new, place), ..Comparison::default() };
        return Outcome { added: true, below, ..Outcome::default() };
    }
    let parts = place.parts();
    if matches!(parts, Parts::One) || (is_blank(old) && is_blank(new)) {
        return as_one(old, new);
    }
    let below = match parts {
        Parts::Items(list) => compare_items(items_of(old), items_of(new), list),
        _ => compare_members(old.and_then(Value::as_map), new.and_then(Value::as_map), place, |_, _| false),
    };
    let is_container = |value: &Value| matches!(value, Value::Map(_) | Value::List(_) | Value::Null);
    match (old, new) {
        (Some(old), Some(new)) if is_container(old) && is_container(new) => {
            Outcome { below, ..Outcome::default() }
        }
        // One of them is absent, or of another type.
        _ => Outcome { below, ..as_one(old, new) },
    }
}

/// All fields below a value of which nothing was there before.
fn all_of(value: &Value, place: Place<'_>) -> FieldSet {
    match (place.parts(), value) {
        (Parts::Items(list), Value::List(items)) => {
            let (indexed, item) = (indexed(items, list), Place::Item(list));
            FieldSet::from_top(indexed.into_iter().map(|(element, same)| match same[..] {
                [only] => (element, true, all_of(only, item)),
                _ => (element, true, FieldSet::default()),
            }))
        }
        (Parts::Fields(_) | Parts::Entries(_), Value::Map(map)) => {
            FieldSet::from_top(map.iter().filter_map(|(name, member)| {
                let (place, _) = place.member(name)?;
                Some((place.element(name), true, all_of(member, place)))
            }))
        }
        _ => FieldSet::default(),
    }
}

/// Gathers what became of the members or items of a value.
#[derive(Default)]
struct Gathered {
    removed: Vec<(Element, bool, FieldSet)>,
    modified: Vec<(Element, bool, FieldSet)>,
    added: Vec<(Element, bool, FieldSet)>,
}

impl Gathered {
    fn add(&mut self, outcome: Outcome, element: impl Fn() -> Element) {
        let Outcome { removed, modified, added, below } = outcome;
        for (all, is_member, set) in [
            (&mut self.removed, removed, below.removed),
            (&mut self.modified, modified, below.modified),
            (&mut self.added, added, below.added),
        ] {
            if is_member || !set.is_empty() {
                all.push((element(), is_member, set));
            }
        }
    }

    fn finish(self) -> Comparison {
        Comparison {
            removed: FieldSet::from_top(self.removed),
            modified: FieldSet::from_top(self.modified),
            added: FieldSet::from_top(self.added),
        }
    }
}

/// A quick look whether there is nothing to compare: most writes leave either the spec or the status as it is. It is
/// taken only at the members of an object, because on every level it would cost the product of size and depth.
fn is_equal(old: Option<&Value>, new: Option<&Value>) -> bool {
    old.is_some() && old == new
}

/// Compares the members of two objects, without those that `skips` says are equal.
fn compare_members(
    old: Option<&Map>,
    new: Option<&Map>,
    place: Place<'_>,
    skips: fn(Option<&Value>, Option<&Value>) -> bool,
) -> Comparison {
    let mut gathered = Gathered::default();
    let mut compare = |name: &str, old: Option<&Value>, new: Option<&Value>| {
        if skips(old, new) {
            return;
        }
        if let Some((place, _)) = place.member(name) {
            gathered.add(visit(old, new, place), || place.element(name));
        }
    };
    for (name, member) in new.into_iter().flat_map(Map::iter) {
        compare(name, old.and_then(|old| old.get(name)), Some(member));
    }
    for (name, member) in old.into_iter().flat_map(Map::iter) {
        if new.is_none_or(|new| !new.contains_key(name)) {
            compare(name, Some(member), None);
        }
    }
    gathered.finish()
}

/// The items of an associative list by their elements, in ascending order.
fn indexed<'a>(items: &'a [Value], list: &Field) -> Vec<(Element, Vec<&'a Value>)> {
    let elements = items.iter().filter_map(|item| Some((element_of(list, item).ok()?, item)));
    let mut elements: Vec<(Element, &Value)> = elements.collect();
    elements.sort_by(|(a, _), (b, _)| a.cmp(b));
    let same = elements.chunk_by(|(a, _), (b, _)| a == b);
    same.map(|same| (same[0].0.clone(), same.iter().map(|(_, item)| *item).collect())).collect()
}

fn compare_items(old: &[Value], new: &[Value], list: &Field) -> Comparison {
    let (old, new) = (indexed(old, list), indexed(new, list));
    let find = |all: &[(Element, Vec<&Value>)], element: &Element| {
        all.binary_search_by(|(other, _)| other.cmp(element)).ok()
    };
    let mut gathered = Gathered::default();
    for (element, items) in &new {
        let before = find(&old, element).map_or(&[][..], |at| &old[at].1);
        gathered.add(compare_same(before, items, list), || element.clone());
    }
    for (element, items) in &old {
        if find(&new, element).is_none() {
            gathered.add(compare_same(items, &[], list), || element.clone());
        }
    }
    gathered.finish()
}

/// Compares the items with one element. Several are managed as one, whose coming and going is that of the element.
fn compare_same(old: &[&Value], new: &[&Value], list: &Field) -> Outcome {
    let place = Place::Item(list);
    match (old, new) {
        ([] | [_], [] | [_]) => visit(old.first().copied(), new.first().copied(), place),
        ([_, _, ..], [_, _, ..]) => Outcome { modified: old != new, ..Outcome::default() },
        ([_, _, ..], []) => Outcome { removed: true, ..Outcome::default() },
        ([], [_, _, ..]) => Outcome { added: true, ..Outcome::default() },
        ([_, _, ..], [one]) => Outcome { removed: true, ..visit(None, Some(one), place) },
        ([one], [_, _, ..]) => Outcome { added: true, ..visit(Some(one), None, place) },
    }
}
