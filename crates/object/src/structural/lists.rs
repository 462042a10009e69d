//! Rules of a schema that reach beyond single values: unique items of sets and associative lists, and objects inside of
//! objects. Upstream: `apiextensions-apiserver/pkg/apiserver/schema/{listtype,objectmeta}`.

use std::collections::HashMap;

use schema::ListType;

use super::node::Node;
use crate::field::{Errors, Path};
use crate::{Value, json};

/// Checks the lists of an object.
pub(super) fn check(node: &Node, object: &Value) -> Errors {
    let mut errors = Errors::new();
    walk(node, object, &Path::root(""), &mut errors);
    errors
}

fn walk(node: &Node, value: &Value, path: &Path<'_>, errors: &mut Errors) {
    match value {
        Value::Map(map) => {
            for (name, value) in map.iter() {
                match node.property(name) {
                    Some(inner) => walk(inner, value, &path.child(name), errors),
                    None => {
                        if let Some(inner) = node.member(name) {
                            walk(inner, value, &path.key(name), errors);
                        }
                    }
                }
            }
        }
        Value::List(items) => {
            match node.list_type {
                ListType::Atomic => {}
                ListType::Set => unique(items.iter().cloned(), path, errors),
                ListType::Map => associative(node, items, path, errors),
            }
            if let Some(inner) = &node.items {
                for (index, item) in items.iter().enumerate() {
                    walk(inner, item, &path.index(index), errors);
                }
            }
        }
        _ => {}
    }
}

/// Reports each value that comes again, once.
fn unique(values: impl Iterator<Item = Value>, path: &Path<'_>, errors: &mut Errors) {
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    for (index, value) in values.enumerate() {
        let times = seen.entry(text_of(&value)).or_default();
        *times += 1;
        if *times == 2 {
            errors.duplicate(&path.index(index), value);
        }
    }
}

/// The same text for values that are the same, in whichever order their members come.
fn text_of(value: &Value) -> Vec<u8> {
    match value {
        Value::Map(_) | Value::List(_) => {
            let mut sorted = value.clone();
            sort(&mut sorted);
            json::to_vec(&sorted)
        }
        scalar => json::to_vec(scalar),
    }
}

fn sort(value: &mut Value) {
    match value {
        Value::Map(map) => {
            map.sort();
            map.iter_mut().for_each(|(_, value)| sort(value));
        }
        Value::List(items) => items.iter_mut().for_each(sort),
        _ => {}
    }
}

fn associative(node: &Node, items: &[Value], path: &Path<'_>, errors: &mut Errors) {
    let is_wrong = |item: &&Value| !matches!(item, Value::Map(_) | Value::Null);
    if let Some((index, item)) = items.iter().enumerate().find(|(_, item)| is_wrong(item)) {
        let why = "must be an object for an array of list-type map";
        return errors.invalid(&path.index(index), item.clone(), why);
    }
    let keys = items.iter().map(|item| {
        let mut keys = Value::map();
        for key in &node.keys {
            if let Some(value) = item.as_map().and_then(|map| map.get(key)) {
                keys.set(key.to_string(), value.clone());
            }
        }
        keys
    });
    unique(keys, path, errors);
}

/// Visits the objects inside of an object.
pub(super) fn for_each_embedded(
    node: &Node,
    value: &Value,
    path: &Path<'_>,
    visit: &mut dyn FnMut(&Value, &Path<'_>),
) {
    match value {
        Value::Map(map) => {
            if node.embedded {
                visit(value, path);
            }
            for (name, value) in map.iter() {
                match node.property(name) {
                    Some(inner) => for_each_embedded(inner, value, &path.child(name), visit),
                    None => {
                        if let Some(inner) = node.member(name) {
                            for_each_embedded(inner, value, &path.key(name), visit);
                        }
                    }
                }
            }
        }
        Value::List(items) => {
            if let Some(inner) = &node.items {
                for (index, item) in items.iter().enumerate() {
                    for_each_embedded(inner, item, &path.index(index), visit);
                }
            }
        }
        _ => {}
    }
}
