//! Objects that several users share under one number: created for the first user, removed with the last.

use std::collections::HashMap;
use std::hash::Hash;

/// Numbers that are never used again, so that a name in the kernel never means two things.
#[derive(Debug, Default)]
pub(crate) struct Counter(u32);

impl Counter {
    pub(crate) fn next(&mut self) -> u32 {
        self.0 += 1;
        self.0
    }
}

/// Shared things by their key.
#[derive(Debug)]
pub(crate) struct Shared<K>(HashMap<K, Entry>);

#[derive(Debug)]
struct Entry {
    number: u32,
    users: usize,
}

impl<K> Default for Shared<K> {
    fn default() -> Shared<K> {
        Shared(HashMap::new())
    }
}

impl<K: Hash + Eq + Clone> Shared<K> {
    /// The number of `key`, if it is in use.
    pub(crate) fn number(&self, key: &K) -> Option<u32> {
        self.0.get(key).map(|entry| entry.number)
    }

    /// Counts one more user; returns the number, and whether this is the first user.
    pub(crate) fn acquire(&mut self, key: &K, counter: &mut Counter) -> (u32, bool) {
        let entry = self.0.entry(key.clone()).or_insert_with(|| Entry { number: counter.next(), users: 0 });
        entry.users += 1;
        (entry.number, entry.users == 1)
    }

    /// Counts one user less; returns the number if that was the last user.
    pub(crate) fn release(&mut self, key: &K) -> Option<u32> {
        let entry = self.0.get_mut(key)?;
        entry.users -= 1;
        if entry.users > 0 {
            return None;
        }
        self.0.remove(key).map(|entry| entry.number)
    }
}
