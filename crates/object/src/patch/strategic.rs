//! Strategic merge patch: a merge patch that knows the schema.
//!
//! Lists whose field says so are merged item by item, by the value of a merge key; mergeable lists of scalars become
//! unions. Directives in the patch control the result:
//!
//! | directive | in | effect |
//! | --- | --- | --- |
//! | `$patch: replace` | an object | replaces instead of merging |
//! | `$patch: replace` | an item of a merging list | replaces the list with the other items |
//! | `$patch: delete` | an object | empties it |
//! | `$patch: delete` | an item of a merging list | removes the items with its merge key |
//! | `$retainKeys: [..]` | an object | removes all members that are not listed |
//! | `$deleteFromPrimitiveList/f: [..]` | an object | removes items from the list of scalars `f` |
//! | `$setElementOrder/f: [..]` | an object | orders the merged list `f` |
//!
//! See `k8s.io/apimachinery/pkg/util/strategicpatch`.

use std::collections::HashSet;

use super::Error;
use crate::text::{print, quote};
use crate::value::MapEditor;
use crate::{Key, Map, Value};

mod list;
mod schema;
#[cfg(test)]
mod tests;

use list::ListMerge;
use schema::Node;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

/// Lays a patch over an object of a type of the schema table.
///
/// ```
/// use object::{patch::strategic_merge, value};
/// let pod_spec = schema::type_by_name("io.k8s.api.core.v1.PodSpec").expect("a built-in type");
/// let target = value!({"containers": [{"name": "a", "image": "x"}, {"name": "b"}]});
/// let patch = value!({"containers": [{"name": "a", "image": "y"}]});
/// let patched = strategic_merge(target, patch, &pod_spec)?;
/// assert_eq!(patched, value!({"containers": [{"name": "a", "image": "y"}, {"name": "b"}]}));
/// # Ok::<(), object::patch::Error>(())
/// ```
///
/// # Errors
/// [`Error::Malformed`] for directives that make no sense, [`Error::Schema`] where patch and schema differ,
/// [`Error::DoesNotApply`] for lists of lists.
pub fn strategic_merge(target: Value, patch: Value, ty: &::schema::TypeDef) -> Result<Value, Error> {
    let (Value::Map(target), Value::Map(patch)) = (target, patch) else {
        return Err(Error::Malformed("invalid JSON document".into()));
    };
    merge_maps(target, patch, Node::Struct(ty)).map(Value::Map)
}

fn merge_maps(mut target: Map, mut patch: Map, node: Node<'_>) -> Result<Map, Error> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Map::new()),
            _ => {
                patch.insert(DIRECTIVE, directive.clone());
                Err(unknown_directive(&directive, patch))
            }
        };
    }
    retain_keys(&mut target, &mut patch)?;
    let mut target = MapEditor::new(target, patch.len());
    merge_ordered_lists(&mut target, &mut patch, node)?;
    for (key, value) in patch {
        let name = key.as_str();
        let (name, deletes) = match name.starts_with(DELETE_FROM_LIST) {
            true => (directive_field(name, DELETE_FROM_LIST)?, true),
            false => (name, false),
        };
        if value.is_null() {
            target.remove(name);
            continue;
        }
        match (target.get_mut(name), value) {
            (Some(Value::Map(old)), Value::Map(new)) => {
                let field = node.field(name)?;
                *old = merge_maps(std::mem::take(old), new, field.node)?;
            }
            (Some(Value::List(old)), Value::List(new)) => {
                let merge = ListMerge::of(node.list(name)?);
                *old = match deletes {
                    true => list::delete_scalars(std::mem::take(old), &new)?,
                    false => merge.merge(std::mem::take(old), new)?,
                };
            }
            (_, _) if deletes => {}
            (_, mut value) => {
                remove_nulls(&mut value);
                match remove_directives(value) {
                    Some(value) => target.insert(Key::from(name.to_owned()), value),
                    None => drop(target.remove(name)),
                }
            }
        }
    }
    Ok(target.finish())
}

/// `f` of `$directive/f`.
fn directive_field<'a>(key: &'a str, directive: &str) -> Result<&'a str, Error> {
    key.strip_prefix(directive).and_then(|rest| rest.strip_prefix('/')).ok_or_else(|| {
        Error::Malformed(match directive {
            DELETE_FROM_LIST => "invalid patch format of primitive list".into(),
            _ => "invalid patch format of setElementOrder list".into(),
        })
    })
}

/// Applies `$retainKeys`: every member of the patch must be listed, and members that are not listed are removed.
fn retain_keys(target: &mut Map, patch: &mut Map) -> Result<(), Error> {
    let Some(kept) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let malformed = || Error::Malformed("invalid patch format of retainKeys".into());
    let kept: HashSet<&str> =
        kept.as_list().ok_or_else(malformed)?.iter().filter_map(Value::as_str).collect();
    let listed = |key: &str, value: &Value| {
        let exempt = value.is_null() || key.starts_with(DELETE_FROM_LIST) || key.starts_with(SET_ORDER);
        exempt || kept.contains(key)
    };
    if !patch.iter().all(|(key, value)| listed(key, value)) {
        return Err(malformed());
    }
    target.retain(|key, _| kept.contains(key));
    Ok(())
}

/// Merges the lists for which the patch states an order, and removes them from the patch.
fn merge_ordered_lists(target: &mut MapEditor, patch: &mut Map, node: Node<'_>) -> Result<(), Error> {
    let keys: Vec<String> =
        patch.keys().filter(|key| key.starts_with(SET_ORDER)).map(str::to_owned).collect();
    for key in keys {
        let order = as_list(patch.remove(&key).unwrap_or_default())?;
        let name = directive_field(&key, SET_ORDER)?;
        let old = target.get_mut(name).map(Value::take).map(as_list).transpose()?;
        let new = patch.remove(name).map(as_list).transpose()?;
        if old.is_none() && new.is_none() {
            continue;
        }
        let merge = ListMerge::of(node.list(name)?);
        let merged = merge.merge_ordered(old, new, &order)?;
        target.insert(Key::from(name.to_owned()), Value::List(merged));
    }
    Ok(())
}

fn as_list(value: Value) -> Result<Vec<Value>, Error> {
    match value {
        Value::List(list) => Ok(list),
        other => {
            Err(Error::Schema(format!("expected a []interface {{}}, but received a {}", go_type(&other))))
        }
    }
}

/// A part of the patch that meets nothing to merge with goes in without its directives; `None` if it is
/// one itself.
fn remove_directives(value: Value) -> Option<Value> {
    match value {
        Value::Map(map) if map.contains_key(DIRECTIVE) => None,
        Value::Map(map) => {
            let members = map.into_iter().filter_map(|(key, value)| Some((key, remove_directives(value)?)));
            Some(Value::Map(members.collect()))
        }
        Value::List(items) => Some(Value::List(items.into_iter().filter_map(remove_directives).collect())),
        scalar => Some(scalar),
    }
}

/// Nulls in a part of the patch that meets nothing to merge with remove nothing, and must not stay.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Map(map) => map.retain(|_, member| {
            remove_nulls(member);
            !member.is_null()
        }),
        Value::List(items) => items.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

fn unknown_directive(directive: &Value, patch: Map) -> Error {
    Error::Schema(format!("unknown patch type: {} in map: {}", print(directive), print(&Value::Map(patch))))
}

fn no_merge_key(item: &Value, key: &str) -> Error {
    Error::Schema(format!("map: {} does not contain declared merge key: {key}", print(item)))
}

/// Go's name for the type that its decoder makes of a value.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int64",
        Value::Float(_) => "float64",
        Value::String(_) => "string",
        Value::List(_) => "[]interface {}",
        Value::Map(_) => "map[string]interface {}",
    }
}

fn unknown_field(ty: &str, field: &str) -> Error {
    let ty = ty.rsplit('.').next().unwrap_or(ty);
    Error::Schema(format!("unable to find api field in struct {ty} for the json field {}", quote(field)))
}
