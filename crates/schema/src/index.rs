//! Where the fields of a type are.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::{LazyLock, OnceLock};

use foldhash::quality::RandomState;
use hashbrown::HashTable;

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

    /// The first field with this name. `name_of` tells the names of fields; those without one are never found. Always to be
    /// called with the same fields.
    pub(crate) fn find<'a, F>(
        &self,
        fields: &'a [F],
        name: &str,
        name_of: impl Fn(&F) -> Option<&str>,
    ) -> Option<&'a F> {
        if fields.len() <= SEARCH_MAX {
            return fields.iter().find(|field| name_of(field) == Some(name));
        }
        let table = self.0.get_or_init(|| table(fields, &name_of));
        let found = table.find(hash(name), |&at| name_of(&fields[at as usize]) == Some(name));
        found.map(|&at| &fields[at as usize])
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

fn table<F>(fields: &[F], name_of: impl Fn(&F) -> Option<&str>) -> HashTable<u32> {
    let mut table = HashTable::with_capacity(fields.len());
    for (at, field) in (0..).zip(fields) {
        let Some(name) = name_of(field) else { continue };
        let is_same = |&other: &u32| name_of(&fields[other as usize]) == Some(name);
        let rehash = |&other: &u32| name_of(&fields[other as usize]).map_or(0, hash);
        table.entry(hash(name), is_same, rehash).or_insert(at);
    }
    table
}
