//! The objects of an informer, and their indexes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use object::{ObjectKey, Uid};

use super::Change;

/// One object at one version.
pub(super) struct Entry<K> {
    pub(super) object: Arc<K>,
    pub(super) resource_version: u64,
    pub(super) uid: Uid,
    pub(super) deleting: bool,
}

/// Keys of objects by some text: a namespace, or a value of an index.
type Keys = HashMap<Arc<str>, BTreeSet<ObjectKey>>;

struct Index<K> {
    values: fn(&K) -> Vec<String>,
    keys: Keys,
}

pub(super) struct Store<K> {
    /// In the order of their keys, like everything that is listed: consumers must behave the same in each run.
    entries: BTreeMap<ObjectKey, Entry<K>>,
    namespaces: Keys,
    indexes: HashMap<&'static str, Index<K>>,
    resource_version: u64,
}

impl<K> Default for Store<K> {
    fn default() -> Store<K> {
        Store {
            entries: BTreeMap::new(),
            namespaces: Keys::new(),
            indexes: HashMap::new(),
            resource_version: 0,
        }
    }
}

impl<K> Store<K> {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<Arc<K>> {
        self.entries.get(key).map(|entry| Arc::clone(&entry.object))
    }

    /// Whether the object with this UID exists and is not being deleted.
    pub(super) fn is_live(&self, key: &ObjectKey, uid: &Uid) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.uid == *uid && !entry.deleting)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<K>> {
        self.entries.values().map(|entry| &entry.object)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&ObjectKey, &Entry<K>)> {
        self.entries.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        self.among(self.namespaces.get(namespace))
    }

    pub(super) fn indexed(&self, index: &'static str, value: &str) -> Vec<Arc<K>> {
        let Some(index) = self.indexes.get(index) else { panic!("the index {index:?} was not added") };
        self.among(index.keys.get(value))
    }

    fn among(&self, keys: Option<&BTreeSet<ObjectKey>>) -> Vec<Arc<K>> {
        keys.into_iter().flatten().filter_map(|key| self.get(key)).collect()
    }

    pub(super) fn resource_version(&self) -> u64 {
        self.resource_version
    }

    pub(super) fn advance(&mut self, resource_version: u64) {
        self.resource_version = self.resource_version.max(resource_version);
    }

    pub(super) fn add_index(&mut self, name: &'static str, values: fn(&K) -> Vec<String>) {
        if self.indexes.contains_key(name) {
            return;
        }
        let mut keys = Keys::new();
        for (key, entry) in &self.entries {
            for value in values(&entry.object) {
                insert(&mut keys, &value, key);
            }
        }
        self.indexes.insert(name, Index { values, keys });
    }

    /// Stores an object; `None` if it is stored already at this version.
    pub(super) fn put(&mut self, key: ObjectKey, entry: Entry<K>) -> Option<Change<K>> {
        let old = self.entries.get(&key);
        if old
            .is_some_and(|old| old.resource_version == entry.resource_version && entry.resource_version != 0)
        {
            return None;
        }
        let old = old.map(|old| Arc::clone(&old.object));
        let new = Arc::clone(&entry.object);
        self.reindex(&key, old.as_deref(), Some(&new));
        self.entries.insert(key.clone(), entry);
        Some(Change { key, old, new: Some(new) })
    }

    /// Removes an object; `None` if it does not exist.
    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Change<K>> {
        let old = self.entries.remove(key)?.object;
        self.reindex(key, Some(&old), None);
        Some(Change { key: key.clone(), old: Some(old), new: None })
    }

    /// Replaces the objects, and returns the changes: first removed objects, then added or modified ones.
    pub(super) fn replace(&mut self, entries: Vec<(ObjectKey, Entry<K>)>) -> Vec<Change<K>> {
        let kept: HashSet<&ObjectKey> = entries.iter().map(|(key, _)| key).collect();
        let gone: Vec<ObjectKey> = self.entries.keys().filter(|key| !kept.contains(key)).cloned().collect();
        let mut changes: Vec<_> = gone.iter().filter_map(|key| self.remove(key)).collect();
        changes.extend(entries.into_iter().filter_map(|(key, entry)| self.put(key, entry)));
        changes
    }

    fn reindex(&mut self, key: &ObjectKey, old: Option<&K>, new: Option<&K>) {
        if let Some(namespace) = &key.namespace {
            match (old, new) {
                (None, Some(_)) => {
                    let is_new = insert(&mut self.namespaces, namespace, key);
                    assert!(is_new, "an object comes once");
                }
                (_, None) => {
                    let was_there = remove(&mut self.namespaces, namespace, key);
                    assert!(was_there, "what goes was there");
                }
                (Some(_), Some(_)) => {}
            }
        }
        for index in self.indexes.values_mut() {
            let before = old.map(index.values).unwrap_or_default();
            let after = new.map(index.values).unwrap_or_default();
            for value in before.iter().filter(|value| !after.contains(value)) {
                let was_there = remove(&mut index.keys, value, key);
                debug_assert!(was_there || before.iter().filter(|other| other == &value).count() > 1);
            }
            for value in after.iter().filter(|value| !before.contains(value)) {
                insert(&mut index.keys, value, key);
            }
        }
    }
}

/// Returns whether it was not there.
fn insert(keys: &mut Keys, value: &str, key: &ObjectKey) -> bool {
    match keys.get_mut(value) {
        Some(found) => found.insert(key.clone()),
        None => keys.insert(value.into(), BTreeSet::from([key.clone()])).is_none(),
    }
}

/// Returns whether it was there.
fn remove(keys: &mut Keys, value: &str, key: &ObjectKey) -> bool {
    let Some(found) = keys.get_mut(value) else { return false };
    let was_there = found.remove(key);
    if found.is_empty() {
        keys.remove(value);
    }
    was_there
}
