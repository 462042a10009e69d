//! Merging an applied configuration into an object.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use object::{Map, Value};
use schema::{Field, TypeDef};

use crate::element::Element;
use crate::place::{Parts, Place, element_of, is_blank};

/// The object with what the configuration sets. Nothing is removed.
///
/// # Errors
/// The path to a list of the configuration that holds an item twice, or one that cannot be told apart.
pub fn merge(live: &Value, config: &Value, def: &TypeDef) -> Result<Value, String> {
    Ok(visit(Some(live), Some(config), Place::Object(def))?.unwrap_or_else(Value::map))
}

fn visit(live: Option<&Value>, config: Option<&Value>, place: Place<'_>) -> Result<Option<Value>, String> {
    let Some(wanted) = config else { return Ok(live.cloned()) };
    if is_blank(live) && is_blank(config) {
        return Ok(Some(wanted.clone()));
    }
    match (place.parts(), live, wanted) {
        (Parts::Items(list), live, Value::List(items)) => {
            let live = live.and_then(Value::as_list).unwrap_or_default();
            merge_items(live, items, list).map(Some)
        }
        (Parts::Fields(_) | Parts::Entries(_), live, Value::Map(map)) => {
            merge_members(live.and_then(Value::as_map), map, place).map(Some)
        }
        // A container that the configuration leaves blank stays as it is.
        (Parts::Items(_), Some(Value::List(_)), Value::Null)
        | (Parts::Fields(_) | Parts::Entries(_), Some(Value::Map(_)), Value::Null) => Ok(live.cloned()),
        _ => Ok(Some(wanted.clone())),
    }
}

fn merge_members(live: Option<&Map>, config: &Map, place: Place<'_>) -> Result<Value, String> {
    let mut merged = live.cloned().unwrap_or_default();
    for (name, member) in config.iter() {
        let Some((place, _)) = place.member(name) else {
            return Err(format!(".{name}: field not declared in schema"));
        };
        let before = live.and_then(|live| live.get(name));
        let after = visit(before, Some(member), place).map_err(|error| format!(".{name}{error}"))?;
        if let Some(after) = after {
            merged.insert(name.to_owned(), after);
        }
    }
    Ok(Value::Map(merged))
}

/// An item of the result, from either list.
struct Indexed<'a> {
    element: Element,
    item: &'a Value,
}

fn index<'a>(items: &'a [Value], list: &Field) -> Result<Vec<Indexed<'a>>, String> {
    let indexed = items.iter().enumerate().map(|(position, item)| {
        let element = element_of(list, item).map_err(|error| format!(": element {position}: {error}"))?;
        Ok(Indexed { element, item })
    });
    indexed.collect()
}

/// Items of the configuration come in its order, all others stay in front of the one that they stood in front of.
fn merge_items(live: &[Value], config: &[Value], list: &Field) -> Result<Value, String> {
    let (live, config) = (index(live, list)?, index(config, list)?);
    let merger = Merger::new(&live, &config, list)?;
    merger.run().map(Value::List)
}

struct Merger<'a> {
    list: &'a Field,
    live: &'a [Indexed<'a>],
    config: &'a [Indexed<'a>],
    /// The live items, without those that appear more than once, which are replaced instead of merged.
    live_items: BTreeMap<&'a Element, Option<&'a Value>>,
    wanted: BTreeSet<&'a Element>,
    merged: BTreeSet<&'a Element>,
    /// The elements of the configuration that are live too and still to come, in its order.
    shared: VecDeque<&'a Element>,
    items: Vec<Value>,
}

impl<'a> Merger<'a> {
    #[expect(clippy::mutable_key_type, reason = "what changes inside of a map is how its keys are found")]
    fn new(
        live: &'a [Indexed<'a>],
        config: &'a [Indexed<'a>],
        list: &'a Field,
    ) -> Result<Merger<'a>, String> {
        let mut live_items = BTreeMap::new();
        for Indexed { element, item } in live {
            live_items.entry(element).and_modify(|item| *item = None).or_insert(Some(*item));
        }
        let mut wanted = BTreeSet::new();
        for Indexed { element, .. } in config {
            if !wanted.insert(element) {
                return Err(format!(": duplicate entries for key {element}"));
            }
        }
        let shared = config.iter().map(|one| &one.element);
        let shared = shared.filter(|element| live_items.contains_key(element)).collect();
        let (merged, items) = (BTreeSet::new(), Vec::with_capacity(live.len().max(config.len())));
        Ok(Merger { list, live, config, live_items, wanted, merged, shared, items })
    }

    fn run(mut self) -> Result<Vec<Value>, String> {
        let (live, config) = (self.live, self.config);
        let (mut l, mut c) = (0, 0);
        while l < live.len() || c < config.len() {
            match (live.get(l), config.get(c)) {
                (Some(one), Some(other)) if one.element == other.element => {
                    self.take(other)?;
                    (l, c) = (l + 1, c + 1);
                }
                // An item that comes earlier or later in the configuration.
                (Some(one), Some(_)) if self.is_out_of_order(&one.element) => l += 1,
                (Some(one), _) if !self.wanted.contains(&one.element) => {
                    self.items.push(one.item.clone());
                    l += 1;
                }
                (Some(one), None) => {
                    debug_assert!(self.merged.contains(&one.element), "all of the configuration is merged");
                    l += 1;
                }
                (one, Some(other)) => {
                    if one.is_some_and(|one| self.merged.contains(&one.element)) {
                        l += 1;
                    }
                    self.take(other)?;
                    c += 1;
                }
                (None, None) => break,
            }
        }
        Ok(self.items)
    }

    fn is_out_of_order(&self, element: &Element) -> bool {
        self.wanted.contains(element) && self.shared.front().is_some_and(|next| *next != element)
    }

    /// Takes an item of the configuration, merged with the live one.
    fn take(&mut self, one: &'a Indexed<'a>) -> Result<(), String> {
        let live = self.live_items.get(&one.element).copied().flatten();
        let merged = visit(live, Some(one.item), Place::Item(self.list));
        self.items.extend(merged.map_err(|error| format!("{}{error}", one.element))?);
        self.merged.insert(&one.element);
        if self.shared.front() == Some(&&one.element) {
            self.shared.pop_front();
        }
        Ok(())
    }
}
