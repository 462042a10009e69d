//! Where the keys of a large map are.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use hashbrown::HashTable;
use once_cell::race::OnceBox;
use parking_lot::RwLock;

use super::{Key, Value};

/// Up to how many entries a key is searched from the start; beyond, a table costs less.
const SEARCH_MAX: usize = 32;

/// Keys come from clients, who must not be able to choose them so that their hashes collide.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A table of the first place of each key, made when a large map is first asked for one, so that code may look up every
/// name of one map in another without a thought. A small map never has one.
///
/// Code that changes the entries must report it here; after other changes, call [`Places::forget`].
///
/// One word wide, which is why it is this cell; the lock is there because the cell gives no exclusive access, and is never
/// waited for by a writer.
#[derive(Default)]
pub(super) struct Places(OnceBox<RwLock<HashTable<usize>>>);

fn hash(key: &str) -> u64 {
    HASHER.hash_one(key)
}

impl Places {
    /// The first place of a key.
    pub(super) fn find(&self, entries: &[(Key, Value)], key: &str) -> Option<usize> {
        if entries.len() <= SEARCH_MAX {
            return entries.iter().position(|(other, _)| other.as_str() == key);
        }
        let table = self.0.get_or_init(|| Box::new(RwLock::new(table(entries))));
        table.read().find(hash(key), |&place| entries[place].0.as_str() == key).copied()
    }

    /// An entry with a new key was appended.
    pub(super) fn appended(&mut self, entries: &[(Key, Value)]) {
        let Some(table) = self.0.get() else { return };
        let mut table = table.write();
        let place = entries.len() - 1;
        insert(&mut table, entries, place);
    }

    /// The entry at this place was taken out, and those behind it moved up.
    pub(super) fn removed(&mut self, place: usize, key: &str) {
        let Some(table) = self.0.get() else { return };
        let mut table = table.write();
        if let Ok(entry) = table.find_entry(hash(key), |&other| other == place) {
            entry.remove();
        }
        table.iter_mut().filter(|other| **other > place).for_each(|other| *other -= 1);
    }

    /// The entries changed places.
    pub(super) fn forget(&mut self) {
        *self = Places::default();
    }
}

fn table(entries: &[(Key, Value)]) -> HashTable<usize> {
    let mut table = HashTable::with_capacity(entries.len());
    (0..entries.len()).for_each(|place| insert(&mut table, entries, place));
    table
}

/// Records a place, unless its key has an earlier one.
fn insert(table: &mut HashTable<usize>, entries: &[(Key, Value)], place: usize) {
    let key = entries[place].0.as_str();
    let is_same = |&other: &usize| entries[other].0.as_str() == key;
    table.entry(hash(key), is_same, |&other| hash(entries[other].0.as_str())).or_insert(place);
}
