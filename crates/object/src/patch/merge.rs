//! Merge patch (RFC 7386).

use super::Error;
use crate::value::MapEditor;
use crate::{Map, Value};

#[cfg(test)]
mod tests;

/// Lays a patch over an object: objects merge, null removes, everything else replaces.
///
/// ```
/// use object::{patch::merge_patch, value};
/// let patched = merge_patch(value!({"a": 1, "b": {"c": 2, "d": 3}}), value!({"a": null, "b": {"c": 4}}))?;
/// assert_eq!(patched, value!({"b": {"c": 4, "d": 3}}));
/// # Ok::<(), object::patch::Error>(())
/// ```
///
/// # Errors
/// [`Error::Malformed`] if the patch is neither an object nor a list.
pub fn merge_patch(target: Value, patch: Value) -> Result<Value, Error> {
    match patch {
        Value::Map(_) | Value::List(_) => Ok(merge(target, patch)),
        _ => Err(Error::Malformed("Invalid JSON Patch".into())),
    }
}

fn merge(target: Value, patch: Value) -> Value {
    match (target, patch) {
        (Value::Map(target), Value::Map(patch)) => Value::Map(merge_maps(target, patch)),
        (Value::Map(_), other) => other,
        (_, mut other) => {
            remove_nulls(&mut other);
            other
        }
    }
}

fn merge_maps(target: Map, patch: Map) -> Map {
    let mut target = MapEditor::new(target, patch.len());
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key.as_str());
            continue;
        }
        match target.get_mut(key.as_str()) {
            Some(old) => *old = merge(old.take(), value),
            None => target.insert(key, merge(Value::Null, value)),
        }
    }
    target.finish()
}

/// A patch that meets nothing to merge with: its nulls remove nothing, and must not stay.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Map(map) => map.retain(|_, member| {
            remove_nulls(member);
            !member.is_null()
        }),
        Value::List(items) => items.retain_mut(|item| {
            remove_nulls(item);
            !item.is_null()
        }),
        _ => {}
    }
}
