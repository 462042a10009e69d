//! JSON patch (RFC 6902), with the dialect of upstream's library: negative indices count from the end, and
//! `replace` of a missing member adds it.

use super::{Error, JSON_PATCH_COPY_BYTES_MAX, JSON_PATCH_OPERATIONS_MAX, JSON_PATCH_STEPS_MAX};
use crate::json::{self, DEPTH_MAX, JsonError};
use crate::{Map, Value};

#[cfg(test)]
mod tests;

const MISSING: &str = "missing value";
pub(super) const TEST_FAILED: &str = "test failed";

/// Applies the operations one after another; the first that fails fails the patch.
///
/// ```
/// use object::{patch::json_patch, value};
/// let patch = value!([{"op": "add", "path": "/labels/app", "value": "web"}]);
/// let patched = json_patch(value!({"labels": {}}), &patch)?;
/// assert_eq!(patched, value!({"labels": {"app": "web"}}));
/// # Ok::<(), object::patch::Error>(())
/// ```
///
/// # Errors
/// [`Error::Malformed`] if the patch is not a list of objects, [`Error::TooManyOperations`], [`Error::DoesNotApply`] if
/// an operation fails.
pub fn json_patch(target: Value, patch: &Value) -> Result<Value, Error> {
    let unmarshal = |value: &Value, ty: &str| {
        Error::Malformed(format!("json: cannot unmarshal {} into Go value of type {ty}", json_type(value)))
    };
    let operations = match patch {
        Value::Null => &[],
        patch => patch.as_list().ok_or_else(|| unmarshal(patch, "jsonpatch.Patch"))?,
    };
    if let Some(wrong) = operations.iter().find(|op| op.as_map().is_none()) {
        return Err(unmarshal(wrong, "jsonpatch.Operation"));
    }
    if operations.len() > JSON_PATCH_OPERATIONS_MAX {
        return Err(Error::TooManyOperations(operations.len()));
    }
    let mut document = Document { root: target, copied_bytes: 0, steps: 0 };
    for operation in operations {
        document.apply(operation).map_err(Error::DoesNotApply)?;
        if document.steps > JSON_PATCH_STEPS_MAX {
            return Err(Error::TooExpensive);
        }
    }
    Ok(document.root)
}

fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Float(_) => "number",
        Value::String(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "object",
    }
}

struct Document {
    root: Value,
    copied_bytes: usize,
    /// Members and items that were searched and moved, at most.
    steps: usize,
}

impl Document {
    fn apply(&mut self, operation: &Value) -> Result<(), String> {
        match operation.get("op").as_str().unwrap_or("unknown") {
            "add" => self.add(operation),
            "remove" => self.remove(operation),
            "replace" => self.replace(operation),
            "move" => self.r#move(operation),
            "test" => self.test(operation),
            "copy" => self.copy(operation),
            other => Err(format!("Unexpected kind: {other}")),
        }
    }

    fn add(&mut self, operation: &Value) -> Result<(), String> {
        let path =
            text(operation, "path").map_err(|_| format!("add operation failed to decode path: {MISSING}"))?;
        let missing = || format!("add operation does not apply: doc is missing path: \"{path}\": {MISSING}");
        self.check_depth(path, operation.get("value"))?;
        let (mut container, key) = self.find(path).ok_or_else(missing)?;
        let added = container.add(&key, operation.get("value").clone());
        added.map_err(|error| format!("error in add for path: '{path}': {error}"))
    }

    fn remove(&mut self, operation: &Value) -> Result<(), String> {
        let path = text(operation, "path")
            .map_err(|_| format!("remove operation failed to decode path: {MISSING}"))?;
        let missing =
            || format!("remove operation does not apply: doc is missing path: \"{path}\": {MISSING}");
        let (mut container, key) = self.find(path).ok_or_else(missing)?;
        let removed = container.remove(&key);
        removed.map(drop).map_err(|error| format!("error in remove for path: '{path}': {error}"))
    }

    fn replace(&mut self, operation: &Value) -> Result<(), String> {
        let path = text(operation, "path")
            .map_err(|error| format!("replace operation failed to decode path: {error}"))?;
        let value = operation.get("value").clone();
        if path.is_empty() {
            if !matches!(value, Value::List(_) | Value::Map(_)) {
                return Err("replace operation value must be object or array: %!w(<nil>)".into());
            }
            self.root = value;
            return Ok(());
        }
        self.check_depth(path, &value)?;
        let missing = |what: &str| {
            format!("replace operation does not apply: doc is missing {what}: {path}: {MISSING}")
        };
        let (mut container, key) = self.find(path).ok_or_else(|| missing("path"))?;
        container.get(&key).map_err(|_| missing("key"))?;
        // The words are upstream's.
        container.set(&key, value).map_err(|error| format!("error in remove for path: '{path}': {error}"))
    }

    fn r#move(&mut self, operation: &Value) -> Result<(), String> {
        let from = text(operation, "from")
            .map_err(|error| format!("move operation failed to decode from: {error}"))?;
        let missing =
            || format!("move operation does not apply: doc is missing from path: {from}: {MISSING}");
        let (mut container, key) = self.find(from).ok_or_else(missing)?;
        let value =
            container.remove(&key).map_err(|error| format!("error in move for path: '{key}': {error}"))?;
        let path = text(operation, "path")
            .map_err(|error| format!("move operation failed to decode path: {error}"))?;
        let missing =
            || format!("move operation does not apply: doc is missing destination path: {path}: {MISSING}");
        self.check_depth(path, &value)?;
        let (mut container, key) = self.find(path).ok_or_else(missing)?;
        container.add(&key, value).map_err(|error| format!("error in move for path: '{path}': {error}"))
    }

    fn test(&mut self, operation: &Value) -> Result<(), String> {
        let path = text(operation, "path")
            .map_err(|error| format!("test operation failed to decode path: {error}"))?;
        let expected = operation.get("value");
        let equal = if path.is_empty() {
            self.root == *expected
        } else {
            let missing = || format!("test operation does not apply: is missing path: {path}: {MISSING}");
            let (container, key) = self.find(path).ok_or_else(missing)?;
            container.get(&key).map_err(|error| format!("error in test for path: '{path}': {error}"))?
                == expected
        };
        if equal { Ok(()) } else { Err(format!("testing value {path} failed: {TEST_FAILED}")) }
    }

    fn copy(&mut self, operation: &Value) -> Result<(), String> {
        let from = text(operation, "from")
            .map_err(|error| format!("copy operation failed to decode from: {error}"))?;
        let missing =
            || format!("copy operation does not apply: doc is missing from path: {from}: {MISSING}");
        let (container, key) = self.find(from).ok_or_else(missing)?;
        let copied = container.get(&key).cloned();
        let value = copied.map_err(|error| format!("error in copy for from: '{from}': {error}"))?;
        let path = text(operation, "path")
            .map_err(|_| format!("copy operation failed to decode path: {MISSING}"))?;
        self.check_depth(path, &value)?;
        self.copied_bytes += json::to_vec(&value).len();
        let copied_bytes = self.copied_bytes;
        let missing =
            || format!("copy operation does not apply: doc is missing destination path: {path}: {MISSING}");
        let (mut container, key) = self.find(path).ok_or_else(missing)?;
        if copied_bytes > JSON_PATCH_COPY_BYTES_MAX {
            return Err(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {copied_bytes}, exceeding \
                 the limit {JSON_PATCH_COPY_BYTES_MAX}"
            ));
        }
        container.add(&key, value).map_err(|error| format!("error while adding value during copy: {error}"))
    }

    /// Refuses a value that would be nested more deeply at a path than text can be. Operations that copy an object into
    /// itself double its depth each time, and everything that walks through a tree needs stack for each level.
    fn check_depth(&mut self, path: &str, value: &Value) -> Result<(), String> {
        let left = DEPTH_MAX.checked_sub(path.matches('/').count());
        let fits = left.is_some_and(|left| json::is_within(value, left, &mut self.steps));
        if fits { Ok(()) } else { Err(format!("the value does not fit: {}", JsonError::TooDeep)) }
    }

    /// The object or list that contains the target of a path, and the last step of the path.
    fn find(&mut self, path: &str) -> Option<(Container<'_>, String)> {
        let (_, steps) = path.split_once('/')?;
        let mut steps: Vec<String> = steps.split('/').map(decode).collect();
        let last = steps.pop()?;
        let parent = steps.iter().try_fold(&mut self.root, |value, step| match value {
            Value::Map(map) => {
                self.steps += map.len();
                map.get_mut(step)
            }
            Value::List(list) => {
                let index = index(step, list.len(), false).ok()?;
                list.get_mut(index)
            }
            _ => None,
        })?;
        self.steps += match &*parent {
            Value::Map(map) => map.len(),
            Value::List(list) => list.len(),
            _ => 0,
        };
        match parent {
            Value::Map(map) => Some((Container::Map(map), last)),
            Value::List(list) => Some((Container::List(list), last)),
            _ => None,
        }
    }
}

/// One step of a JSON pointer (RFC 6901).
fn decode(step: &str) -> String {
    step.replace("~1", "/").replace("~0", "~")
}

/// A string member of an operation.
fn text<'a>(operation: &'a Value, key: &str) -> Result<&'a str, String> {
    match operation.get(key) {
        Value::String(text) => Ok(text),
        Value::Null if key == "path" => Err(format!("operation missing path field: {MISSING}")),
        Value::Null => Err(format!("operation, missing {key} field: {MISSING}")),
        other => Err(format!("json: cannot unmarshal {} into Go value of type string", json_type(other))),
    }
}

/// An index into a list; one behind the last item too where an item is to be inserted.
fn index(step: &str, length: usize, inserting: bool) -> Result<usize, String> {
    let number: i64 =
        step.parse().map_err(|_| format!("strconv.Atoi: parsing {}: invalid syntax", crate::quote(step)))?;
    let length = length + usize::from(inserting);
    let from_end = usize::try_from(number.unsigned_abs()).ok().and_then(|back| length.checked_sub(back));
    let index = if number < 0 { from_end } else { usize::try_from(number).ok().filter(|i| *i < length) };
    index.ok_or_else(|| format!("Unable to access invalid index: {number}: invalid index referenced"))
}

enum Container<'a> {
    Map(&'a mut Map),
    List(&'a mut Vec<Value>),
}

impl Container<'_> {
    /// The member or item; a missing member is null.
    fn get(&self, key: &str) -> Result<&Value, String> {
        match self {
            Container::Map(map) => Ok(map.get(key).unwrap_or(&Value::Null)),
            Container::List(list) => Ok(&list[index(key, list.len(), false)?]),
        }
    }

    fn set(&mut self, key: &str, value: Value) -> Result<(), String> {
        match self {
            Container::Map(map) => drop(map.insert(key.to_owned(), value)),
            Container::List(list) => {
                let index = index(key, list.len(), false)?;
                list[index] = value;
            }
        }
        Ok(())
    }

    fn add(&mut self, key: &str, value: Value) -> Result<(), String> {
        match self {
            Container::Map(map) => drop(map.insert(key.to_owned(), value)),
            Container::List(list) if key == "-" => list.push(value),
            Container::List(list) => {
                let index = index(key, list.len(), true).map_err(|error| match error {
                    error if error.starts_with("strconv") => {
                        format!("value was not a proper array index: '{key}': {error}")
                    }
                    error => error,
                })?;
                list.insert(index, value);
            }
        }
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Result<Value, String> {
        match self {
            Container::Map(map) => {
                map.remove(key).ok_or_else(|| format!("Unable to remove nonexistent key: {key}: {MISSING}"))
            }
            Container::List(list) => {
                let index = index(key, list.len(), false)?;
                Ok(list.remove(index))
            }
        }
    }
}
