//! The content of a store: revisions, key-value pairs, events.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use texts::Text;

/// A point in the history of the whole store: one more with every write. An empty store is at 1, as in etcd, so that
/// callers can give 0 a special meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision of a store that was never written to.
    pub const EMPTY: Revision = Revision(1);

    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of a lease; positive, so that it fits etcd's signed one, where 0 means none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LeaseId(pub i64);

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One version of a key. Immutable. A store may or may not return the same allocation twice: a version is identified by
/// its key and `mod_revision`, never by its address in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value; empty in a [`KeysOnly`](crate::RangeContent::KeysOnly) answer.
    pub value: Text,
    /// The revision that created the key (since it was last absent).
    pub create_revision: Revision,
    /// The revision that wrote this value.
    pub mod_revision: Revision,
    /// How many times the key was written since it was created, from 1.
    pub version: u64,
    /// The lease that the key is attached to.
    pub lease: Option<LeaseId>,
}

impl fmt::Debug for KeyValue {
    /// Shows only the value's size, because values include Secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyValue")
            .field("key", &self.key)
            .field("value_bytes", &self.value.len())
            .field("create_revision", &self.create_revision.0)
            .field("mod_revision", &self.mod_revision.0)
            .field("version", &self.version)
            .field("lease", &self.lease)
            .finish()
    }
}

/// One change of one key. Several keys may change at one revision (in etcd's transactions and when a lease expires
/// there), each key once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The key was created or changed; [`Event::is_creation`] says which.
    Put {
        /// The new version.
        kv: Arc<KeyValue>,
        /// The replaced version, if the watch requested it ([`WatchRequest::previous`](crate::WatchRequest)).
        prev: Option<Arc<KeyValue>>,
    },
    /// The key was deleted.
    Delete {
        /// The key.
        key: Bytes,
        /// The revision of the deletion.
        revision: Revision,
        /// The last version, if the watch requested it.
        prev: Option<Arc<KeyValue>>,
    },
}

impl Event {
    /// The key that changed.
    pub fn key(&self) -> &Bytes {
        match self {
            Event::Put { kv, .. } => &kv.key,
            Event::Delete { key, .. } => key,
        }
    }

    /// The revision of the change.
    pub fn revision(&self) -> Revision {
        match self {
            Event::Put { kv, .. } => kv.mod_revision,
            Event::Delete { revision, .. } => *revision,
        }
    }

    /// The version before the change, if there was one and it was requested.
    pub fn prev(&self) -> Option<&Arc<KeyValue>> {
        match self {
            Event::Put { prev, .. } | Event::Delete { prev, .. } => prev.as_ref(),
        }
    }

    /// Whether the key was absent before.
    pub fn is_creation(&self) -> bool {
        matches!(self, Event::Put { kv, .. } if kv.create_revision == kv.mod_revision)
    }

    /// The same without the previous version.
    #[must_use]
    pub fn without_previous(self) -> Event {
        match self {
            Event::Put { kv, .. } => Event::Put { kv, prev: None },
            Event::Delete { key, revision, .. } => Event::Delete { key, revision, prev: None },
        }
    }
}

/// A step of a watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchBatch {
    /// The changes in revision order, none in a progress batch. Those of one revision are never in two batches.
    pub events: Vec<Event>,
    /// With this batch the watch has delivered everything up to this revision.
    pub revision: Revision,
}
