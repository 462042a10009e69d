//! Efficient editing of maps with many changes.

use std::collections::HashMap;

use super::{Key, LINEAR_MAX, Map, Value};

/// A map whose entries are found through a table, so that many changes to a large map stay cheap.
pub(crate) struct MapEditor {
    /// `None` if an entry was taken out.
    entries: Vec<Option<(Key, Value)>>,
    /// Where the keys are; none for small maps, which are searched.
    places: Option<HashMap<Key, usize>>,
}

impl MapEditor {
    /// Begins to change a map, with the approximate number of changes.
    pub(crate) fn new(map: Map, changes: usize) -> MapEditor {
        let entries: Vec<_> = map.into_iter().map(Some).collect();
        let is_large = entries.len().max(changes) > LINEAR_MAX;
        let places = is_large.then(|| {
            let keys = entries.iter().enumerate();
            keys.filter_map(|(place, entry)| Some((entry.as_ref()?.0.clone(), place))).collect()
        });
        MapEditor { entries, places }
    }

    fn place(&self, key: &str) -> Option<usize> {
        match &self.places {
            Some(places) => places.get(key).copied(),
            None => self
                .entries
                .iter()
                .position(|entry| entry.as_ref().is_some_and(|(other, _)| other.as_str() == key)),
        }
    }

    /// The value of a key, for change.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Value> {
        let place = self.place(key)?;
        self.entries[place].as_mut().map(|(_, value)| value)
    }

    /// Puts a value in the place of the old one, or at the end.
    pub(crate) fn insert(&mut self, key: Key, value: Value) {
        if let Some(old) = self.get_mut(key.as_str()) {
            *old = value;
            return;
        }
        if let Some(places) = &mut self.places {
            places.insert(key.clone(), self.entries.len());
        }
        self.entries.push(Some((key, value)));
    }

    /// Removes an entry; the others keep their order.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Value> {
        let place = self.place(key)?;
        if let Some(places) = &mut self.places {
            places.remove(key);
        }
        self.entries[place].take().map(|(_, value)| value)
    }

    /// The map after its changes.
    pub(crate) fn finish(self) -> Map {
        let entries: Vec<(Key, Value)> = self.entries.into_iter().flatten().collect();
        Map::from_members(entries.into_iter())
    }
}
