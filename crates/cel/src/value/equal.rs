//! Equality: values of different types are different, numbers are compared across types.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::{List, Map, MapKey, Object, Value, compare_numbers, type_name};
use crate::{EvaluationError, ListKind, Meter};

type Equality = Result<bool, EvaluationError>;

/// Whether two values are equal.
///
/// # Errors
/// A part of an object is not of its schema, or comparing takes too long: lists that contain themselves over and over
/// are small and long to compare.
pub(crate) fn equal<'v>(a: &Value<'v>, b: &Value<'v>, meter: &mut Meter<'_>) -> Equality {
    meter.use_bytes(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(_) | Value::Uint(_) | Value::Double(_), _) => {
            compare_numbers(a, b) == Some(Ordering::Equal)
        }
        (Value::String(a), Value::String(b)) => is_same(a.as_bytes(), b.as_bytes(), meter)?,
        (Value::Bytes(a), Value::Bytes(b)) => is_same(a, b, meter)?,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::List(a), Value::List(b)) => return lists(a, b, meter),
        (Value::Map(a), Value::Map(b)) => return maps(a, b, meter),
        (Value::Object(a), Value::Object(b)) => return objects(a, b, meter),
        (Value::Object(object), Value::Map(map)) | (Value::Map(map), Value::Object(object)) => {
            return object_and_map(object, map, meter);
        }
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => return equal(a, b, meter),
            (None, None) => true,
            _ => false,
        },
        (Value::Type(a), Value::Type(b)) => type_name(a) == type_name(b),
        (Value::Opaque(a), Value::Opaque(b)) => a.equals(b.as_ref()),
        _ => false,
    })
}

/// How many bytes are compared in the time of one part.
const BYTES_PER_PART: usize = 16;

fn is_same(a: &[u8], b: &[u8], meter: &mut Meter<'_>) -> Equality {
    if a.len() != b.len() {
        return Ok(false);
    }
    meter.use_bytes(a.len() / BYTES_PER_PART)?;
    Ok(a == b)
}

/// In order, unless the schema of the left list says otherwise.
fn lists<'v>(a: &List<'v>, b: &List<'v>, meter: &mut Meter<'_>) -> Equality {
    if a.len() != b.len() {
        return Ok(false);
    }
    match a.kind() {
        ListKind::Atomic => {
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(&a?, &b?, meter)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        ListKind::Set => sets(a, b, meter),
        ListKind::Map { keys } => keyed(a, b, keys, meter),
    }
}

/// The key of an item of a set list: scalars only.
pub(crate) fn set_key<'v>(item: &Value<'v>) -> Result<ItemKey<'v>, EvaluationError> {
    match item {
        Value::List(_) | Value::Map(_) | Value::Object(_) => {
            Err(EvaluationError::failed("listSet operations are only supported on lists of scalar values"))
        }
        scalar => Ok(ItemKey::of(scalar)),
    }
}

/// What items of sets are told apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ItemKey<'v> {
    Absent,
    Key(MapKey<'v>),
    Bytes(Vec<u8>),
    Shown(String),
}

impl<'v> ItemKey<'v> {
    fn of(value: &Value<'v>) -> ItemKey<'v> {
        match (MapKey::new(value), value) {
            (Some(key), _) => ItemKey::Key(key),
            (None, Value::Null) => ItemKey::Absent,
            (None, Value::Bytes(bytes)) => ItemKey::Bytes(bytes.to_vec()),
            (None, other) => ItemKey::Shown(other.to_string()),
        }
    }
}

/// The keys of an item of a map list.
pub(crate) fn item_keys<'v>(
    item: &Value<'v>,
    names: &[Box<str>],
) -> Result<Vec<ItemKey<'v>>, EvaluationError> {
    let key = |name: &str| match item.field(name) {
        Some(value) => value.map(|value| ItemKey::of(&value)),
        None => Ok(ItemKey::Absent),
    };
    names.iter().map(|name| key(name)).collect()
}

fn sets<'v>(a: &List<'v>, b: &List<'v>, meter: &mut Meter<'_>) -> Equality {
    meter.use_bytes(a.len())?;
    let keys = |list: &List<'v>| -> Result<HashSet<ItemKey<'v>>, EvaluationError> {
        list.iter().map(|item| set_key(&item?)).collect()
    };
    Ok(keys(a)? == keys(b)?)
}

fn keyed<'v>(a: &List<'v>, b: &List<'v>, names: &[Box<str>], meter: &mut Meter<'_>) -> Equality {
    let mut left = std::collections::HashMap::with_capacity(a.len());
    for item in a.iter() {
        let item = item?;
        left.insert(item_keys(&item, names)?, item);
    }
    let mut seen = HashSet::with_capacity(left.len());
    for item in b.iter() {
        let item = item?;
        let keys = item_keys(&item, names)?;
        let Some(same) = left.get(&keys) else { return Ok(false) };
        if !equal(same, &item, meter)? {
            return Ok(false);
        }
        seen.insert(keys);
    }
    Ok(seen.len() == left.len())
}

fn maps<'v>(a: &Map<'v>, b: &Map<'v>, meter: &mut Meter<'_>) -> Equality {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (key, value) in a.entries() {
        let Some(other) = b.get(&key) else { return Ok(false) };
        if !equal(&value?, &other?, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn objects<'v>(a: &Object<'v>, b: &Object<'v>, meter: &mut Meter<'_>) -> Equality {
    if a.len() != b.len() || a.made_name() != b.made_name() {
        return Ok(false);
    }
    for (name, value) in a.fields() {
        let name = name.as_str().unwrap_or_default();
        let value = a.field(name).is_some().then_some(value);
        let is_same = match (value, b.field(name)) {
            (Some(value), Some(other)) => equal(&value?, &other?, meter)?,
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            return Ok(false);
        }
    }
    // What the schema does not declare is compared as JSON.
    Ok(a.undeclared().all(|(name, value)| b.tree().and_then(|tree| tree.get(name)) == Some(value)))
}

fn object_and_map<'v>(object: &Object<'v>, map: &Map<'v>, meter: &mut Meter<'_>) -> Equality {
    let fields = object.fields();
    if object.len() != map.len() || fields.len() != map.len() {
        return Ok(false);
    }
    for (name, value) in fields {
        let Some(other) = map.get(&name) else { return Ok(false) };
        if !equal(&value?, &other?, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}
