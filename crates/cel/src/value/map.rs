//! Maps: those of objects, and those that expressions make.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Evaluated, Text, Value};
use crate::{EvaluationError, Meter, Shape};

/// How long a string may be that is looked for in a map or a set without counting: longer ones take long to hash.
const KEY_BYTES_FREE: usize = 256;

/// A map, in the order in which its entries were added.
#[derive(Clone, Debug)]
pub struct Map<'v>(Entries<'v>);

#[derive(Clone)]
enum Entries<'v> {
    Tree { map: &'v object::Map, values: Option<&'v Shape> },
    Made(Arc<MapBuilder<'v>>),
}

impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entries::Tree { map, .. } => f.debug_map().entries(map.iter()).finish(),
            Entries::Made(made) => f.debug_map().entries(made.entries.iter().map(|(k, v)| (k, v))).finish(),
        }
    }
}

/// A map that is being made.
#[derive(Clone, Debug, Default)]
pub(crate) struct MapBuilder<'v> {
    entries: Vec<(Value<'v>, Value<'v>)>,
    places: HashMap<MapKey<'v>, usize>,
}

/// A key as maps compare it: `1`, `1u` and `1.0` are the same.
#[derive(Clone, Debug)]
pub enum MapKey<'v> {
    /// `true` or `false`
    Bool(bool),
    /// An integer, signed or unsigned
    Int(i128),
    /// A number with a fraction, by its bits
    Double(u64),
    /// A string
    Text(Text<'v>),
}

impl<'v> MapKey<'v> {
    /// Counts a value that is about to be looked for in a map or a set.
    pub(crate) fn count(value: &Value<'_>, meter: &mut Meter<'_>) -> Result<(), EvaluationError> {
        let length = if let Value::String(text) = value { text.len() } else { 0 };
        meter.use_bytes(length.saturating_sub(KEY_BYTES_FREE))
    }

    /// The key; `None` if the value cannot be one.
    pub fn new(value: &Value<'v>) -> Option<MapKey<'v>> {
        Some(match value {
            Value::Bool(value) => MapKey::Bool(*value),
            Value::Int(value) => MapKey::Int((*value).into()),
            Value::Uint(value) => MapKey::Int((*value).into()),
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 2e19 => MapKey::Int(*value as i128),
            Value::Double(value) => MapKey::Double(value.to_bits()),
            Value::String(text) => MapKey::Text(text.clone()),
            _ => return None,
        })
    }
}

impl PartialEq for MapKey<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (MapKey::Bool(a), MapKey::Bool(b)) => a == b,
            (MapKey::Int(a), MapKey::Int(b)) => a == b,
            (MapKey::Double(a), MapKey::Double(b)) => a == b,
            (MapKey::Text(a), MapKey::Text(b)) => **a == **b,
            _ => false,
        }
    }
}

impl Eq for MapKey<'_> {}

impl Hash for MapKey<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            MapKey::Bool(value) => value.hash(state),
            MapKey::Int(value) => value.hash(state),
            MapKey::Double(value) => value.hash(state),
            MapKey::Text(text) => text.hash(state),
        }
    }
}

impl<'v> MapBuilder<'v> {
    /// Adds an entry, or replaces the one with this key. Returns whether the key is new.
    pub(crate) fn insert(&mut self, key: Value<'v>, value: Value<'v>) -> Result<bool, EvaluationError> {
        let normal = MapKey::new(&key).ok_or_else(|| {
            EvaluationError::failed(format!(
                "unsupported key type: {}",
                super::type_name(&key.runtime_type())
            ))
        })?;
        match self.places.get(&normal) {
            Some(&place) => {
                if let Some(entry) = self.entries.get_mut(place) {
                    entry.1 = value;
                }
                Ok(false)
            }
            None => {
                self.places.insert(normal, self.entries.len());
                self.entries.push((key, value));
                Ok(true)
            }
        }
    }

    pub(crate) fn contains(&self, key: &Value<'v>) -> bool {
        MapKey::new(key).is_some_and(|key| self.places.contains_key(&key))
    }

    pub(crate) fn build(self) -> Value<'v> {
        Value::Map(Map(Entries::Made(Arc::new(self))))
    }
}

impl<'v> Map<'v> {
    /// A map of an object, with the schema of its values.
    pub fn of_tree(map: &'v object::Map, values: Option<&'v Shape>) -> Map<'v> {
        Map(Entries::Tree { map, values })
    }

    /// How many entries it has.
    pub fn len(&self) -> usize {
        match &self.0 {
            Entries::Tree { map, .. } => map.len(),
            Entries::Made(made) => made.entries.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key.
    pub fn get(&self, key: &Value<'v>) -> Option<Evaluated<'v>> {
        match &self.0 {
            Entries::Tree { map, values } => {
                map.get(key.as_str()?).map(|value| Value::of_tree(value, *values))
            }
            Entries::Made(made) => {
                let place = made.places.get(&MapKey::new(key)?)?;
                made.entries.get(*place).map(|entry| Ok(entry.1.clone()))
            }
        }
    }

    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<Evaluated<'v>> {
        match &self.0 {
            Entries::Tree { map, values } => map.get(name).map(|value| Value::of_tree(value, *values)),
            Entries::Made(made) => {
                // As a table of keys that live as long as the name.
                let places: &HashMap<MapKey<'_>, usize> = &made.places;
                let place = places.get(&MapKey::Text(Text::from(name)))?;
                made.entries.get(*place).map(|entry| Ok(entry.1.clone()))
            }
        }
    }

    /// The entries.
    pub fn entries(&self) -> Vec<(Value<'v>, Evaluated<'v>)> {
        match &self.0 {
            Entries::Tree { map, values } => {
                map.iter().map(|(key, value)| (Value::from(key), Value::of_tree(value, *values))).collect()
            }
            Entries::Made(made) => {
                made.entries.iter().map(|entry| (entry.0.clone(), Ok(entry.1.clone()))).collect()
            }
        }
    }

    /// The keys.
    pub fn keys(&self) -> Vec<Value<'v>> {
        match &self.0 {
            Entries::Tree { map, .. } => map.keys().map(Value::from).collect(),
            Entries::Made(made) => made.entries.iter().map(|entry| entry.0.clone()).collect(),
        }
    }

    /// The values, if an expression made the map.
    pub(super) fn made(&self) -> impl Iterator<Item = &Value<'v>> {
        let entries = match &self.0 {
            Entries::Tree { .. } => [].iter(),
            Entries::Made(made) => made.entries.iter(),
        };
        entries.map(|(_, value)| value)
    }

    /// Whether nobody else has it, so that it can be changed in place.
    pub(crate) fn is_unshared(&self) -> bool {
        matches!(&self.0, Entries::Made(made) if Arc::strong_count(made) == 1)
    }

    /// For change: in place, if nobody else has it.
    pub(crate) fn make_mut(&mut self) -> Result<&mut MapBuilder<'v>, EvaluationError> {
        if let Entries::Tree { .. } = self.0 {
            let mut made = MapBuilder::default();
            for (key, value) in self.entries() {
                made.insert(key, value?)?;
            }
            self.0 = Entries::Made(Arc::new(made));
        }
        match &mut self.0 {
            Entries::Made(made) => Ok(Arc::make_mut(made)),
            Entries::Tree { .. } => unreachable!("made above"),
        }
    }
}
