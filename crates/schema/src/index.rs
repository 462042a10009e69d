//! Where the fields of a type are.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::{LazyLock, OnceLock};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

use crate::Field;

/// Up to how many fields a name is searched from the start; beyond, a table costs less.
const SEARCH_MAX: usize = 6;

/// Names come from clients too, who must not be able to choose them so that their hashes collide.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// A table of a type's fields by their names, made when a type with many of them is first asked for one.
#[derive(Default)]
pub struct FieldIndex(OnceLock<HashTable<u32>>);

impl FieldIndex {
    /// An index that is not made yet.
    pub const fn new() -> FieldIndex {
        FieldIndex(OnceLock::new())
    }

    /// The first field with this name that is not an embedding. Always to be called with the same fields.
    pub(crate) fn find<'a>(&self, fields: &'a [Field], name: &str) -> Option<&'a Field> {
        if fields.len() <= SEARCH_MAX {
            return fields.iter().find(|field| !field.inline && field.name == name);
        }
        let table = self.0.get_or_init(|| table(fields));
        table.find(hash(name), |&at| fields[at as usize].name == name).map(|&at| &fields[at as usize])
    }
}

/// How many fields are in it is a fact of the type, not of the index.
impl fmt::Debug for FieldIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldIndex")
    }
}

fn hash(name: &str) -> u64 {
    HASHER.hash_one(name)
}

fn table(fields: &[Field]) -> HashTable<u32> {
    let mut table = HashTable::with_capacity(fields.len());
    for (at, field) in (0..).zip(fields).filter(|(_, field)| !field.inline) {
        let is_same = |&other: &u32| fields[other as usize].name == field.name;
        let rehash = |&other: &u32| hash(&fields[other as usize].name);
        table.entry(hash(&field.name), is_same, rehash).or_insert(at);
    }
    table
}
