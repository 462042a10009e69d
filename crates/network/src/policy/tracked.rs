//! Named kernel objects with their content, and their changes since the last transaction.

use std::collections::BTreeMap;

/// Things by name. Unlike elements they have one owner each, and content of any size.
#[derive(Debug)]
pub(crate) struct Tracked<K, V> {
    now: BTreeMap<K, V>,
    /// The kernel's state of those that changed since the last [`Tracked::commit`].
    touched: BTreeMap<K, Option<V>>,
}

impl<K, V> Default for Tracked<K, V> {
    fn default() -> Tracked<K, V> {
        Tracked { now: BTreeMap::new(), touched: BTreeMap::new() }
    }
}

impl<K: Ord + Copy, V: PartialEq + Clone> Tracked<K, V> {
    /// Sets the content of `name`.
    pub(crate) fn put(&mut self, name: K, content: V) {
        let before = self.now.insert(name, content);
        self.touched.entry(name).or_insert(before);
    }

    /// Removes `name`.
    pub(crate) fn remove(&mut self, name: K) {
        if let Some(before) = self.now.remove(&name) {
            self.touched.entry(name).or_insert(Some(before));
        }
    }

    /// The desired objects.
    pub(crate) fn all(&self) -> impl Iterator<Item = (K, &V)> + Clone {
        self.now.iter().map(|(name, content)| (*name, content))
    }

    /// Objects to add.
    pub(crate) fn added(&self) -> impl Iterator<Item = K> {
        self.changes().filter(|(_, before, now)| before.is_none() && now.is_some()).map(|(name, ..)| name)
    }

    /// Objects with changed content.
    pub(crate) fn changed(&self) -> impl Iterator<Item = K> {
        self.changes().filter(|(_, before, now)| before.is_some() && now.is_some()).map(|(name, ..)| name)
    }

    /// New or changed objects, with their desired content.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (K, &V)> {
        self.changes().filter_map(|(name, _, now)| Some((name, now?)))
    }

    /// Objects to remove.
    pub(crate) fn gone(&self) -> impl Iterator<Item = K> + Clone {
        self.changes().filter(|(_, before, now)| before.is_some() && now.is_none()).map(|(name, ..)| name)
    }

    /// Whether `name` is desired.
    pub(crate) fn contains(&self, name: &K) -> bool {
        self.now.contains_key(name)
    }

    /// Records that the kernel has the current state.
    pub(crate) fn commit(&mut self) {
        self.touched.clear();
    }

    fn changes(&self) -> impl Iterator<Item = (K, Option<&V>, Option<&V>)> + Clone {
        let states = self.touched.iter().map(|(name, before)| (*name, before.as_ref(), self.now.get(name)));
        states.filter(|(_, before, now)| before != now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_differences_to_the_kernel_count() {
        let mut things = Tracked::default();
        things.put("a", 1);
        things.put("b", 1);
        things.put("never", 1);
        things.remove("never");
        assert_eq!(things.added().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(things.gone().count(), 0);
        things.commit();
        things.put("a", 2);
        things.put("a", 1);
        assert_eq!(things.contents().count(), 0, "as it was");
        things.put("a", 3);
        things.remove("b");
        things.put("c", 1);
        assert_eq!(things.added().collect::<Vec<_>>(), ["c"]);
        assert_eq!(things.changed().collect::<Vec<_>>(), ["a"]);
        assert_eq!(things.contents().collect::<Vec<_>>(), [("a", &3), ("c", &1)]);
        assert_eq!(things.gone().collect::<Vec<_>>(), ["b"]);
        assert_eq!(things.all().collect::<Vec<_>>(), [("a", &3), ("c", &1)]);
    }
}
