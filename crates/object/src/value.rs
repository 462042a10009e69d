//! The object tree.
//!
//! A [`Value`] is an API object, or a part of one, of any kind. Keys of known fields are borrowed from the schema
//! table, so that a tree holds no copy of them; unknown keys (labels, data of a ConfigMap) are owned. Maps keep the
//! order in which their entries were added; equality ignores it.
//!
//! ```
//! use object::{Value, value};
//! let mut pod = value!({"metadata": {"name": "web", "labels": {"app": "web"}}});
//! assert_eq!(pod.at("metadata.name").as_str(), Some("web"));
//! pod.set_path(&["spec", "nodeName"], Value::from("node-1"));
//! assert_eq!(pod.at("spec.nodeName"), &Value::from("node-1"));
//! ```

use std::collections::{HashMap, HashSet};
use std::fmt;

use places::Places;
use thin_vec::ThinVec;

mod editor;
mod key;
mod macros;
mod places;

pub(crate) use editor::MapEditor;
pub use key::Key;

/// The value returned for absent members.
static NULL: Value = Value::Null;

/// A JSON value.
#[derive(Clone, Default)]
pub enum Value {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// An integer
    Int(i64),
    /// A number with a fraction or an exponent, or beyond 64 bits
    Float(f64),
    /// A string
    String(Box<str>),
    /// A list
    List(Vec<Value>),
    /// An object
    Map(Map),
}

impl Value {
    /// An empty object.
    pub fn map() -> Value {
        Value::Map(Map::new())
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Whether this is absent in Go's sense of `omitempty`: null, `""`, `0`, `false`, an empty list or object.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(b) => !b,
            Value::Int(i) => *i == 0,
            Value::Float(f) => *f == 0.0,
            Value::String(s) => s.is_empty(),
            Value::List(l) => l.is_empty(),
            Value::Map(m) => m.is_empty(),
        }
    }

    /// The string, if it is one.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::String(s) = self { Some(s) } else { None }
    }

    /// The truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(b) = self { Some(*b) } else { None }
    }

    /// The integer, if it is one (a float without a fraction counts).
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(i) => Some(*i),
            Value::Float(f) if f.fract() == 0.0 && f.abs() < 9e15 => Some(*f as i64),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Int(i) => Some(*i as f64),
            Value::Float(f) => Some(*f),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(m) = self { Some(m) } else { None }
    }

    /// The object, if it is one.
    pub fn as_map_mut(&mut self) -> Option<&mut Map> {
        if let Value::Map(m) = self { Some(m) } else { None }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Value::List(l) = self { Some(l) } else { None }
    }

    /// The list, if it is one.
    pub fn as_list_mut(&mut self) -> Option<&mut Vec<Value>> {
        if let Value::List(l) = self { Some(l) } else { None }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> std::slice::Iter<'_, Value> {
        self.as_list().unwrap_or_default().iter()
    }

    /// The items of a list; none for anything else.
    pub fn items_mut(&mut self) -> std::slice::IterMut<'_, Value> {
        match self {
            Value::List(l) => l.iter_mut(),
            _ => [].iter_mut(),
        }
    }

    /// The entries of an object; none for anything else.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.as_map().into_iter().flat_map(Map::iter)
    }

    /// The member of an object; `null` if there is none or this is not an object.
    pub fn get(&self, key: &str) -> &Value {
        self.as_map().and_then(|m| m.get(key)).unwrap_or(&NULL)
    }

    /// The member of an object for modification; `None` if there is none or this is not an object.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        self.as_map_mut().and_then(|m| m.get_mut(key))
    }

    /// The value at a dotted path of members; `null` if there is none. For keys with dots use [`Value::at_path`].
    pub fn at(&self, path: &str) -> &Value {
        path.split('.').fold(self, |value, key| value.get(key))
    }

    /// The value at a path of members; `null` if there is none.
    pub fn at_path(&self, path: &[&str]) -> &Value {
        path.iter().fold(self, |value, key| value.get(key))
    }

    /// The value at a dotted path, for modification; `None` if there is none.
    pub fn at_mut(&mut self, path: &str) -> Option<&mut Value> {
        path.split('.').try_fold(self, |value, key| value.get_mut(key))
    }

    /// The string at a dotted path; `""` if there is none.
    pub fn str_at(&self, path: &str) -> &str {
        self.at(path).as_str().unwrap_or_default()
    }

    /// The member of an object, made `null` where it was missing; this becomes an object if it was none.
    pub fn entry(&mut self, key: impl Into<Key>) -> &mut Value {
        if !matches!(self, Value::Map(_)) {
            *self = Value::map();
        }
        let Value::Map(map) = self else { unreachable!("made a map above") };
        map.entry(key.into())
    }

    /// Puts a member into the object (this becomes one if it was none).
    pub fn set(&mut self, key: impl Into<Key>, value: impl Into<Value>) {
        *self.entry(key) = value.into();
    }

    /// Puts a value at a path, making the objects on the way.
    pub fn set_path(&mut self, path: &[&'static str], value: Value) {
        *path.iter().fold(self, |at, key| at.entry(*key)) = value;
    }

    /// Puts a member where it is missing or null; the defaulting of one field.
    pub fn set_default(&mut self, key: &'static str, value: impl Into<Value>) {
        let entry = self.entry(key);
        if entry.is_null() {
            *entry = value.into();
        }
    }

    /// Removes a member from the object and returns it.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        self.as_map_mut().and_then(|m| m.remove(key))
    }

    /// How many objects there are in this, itself included.
    pub fn parts(&self) -> usize {
        match self {
            Value::List(items) => items.iter().map(Value::parts).sum(),
            Value::Map(map) => 1 + map.iter().map(|(_, value)| value.parts()).sum::<usize>(),
            _ => 0,
        }
    }

    /// Of members with the same key keeps the last, everywhere below.
    pub fn drop_duplicates(&mut self) {
        match self {
            Value::List(items) => items.iter_mut().for_each(Value::drop_duplicates),
            Value::Map(map) => {
                map.drop_duplicates();
                map.iter_mut().for_each(|(_, value)| value.drop_duplicates());
            }
            _ => {}
        }
    }

    /// Takes this value out and leaves `null`.
    pub fn take(&mut self) -> Value {
        std::mem::take(self)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => *a as f64 == *b,
            (Value::String(a), Value::String(b)) => a == b,
            (Value::List(a), Value::List(b)) => a == b,
            (Value::Map(a), Value::Map(b)) => a == b,
            _ => false,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => b.fmt(f),
            Value::Int(i) => i.fmt(f),
            Value::Float(x) => x.fmt(f),
            Value::String(s) => s.fmt(f),
            Value::List(l) => l.fmt(f),
            Value::Map(m) => f.debug_map().entries(m.iter()).finish(),
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$x:ident| $into:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($x: $from) -> Value { $into }
        }
    )*};
}

value_from! {
    bool => |x| Value::Bool(x);
    i32 => |x| Value::Int(x.into());
    u32 => |x| Value::Int(x.into());
    i64 => |x| Value::Int(x);
    f64 => |x| Value::Float(x);
    &str => |x| Value::String(x.into());
    String => |x| Value::String(x.into_boxed_str());
    Box<str> => |x| Value::String(x);
    Vec<Value> => |x| Value::List(x);
    Map => |x| Value::Map(x);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(x: Option<T>) -> Value {
        x.map_or(Value::Null, Into::into)
    }
}

/// An object: entries in the order in which they came.
///
/// Two words wide (length and capacity stand with the entries), so that a [`Value`] takes three. A key is found in constant
/// time, however large the map is.
#[derive(Default)]
pub struct Map {
    entries: ThinVec<(Key, Value)>,
    places: Places,
}

impl Clone for Map {
    fn clone(&self) -> Map {
        Map::from(self.entries.clone())
    }
}

impl From<ThinVec<(Key, Value)>> for Map {
    fn from(entries: ThinVec<(Key, Value)>) -> Map {
        Map { entries, places: Places::default() }
    }
}

impl Map {
    /// An empty object.
    pub fn new() -> Map {
        Map::default()
    }

    /// An empty object with room for `capacity` entries.
    pub fn with_capacity(capacity: usize) -> Map {
        Map::from(ThinVec::with_capacity(capacity))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.places.find(&self.entries, key).map(|place| &self.entries[place].1)
    }

    /// The value of a key, for change.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let place = self.places.find(&self.entries, key)?;
        Some(&mut self.entries[place].1)
    }

    /// Whether the key exists.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The value of a key, made `null` where it was missing.
    pub fn entry(&mut self, key: Key) -> &mut Value {
        let place = self.places.find(&self.entries, key.as_str()).unwrap_or_else(|| {
            self.push(key, Value::Null);
            self.entries.len() - 1
        });
        &mut self.entries[place].1
    }

    /// Sets a value and returns the old one.
    pub fn insert(&mut self, key: impl Into<Key>, value: Value) -> Option<Value> {
        let key = key.into();
        match self.get_mut(key.as_str()) {
            Some(old) => Some(std::mem::replace(old, value)),
            None => {
                self.push(key, value);
                None
            }
        }
    }

    /// Appends an entry whose key is known not to be there yet (a parser that checks duplicates itself).
    pub fn push(&mut self, key: Key, value: Value) {
        self.entries.push((key, value));
        self.places.appended(&self.entries);
    }

    /// Removes an entry; the others keep their order.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let place = self.places.find(&self.entries, key)?;
        self.places.removed(place, key);
        Some(self.entries.remove(place).1)
    }

    /// Keeps the entries for which `keep` holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &mut Value) -> bool) {
        self.places.forget();
        self.entries.retain_mut(|(k, v)| keep(k.as_str(), v));
    }

    /// As [`Map::retain`], for a caller that may exchange keys for equal ones.
    pub(crate) fn retain_keys(&mut self, mut keep: impl FnMut(&mut Key, &mut Value) -> bool) {
        self.places.forget();
        self.entries.retain_mut(|(k, v)| keep(k, v));
    }

    /// Whether two entries have the same key.
    pub(crate) fn has_duplicates(&self) -> bool {
        has_duplicates(&self.entries)
    }

    /// The entries.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(k, v)| (k.as_str(), v))
    }

    /// The entries, for change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Value)> {
        self.entries.iter_mut().map(|(k, v)| (k.as_str(), v))
    }

    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(k, _)| k.as_str())
    }

    /// A map of entries that may hold duplicates, in an allocation of just their size.
    pub(crate) fn from_members(members: impl ExactSizeIterator<Item = (Key, Value)>) -> Map {
        let mut entries = ThinVec::with_capacity(members.len());
        entries.extend(members);
        Map::from(entries)
    }

    /// Sorts the entries by key.
    pub fn sort(&mut self) {
        if self.entries.is_sorted_by(|(a, _), (b, _)| a <= b) {
            return;
        }
        self.places.forget();
        self.entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    }

    /// Of entries with the same key keeps the last, at the place of the first.
    pub(crate) fn drop_duplicates(&mut self) {
        if !has_duplicates(&self.entries) {
            return;
        }
        let mut places: HashMap<Key, usize> = HashMap::with_capacity(self.entries.len());
        let mut kept: ThinVec<(Key, Value)> = ThinVec::with_capacity(self.entries.len());
        for (key, value) in std::mem::take(&mut self.entries) {
            match places.get(key.as_str()) {
                Some(&place) => kept[place].1 = value,
                None => {
                    places.insert(key.clone(), kept.len());
                    kept.push((key, value));
                }
            }
        }
        *self = Map::from(kept);
    }

    /// Gives room that is not used back.
    pub fn shrink_to_fit(&mut self) {
        self.entries.shrink_to_fit();
    }
}

/// Whether two entries have the same key.
fn has_duplicates(entries: &[(Key, Value)]) -> bool {
    if entries.len() <= LINEAR_MAX {
        return entries
            .iter()
            .enumerate()
            .any(|(index, (key, _))| entries[..index].iter().any(|(k, _)| k == key));
    }
    let mut seen = HashSet::with_capacity(entries.len());
    !entries.iter().all(|(key, _)| seen.insert(key.as_str()))
}

/// Up to how many entries are compared with each other; beyond, a hash table costs less.
const LINEAR_MAX: usize = 24;

impl PartialEq for Map {
    fn eq(&self, other: &Map) -> bool {
        if self.len() != other.len() {
            return false;
        }
        if self.iter().zip(other.iter()).all(|((a, _), (b, _))| a == b) {
            return self.iter().zip(other.iter()).all(|((_, a), (_, b))| a == b);
        }
        self.iter().all(|(k, v)| other.get(k) == Some(v))
    }
}

impl<K: Into<Key>> FromIterator<(K, Value)> for Map {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(iter: I) -> Map {
        let entries: ThinVec<_> = iter.into_iter().map(|(key, value)| (key.into(), value)).collect();
        let mut map = Map::from(entries);
        map.drop_duplicates();
        map
    }
}

impl IntoIterator for Map {
    type Item = (Key, Value);
    type IntoIter = thin_vec::IntoIter<(Key, Value)>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

#[cfg(test)]
mod tests;
