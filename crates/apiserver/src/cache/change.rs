//! The changes that a collection remembers.

use object::Versioned;

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It was created.
    Added,
    /// It changed.
    Modified,
    /// It was deleted.
    Deleted,
}

/// One change of one object.
#[derive(Debug)]
pub struct Change {
    /// The kind of change.
    pub kind: ChangeKind,
    /// The store's revision of it.
    pub revision: u64,
    /// The new version; for a deletion the last one, with the deletion's resource version.
    pub object: Versioned,
    /// The previous version.
    pub previous: Option<Versioned>,
}

impl Change {
    /// The number of bytes that the log counts for this change.
    pub(super) fn bytes(&self) -> usize {
        self.object.json_len() + 256
    }
}
