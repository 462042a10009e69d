//! The content of the kernel's sets and maps, and the differences that a new plan makes.
//!
//! Code that writes rules keeps its [`Elements`] here and writes the [`Delta`] in a transaction, so that nothing needs
//! to be listed from the kernel.

use std::collections::HashMap;
use std::hash::Hash;

/// Elements with their owners, which are numbers that the caller gives. Several owners may claim the same element (an
/// external address in two services, a pod behind both): the first one has it, and the next takes over when that one
/// releases it.
#[derive(Debug)]
pub struct Elements<K, V> {
    slots: HashMap<K, Vec<(u32, V)>>,
    /// The kernel's state of slots that changed since the last [`Elements::commit`].
    touched: HashMap<K, Option<V>>,
}

/// The changes that bring the kernel to a different state. Deletions come first: a slot with a new value is in both
/// lists.
#[derive(Debug, PartialEq)]
pub struct Delta<K, V> {
    /// Elements to delete.
    pub delete: Vec<(K, V)>,
    /// Elements to add.
    pub add: Vec<(K, V)>,
}

impl<K, V> Default for Elements<K, V> {
    fn default() -> Elements<K, V> {
        Elements { slots: HashMap::new(), touched: HashMap::new() }
    }
}

impl<K: Hash + Eq + Copy + Ord, V: PartialEq + Copy> Elements<K, V> {
    /// Replaces the claims of `owner`, from `before` to `after` (keys are unique in each).
    pub fn replace(&mut self, owner: u32, before: &[(K, V)], after: &[(K, V)]) {
        let kept: HashMap<K, V> = after.iter().copied().collect();
        for (key, _) in before.iter().filter(|(key, _)| !kept.contains_key(key)) {
            self.take(owner, *key);
        }
        for (key, value) in after {
            self.put(owner, *key, *value);
        }
    }

    /// Records that `owner` claims the element, with this value.
    pub fn put(&mut self, owner: u32, key: K, value: V) {
        let wants = self.slots.get(&key).map(Vec::as_slice).unwrap_or_default();
        let position = wants.iter().position(|(other, _)| *other == owner);
        if position.is_some_and(|p| wants[p].1 == value) {
            return;
        }
        self.touch(key);
        let wants = self.slots.entry(key).or_default();
        match position {
            Some(position) => wants[position].1 = value,
            None => wants.push((owner, value)),
        }
    }

    /// Records that `owner` releases the element.
    pub fn take(&mut self, owner: u32, key: K) {
        self.touch(key);
        if let Some(wants) = self.slots.get_mut(&key) {
            wants.retain(|(other, _)| *other != owner);
            if wants.is_empty() {
                self.slots.remove(&key);
            }
        }
    }

    /// The changes that bring the kernel to the current state, sorted.
    pub fn delta(&self) -> Delta<K, V> {
        let (mut delete, mut add) = (Vec::new(), Vec::new());
        for (key, before) in &self.touched {
            let now = self.get(key);
            if *before != now {
                delete.extend(before.map(|value| (*key, value)));
                add.extend(now.map(|value| (*key, value)));
            }
        }
        delete.sort_unstable_by_key(|(key, _)| *key);
        add.sort_unstable_by_key(|(key, _)| *key);
        Delta { delete, add }
    }

    /// Everything that the kernel should hold, sorted.
    pub fn all(&self) -> Vec<(K, V)> {
        let mut all: Vec<(K, V)> = self.slots.keys().filter_map(|key| Some((*key, self.get(key)?))).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// Records that the kernel holds the current state.
    pub fn commit(&mut self) {
        self.touched.clear();
    }

    fn get(&self, key: &K) -> Option<V> {
        self.slots.get(key).and_then(|wants| wants.first()).map(|(_, value)| *value)
    }

    fn touch(&mut self, key: K) {
        let now = self.get(&key);
        self.touched.entry(key).or_insert(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = Vec<(&'static str, u32)>;

    fn delta(elements: &Elements<&'static str, u32>) -> (Pairs, Pairs) {
        let Delta { delete, add } = elements.delta();
        (delete, add)
    }

    #[test]
    fn only_what_changes_for_the_kernel_is_in_the_delta() {
        let mut elements = Elements::default();
        elements.replace(1, &[], &[("a", 1), ("b", 1)]);
        elements.replace(2, &[], &[("b", 2)]);
        assert_eq!(delta(&elements), (vec![], vec![("a", 1), ("b", 1)]), "the first comer has it");
        elements.commit();
        assert_eq!(delta(&elements), (vec![], vec![]));
        elements.replace(1, &[("a", 1), ("b", 1)], &[("a", 5)]);
        assert_eq!(delta(&elements), (vec![("a", 1), ("b", 1)], vec![("a", 5), ("b", 2)]));
        elements.replace(1, &[("a", 5)], &[("a", 1), ("b", 1)]);
        assert_eq!(delta(&elements), (vec![("b", 1)], vec![("b", 2)]), "the next keeps it");
        elements.commit();
        elements.replace(2, &[("b", 2)], &[]);
        elements.replace(2, &[], &[("b", 2)]);
        elements.replace(2, &[("b", 2)], &[]);
        assert_eq!(delta(&elements), (vec![("b", 2)], vec![("b", 1)]));
        assert_eq!(elements.all(), [("a", 1), ("b", 1)]);
    }
}
