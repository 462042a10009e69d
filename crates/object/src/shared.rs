//! Parts that many objects have alike, kept once.
//!
//! The pods of one Deployment differ in name, node, address and times; their labels, containers, tolerations and volumes
//! are equal. What is [`Shared`] is looked up in a table of the process when it is read, and the one that is found there
//! is kept in its place. A part that nobody holds any more leaves the table when that has doubled.

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use serde::{Deserialize, Deserializer};

pub(crate) mod packed;
mod pairs;
mod word;

pub use pairs::Pairs;
pub use word::Word;

/// The least number of parts at which a table is swept.
const SWEEP_FROM: usize = 1024;

/// The parts of one type.
pub struct Table<T: ?Sized>(LazyLock<Mutex<Parts<T>>>);

struct Parts<T: ?Sized> {
    all: HashSet<Arc<T>>,
    sweep_at: usize,
}

impl<T: ?Sized + Hash + Eq> Default for Table<T> {
    fn default() -> Table<T> {
        Table::new()
    }
}

impl<T: ?Sized + Hash + Eq> Table<T> {
    /// An empty table, for a `static`.
    pub const fn new() -> Table<T> {
        Table(LazyLock::new(|| Mutex::new(Parts { all: HashSet::new(), sweep_at: SWEEP_FROM })))
    }

    /// The part that equals `wanted`; `make` makes it if there is none.
    fn part<Q>(&self, wanted: Q, make: impl FnOnce(Q) -> Arc<T>) -> Arc<T>
    where
        Q: AsRef<T>,
    {
        let mut parts = self.0.lock();
        if let Some(found) = parts.all.get(wanted.as_ref()) {
            return Arc::clone(found);
        }
        if parts.all.len() >= parts.sweep_at {
            parts.all.retain(|part| Arc::strong_count(part) > 1);
            parts.all.shrink_to_fit();
            parts.sweep_at = (parts.all.len() * 2).max(SWEEP_FROM);
        }
        let made = make(wanted);
        parts.all.insert(Arc::clone(&made));
        made
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().all.len()
    }
}

/// A type with a table of its parts.
pub trait Part: Hash + Eq + 'static {
    /// The table.
    fn table() -> &'static Table<Self>;
}

/// A part of an object that equal parts of others share.
pub struct Shared<T>(Arc<T>);

/// A value on its way into a table.
struct Found<T>(T);

impl<T> AsRef<T> for Found<T> {
    fn as_ref(&self) -> &T {
        &self.0
    }
}

impl<T: Part> From<T> for Shared<T> {
    fn from(part: T) -> Shared<T> {
        Shared(T::table().part(Found(part), |part| Arc::new(part.0)))
    }
}

impl<T: Clone> Shared<T> {
    /// The part, for change. While others hold it, which the table does, this is a copy that is shared with nobody.
    pub fn own(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T> Shared<T> {
    /// What is the same for equal parts, as long as they are held and none of them was [changed](Shared::own).
    pub fn address(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl<T: Part + Default> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared::from(T::default())
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared(Arc::clone(&self.0))
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Shared<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de, T: Part + Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shared<T>, D::Error> {
        T::deserialize(deserializer).map(Shared::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
    struct Number(usize);

    impl Part for Number {
        fn table() -> &'static Table<Number> {
            static TABLE: Table<Number> = Table::new();
            &TABLE
        }
    }

    #[test]
    fn equal_parts_are_one_and_those_that_nobody_holds_are_let_go() {
        let (one, same) = (Shared::from(Number(1)), Shared::from(Number(1)));
        assert!(Arc::ptr_eq(&one.0, &same.0));
        assert_ne!(one, Shared::from(Number(2)));
        let mut changed = one.clone();
        changed.own().0 = 3;
        assert_eq!((one.0.0, changed.0.0, Shared::from(Number(1)).0.0), (1, 3, 1), "the others keep theirs");
        for number in 0..10 * SWEEP_FROM {
            drop(Shared::from(Number(number)));
        }
        assert!(Number::table().len() <= SWEEP_FROM + 1, "{}", Number::table().len());
        assert!(Arc::ptr_eq(&one.0, &Shared::from(Number(1)).0), "what is held is still there");
        let held: Vec<_> = (0..3 * SWEEP_FROM).map(|number| Shared::from(Number(number))).collect();
        assert!(held.iter().enumerate().all(|(number, part)| part.0.0 == number));
        assert!(Number::table().len() >= held.len());
    }
}
