//! Lists in strategic merge patches.

use std::collections::{HashMap, HashSet};

use super::schema::{Member, Node};
use super::{DIRECTIVE, Error, go_type, merge_maps, no_merge_key, remove_directives, unknown_directive};
use crate::Value;
use crate::text::print;

/// How one list of the schema merges.
pub(super) struct ListMerge<'a> {
    /// The type of its items.
    node: Node<'a>,
    /// Whether it merges at all, or is replaced.
    merges: bool,
    /// The member by which items that are objects are the same.
    key: Option<&'a str>,
}

impl<'a> ListMerge<'a> {
    pub(super) fn of(member: Member<'a>) -> ListMerge<'a> {
        let key = member.patch.merge_key.as_deref().filter(|key| !key.is_empty());
        ListMerge { node: member.node, merges: member.patch.merge, key }
    }

    /// Merges the list of a patch into the old one.
    pub(super) fn merge(&self, old: Vec<Value>, new: Vec<Value>) -> Result<Vec<Value>, Error> {
        if !self.merges {
            return Ok(new);
        }
        if old.is_empty() && new.is_empty() {
            return Ok(old);
        }
        if !holds_objects(&old, &new)? {
            let (order, old_order) = (self.places(&new), self.places(&old));
            let mut merged = old;
            merged.extend(new);
            return Ok(self.arrange(without_duplicates(merged), &order, &old_order));
        }
        if self.key.is_none() {
            return Err(Error::Schema("cannot merge lists without merge key for struct".into()));
        }
        let (old, new) = self.apply_directives(old, new)?;
        let (order, old_order) = (self.places(&new), self.places(&old));
        let merged = self.merge_objects(old, new)?;
        self.check_keys(&merged)?;
        Ok(self.arrange(merged, &order, &old_order))
    }

    /// Merges where the patch states the order of the result; at least one of the lists exists.
    pub(super) fn merge_ordered(
        &self,
        old: Option<Vec<Value>>,
        new: Option<Vec<Value>>,
        order: &[Value],
    ) -> Result<Vec<Value>, Error> {
        self.check_order(new.as_deref().unwrap_or_default(), order)?;
        let old_order = self.places(old.as_deref().unwrap_or_default());
        holds_objects(old.as_deref().unwrap_or_default(), new.as_deref().unwrap_or_default())?;
        let merged = match (old, new) {
            (Some(old), Some(new)) => self.merge(old, new)?,
            (None, Some(new)) => new.into_iter().filter_map(remove_directives).collect(),
            (old, None) => old.unwrap_or_default(),
        };
        self.check_keys(&merged)?;
        self.check_keys(order)?;
        Ok(self.arrange(merged, &self.places(order), &old_order))
    }

    /// The identity of an item: its merge key, or itself.
    fn key_of<'v>(&self, item: &'v Value) -> &'v Value {
        self.key.map_or(item, |key| item.get(key))
    }

    /// Where items with a key stand first in a list.
    fn places(&self, items: &[Value]) -> Places {
        let mut places = Places::with_capacity(items.len());
        for (place, item) in items.iter().enumerate() {
            places.entry(identity(self.key_of(item))).or_insert(place);
        }
        places
    }

    fn check_keys(&self, items: &[Value]) -> Result<(), Error> {
        let Some(key) = self.key else { return Ok(()) };
        for item in items {
            match item.as_map() {
                None => {
                    let got = go_type(item);
                    return Err(Error::Schema(format!(
                        "expected a map[string]interface {{}}, but received a {got}"
                    )));
                }
                Some(map) if !map.contains_key(key) => return Err(no_merge_key(item, key)),
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// All items of the patch must be in the stated order.
    fn check_order(&self, new: &[Value], order: &[Value]) -> Result<(), Error> {
        if new.is_empty() || order.is_empty() {
            return Ok(());
        }
        let kept: Vec<Value> = new.iter().filter(|item| item.get(DIRECTIVE).is_null()).cloned().collect();
        self.check_keys(&kept)?;
        self.check_keys(order)?;
        let mut rest = order.iter();
        let in_order = kept.iter().all(|item| rest.any(|other| self.key_of(other) == self.key_of(item)));
        if in_order {
            return Ok(());
        }
        let (new, order) = (print(&Value::List(new.to_vec())), print(&Value::List(order.to_vec())));
        Err(Error::Schema(format!(
            "The order in patch list:\n{new}\n doesn't match $setElementOrder list:\n{order}\n"
        )))
    }

    /// Applies the items that are directives; returns the rest of both lists.
    fn apply_directives(
        &self,
        mut old: Vec<Value>,
        new: Vec<Value>,
    ) -> Result<(Vec<Value>, Vec<Value>), Error> {
        let key = self.key.unwrap_or_default();
        let mut plain = Vec::with_capacity(new.len());
        let (mut replaces, mut deleted) = (false, HashSet::new());
        for item in new {
            match item.get(DIRECTIVE) {
                Value::Null if item.as_map().is_some_and(|map| !map.contains_key(DIRECTIVE)) => {
                    plain.push(item)
                }
                directive => match directive.as_str() {
                    Some("delete") if item.as_map().is_some_and(|map| map.contains_key(key)) => {
                        deleted.insert(identity(item.get(key)));
                    }
                    Some("delete") => return Err(no_merge_key(&item, key)),
                    Some("replace") => replaces = true,
                    Some("merge") => {
                        let message = "merging lists cannot yet be specified in the patch";
                        return Err(Error::Schema(message.into()));
                    }
                    _ => {
                        let map = item.as_map().cloned().unwrap_or_default();
                        return Err(unknown_directive(directive, map));
                    }
                },
            }
        }
        if !deleted.is_empty() {
            old.retain(|other| !deleted.contains(&identity(other.get(key))));
        }
        Ok(if replaces { (plain, Vec::new()) } else { (old, plain) })
    }

    fn merge_objects(&self, mut old: Vec<Value>, new: Vec<Value>) -> Result<Vec<Value>, Error> {
        let key = self.key.unwrap_or_default();
        let mut places = Places::with_capacity(old.len() + new.len());
        for (place, item) in old.iter().enumerate() {
            if item.as_map().is_some_and(|map| map.contains_key(key)) {
                places.entry(identity(item.get(key))).or_insert(place);
            }
        }
        for item in new {
            self.check_keys(std::slice::from_ref(&item))?;
            let end = old.len();
            let place = *places.entry(identity(item.get(key))).or_insert(end);
            match (old.get_mut(place), item) {
                (Some(Value::Map(other)), Value::Map(item)) => {
                    *other = merge_maps(std::mem::take(other), item, self.node)?;
                }
                (_, item) => old.push(item),
            }
        }
        Ok(old)
    }

    /// Puts the items of the patch into the patch's order, and the others between them, each before the
    /// first that it stood before in the old list.
    fn arrange(&self, merged: Vec<Value>, order: &Places, old_order: &Places) -> Vec<Value> {
        let places = |item: Value| {
            let identity = identity(self.key_of(&item));
            (order.get(&identity).copied(), old_order.get(&identity).copied(), item)
        };
        let (mut patched, mut others): (Vec<_>, Vec<_>) =
            merged.into_iter().map(places).partition(|(place, ..)| place.is_some());
        patched.sort_by_key(|(place, ..)| *place);
        others.sort_by_key(|(_, old_place, _)| *old_place);
        let mut arranged = Vec::with_capacity(patched.len() + others.len());
        let mut others = others.into_iter().peekable();
        for (_, at, item) in patched {
            let before = |other: &(Option<usize>, Option<usize>, Value)| {
                at.zip(other.1).is_some_and(|(at, other)| other < at)
            };
            while let Some((.., other)) = others.next_if(before) {
                arranged.push(other);
            }
            arranged.push(item);
        }
        arranged.extend(others.map(|(.., other)| other));
        arranged
    }
}

/// Where items with an identity stand.
type Places = HashMap<Identity, usize>;

/// The identity of a value: its JSON text, in which equal numbers are equal.
type Identity = Box<[u8]>;

fn identity(value: &Value) -> Identity {
    match value {
        // `1` and `1.0` are the same.
        Value::Float(_) => match value.as_i64() {
            Some(whole) => identity(&Value::Int(whole)),
            None => crate::json::to_vec(value).into(),
        },
        Value::Map(map) => {
            let mut sorted = map.clone();
            sorted.sort();
            crate::json::to_vec(&Value::Map(sorted)).into()
        }
        other => crate::json::to_vec(other).into(),
    }
}

/// Removes scalars from a list (`$deleteFromPrimitiveList`).
pub(super) fn delete_scalars(old: Vec<Value>, deleted: &[Value]) -> Result<Vec<Value>, Error> {
    if !old.is_empty() || !deleted.is_empty() {
        holds_objects(&old, deleted)?;
    }
    let deleted: HashSet<Identity> = deleted.iter().map(identity).collect();
    Ok(old.into_iter().filter(|item| !deleted.contains(&identity(item))).collect())
}

/// Whether the items are objects; they must all be of one type, and none may be a list.
fn holds_objects(old: &[Value], new: &[Value]) -> Result<bool, Error> {
    let mut items = old.iter().chain(new);
    let Some(first) = items.next() else {
        return Err(Error::Schema("no elements in any of the given slices".into()));
    };
    if first.as_list().is_some() {
        return Err(Error::DoesNotApply("lists of lists are not supported".into()));
    }
    if items.any(|item| go_type(item) != go_type(first)) {
        let lists = [old, new].map(|list| print(&Value::List(list.to_vec()))).join(" ");
        return Err(Error::Schema(format!("list element types are not identical: [{lists}]")));
    }
    Ok(first.as_map().is_some())
}

fn without_duplicates(items: Vec<Value>) -> Vec<Value> {
    let mut seen = HashSet::with_capacity(items.len());
    items.into_iter().filter(|item| seen.insert(identity(item))).collect()
}
