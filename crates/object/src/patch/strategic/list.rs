//! Lists in strategic merge patches.

use super::schema::{Member, Node};
use super::{DIRECTIVE, Error, go_type, merge_maps, no_merge_key, remove_directives, unknown_directive};
use crate::Value;
use crate::text::print;

/// How one list of the schema merges.
pub(super) struct ListMerge<'a> {
    /// What its items are.
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
            let order = self.keys(&new);
            let old_order = self.keys(&old);
            let mut merged = old;
            merged.extend(new);
            return Ok(self.arrange(without_duplicates(merged), &order, &old_order));
        }
        if self.key.is_none() {
            return Err(Error::Schema("cannot merge lists without merge key for struct".into()));
        }
        let (old, new) = self.apply_directives(old, new)?;
        let (order, old_order) = (self.keys(&new), self.keys(&old));
        let merged = self.merge_objects(old, new)?;
        self.check_keys(&merged)?;
        Ok(self.arrange(merged, &order, &old_order))
    }

    /// Merges where the patch states the order of the result; at least one of the lists is there.
    pub(super) fn merge_ordered(
        &self,
        old: Option<Vec<Value>>,
        new: Option<Vec<Value>>,
        order: &[Value],
    ) -> Result<Vec<Value>, Error> {
        self.check_order(new.as_deref().unwrap_or_default(), order)?;
        let old_order = self.keys(old.as_deref().unwrap_or_default());
        holds_objects(old.as_deref().unwrap_or_default(), new.as_deref().unwrap_or_default())?;
        let merged = match (old, new) {
            (Some(old), Some(new)) => self.merge(old, new)?,
            (None, Some(new)) => new.into_iter().filter_map(remove_directives).collect(),
            (old, None) => old.unwrap_or_default(),
        };
        self.check_keys(&merged)?;
        self.check_keys(order)?;
        Ok(self.arrange(merged, &self.keys(order), &old_order))
    }

    /// What makes an item the same as another: its merge key, or itself.
    fn key_of<'v>(&self, item: &'v Value) -> &'v Value {
        self.key.map_or(item, |key| item.get(key))
    }

    fn keys(&self, items: &[Value]) -> Vec<Value> {
        items.iter().map(|item| self.key_of(item).clone()).collect()
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

    /// The items of the patch must stand in the stated order, each of them.
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

    /// Carries out the items that are directives; what is left of both lists comes back.
    fn apply_directives(
        &self,
        mut old: Vec<Value>,
        new: Vec<Value>,
    ) -> Result<(Vec<Value>, Vec<Value>), Error> {
        let key = self.key.unwrap_or_default();
        let mut plain = Vec::with_capacity(new.len());
        let mut replaces = false;
        for item in new {
            match item.get(DIRECTIVE) {
                Value::Null if item.as_map().is_some_and(|map| !map.contains_key(DIRECTIVE)) => {
                    plain.push(item)
                }
                directive => match directive.as_str() {
                    Some("delete") if item.as_map().is_some_and(|map| map.contains_key(key)) => {
                        old.retain(|other| other.get(key) != item.get(key));
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
        Ok(if replaces { (plain, Vec::new()) } else { (old, plain) })
    }

    fn merge_objects(&self, mut old: Vec<Value>, new: Vec<Value>) -> Result<Vec<Value>, Error> {
        let key = self.key.unwrap_or_default();
        for item in new {
            self.check_keys(std::slice::from_ref(&item))?;
            let same = old.iter_mut().find(|other| {
                other.as_map().is_some_and(|map| map.get(key).is_some_and(|value| value == item.get(key)))
            });
            match (same, item) {
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
    fn arrange(&self, merged: Vec<Value>, order: &[Value], old_order: &[Value]) -> Vec<Value> {
        let place = |list: &[Value], item: &Value| list.iter().position(|key| key == self.key_of(item));
        let (mut patched, mut others): (Vec<Value>, Vec<Value>) =
            merged.into_iter().partition(|item| place(order, item).is_some());
        patched.sort_by_key(|item| place(order, item));
        others.sort_by_key(|item| place(old_order, item));
        let mut arranged = Vec::with_capacity(patched.len() + others.len());
        let mut others = others.into_iter().peekable();
        for item in patched {
            let at = place(old_order, &item);
            let before =
                |other: &Value| at.zip(place(old_order, other)).is_some_and(|(at, other)| other < at);
            while let Some(other) = others.next_if(before) {
                arranged.push(other);
            }
            arranged.push(item);
        }
        arranged.extend(others);
        arranged
    }
}

/// Removes scalars from a list (`$deleteFromPrimitiveList`).
pub(super) fn delete_scalars(old: Vec<Value>, deleted: &[Value]) -> Result<Vec<Value>, Error> {
    if !old.is_empty() || !deleted.is_empty() {
        holds_objects(&old, deleted)?;
    }
    Ok(old.into_iter().filter(|item| !deleted.contains(item)).collect())
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
    let mut unique: Vec<Value> = Vec::with_capacity(items.len());
    for item in items {
        if !unique.contains(&item) {
            unique.push(item);
        }
    }
    unique
}
