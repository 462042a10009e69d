//! The objects of an informer, and their indexes.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use object::{ObjectKey, Uid};

use super::Change;
use super::ordered::{Ordered, Place};
use crate::{Identified, key_of};

/// Objects in the order of their keys.
type Objects<K> = BTreeSet<Ordered<K>>;

struct Index<K> {
    values: fn(&K) -> Vec<String>,
    /// The objects by value.
    objects: HashMap<Arc<str>, Objects<K>>,
}

pub(super) struct Store<K> {
    /// In the order of their keys, like everything that is listed: consumers must behave the same in each run.
    objects: Objects<K>,
    indexes: HashMap<&'static str, Index<K>>,
    resource_version: u64,
}

impl<K> Default for Store<K> {
    fn default() -> Store<K> {
        Store { objects: BTreeSet::new(), indexes: HashMap::new(), resource_version: 0 }
    }
}

impl<K: Identified> Store<K> {
    pub(super) fn get(&self, key: &ObjectKey) -> Option<&Arc<K>> {
        self.objects.get(key as &dyn Place).map(|Ordered(object)| object)
    }

    /// Whether the object with this UID exists and is not being deleted.
    pub(super) fn is_live(&self, key: &ObjectKey, uid: &Uid) -> bool {
        self.get(key).is_some_and(|object| object.uid() == uid.as_str() && !object.is_deleting())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<K>> {
        self.objects.iter().map(|Ordered(object)| object)
    }

    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }

    pub(super) fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let before = ObjectKey::namespaced(namespace, "");
        let range = (Bound::Included(&before as &dyn Place), Bound::Unbounded);
        let behind = self.objects.range::<dyn Place, _>(range).map(|Ordered(object)| object);
        behind.take_while(|object| object.namespace() == namespace).cloned().collect()
    }

    pub(super) fn indexed(&self, index: &'static str, value: &str) -> Vec<Arc<K>> {
        let Some(index) = self.indexes.get(index) else { panic!("the index {index:?} was not added") };
        index.objects.get(value).into_iter().flatten().map(|Ordered(object)| Arc::clone(object)).collect()
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
        let mut index = Index { values, objects: HashMap::new() };
        for Ordered(object) in &self.objects {
            index.put(object);
        }
        self.indexes.insert(name, index);
    }

    /// Stores an object; `None` if it is stored already at this version.
    pub(super) fn put(&mut self, key: ObjectKey, new: Arc<K>) -> Option<Change<K>> {
        debug_assert_eq!(key, key_of(&*new), "a form has the names of its object");
        let (known, version) = (self.get(&key), new.resource_version());
        if known.is_some_and(|known| known.resource_version() == version && version != 0) {
            return None;
        }
        let old = self.objects.replace(Ordered(Arc::clone(&new))).map(|Ordered(old)| old);
        for index in self.indexes.values_mut() {
            let values = index.put(&new);
            if let Some(old) = &old {
                index.remove(old, &values);
            }
        }
        Some(Change { key, old, new: Some(new) })
    }

    /// Removes an object; `None` if it does not exist.
    pub(super) fn remove(&mut self, key: &ObjectKey) -> Option<Change<K>> {
        let Ordered(old) = self.objects.take(key as &dyn Place)?;
        self.indexes.values_mut().for_each(|index| index.remove(&old, &[]));
        Some(Change { key: key.clone(), old: Some(old), new: None })
    }

    /// Replaces the objects, and returns the changes: first removed objects, then added or modified ones.
    pub(super) fn replace(&mut self, objects: Vec<(ObjectKey, Arc<K>)>) -> Vec<Change<K>> {
        let kept: BTreeSet<&ObjectKey> = objects.iter().map(|(key, _)| key).collect();
        let gone: Vec<ObjectKey> =
            self.iter().map(|object| key_of(&**object)).filter(|key| !kept.contains(key)).collect();
        let mut changes: Vec<_> = gone.iter().filter_map(|key| self.remove(key)).collect();
        changes.extend(objects.into_iter().filter_map(|(key, object)| self.put(key, object)));
        changes
    }
}

impl<K: Identified> Index<K> {
    /// Adds an object, in place of its previous state, under its values, and returns them.
    fn put(&mut self, object: &Arc<K>) -> Vec<String> {
        let values = (self.values)(object);
        for value in &values {
            let object = Ordered(Arc::clone(object));
            match self.objects.get_mut(value.as_str()) {
                Some(objects) => drop(objects.replace(object)),
                None => drop(self.objects.insert(value.as_str().into(), BTreeSet::from([object]))),
            }
        }
        values
    }

    /// Removes an object from under its values, except these.
    fn remove(&mut self, object: &Arc<K>, except: &[String]) {
        for value in (self.values)(object).iter().filter(|value| !except.contains(value)) {
            let Some(objects) = self.objects.get_mut(value.as_str()) else { continue };
            objects.remove(&Ordered(Arc::clone(object)));
            if objects.is_empty() {
                self.objects.remove(value.as_str());
            }
        }
    }
}
