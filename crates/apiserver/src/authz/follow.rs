//! Following a collection: what has changed since it was last looked at.

use std::sync::Arc;

use imbl::OrdMap;
use object::Versioned;

use crate::cache::{Change, Collection};

/// How many changes are taken from a log at a time.
const BATCH: usize = 256;

/// How far a collection has been followed.
#[derive(Default)]
pub(super) struct Position {
    /// The position in its log; `None` before the first time.
    read: Option<u64>,
    /// Its generation at that time, or one before.
    generation: Option<u64>,
}

/// What is new.
pub(super) enum Seen {
    /// These changes, in their order.
    Changes(Vec<Arc<Change>>),
    /// Nothing is known of before: these are all objects.
    All(OrdMap<Arc<str>, Versioned>),
}

impl Position {
    /// Whether there is nothing new.
    pub(super) fn is_current(&self, collection: &Collection) -> bool {
        self.generation == Some(collection.generation())
    }

    /// What is new; the position advances behind it.
    pub(super) fn follow(&mut self, collection: &Collection) -> Seen {
        // Read first: what comes in the meantime may be seen already, and makes another turn without changes.
        self.generation = Some(collection.generation());
        if let Some(changes) = self.changes(collection) {
            return Seen::Changes(changes);
        }
        let (objects, position) = collection.start();
        self.read = Some(position);
        Seen::All(objects)
    }

    /// The changes since the position; `None` if the log does not reach back to it.
    fn changes(&mut self, collection: &Collection) -> Option<Vec<Arc<Change>>> {
        let (mut at, mut all) = (self.read?, Vec::new());
        loop {
            let some = collection.changes_from(at, BATCH, usize::MAX)?;
            if some.is_empty() {
                self.read = Some(at);
                return Some(all);
            }
            at += some.len() as u64;
            all.extend(some);
        }
    }
}
