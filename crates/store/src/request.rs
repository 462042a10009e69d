//! Requests to a store and their answers.

use std::num::NonZeroUsize;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::{KeyValue, LeaseId, Revision};

/// A set of neighbouring keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyRange {
    /// This key alone.
    Exact(Bytes),
    /// Every key that starts so; all keys if empty.
    Prefix(Bytes),
}

impl KeyRange {
    /// The range of one key.
    pub fn exact(key: impl Into<Bytes>) -> KeyRange {
        KeyRange::Exact(key.into())
    }

    /// The range of a prefix.
    pub fn prefix(prefix: impl Into<Bytes>) -> KeyRange {
        KeyRange::Prefix(prefix.into())
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            KeyRange::Exact(exact) => key == exact,
            KeyRange::Prefix(prefix) => key.starts_with(prefix),
        }
    }

    /// Where the range starts, for an ordered map.
    pub fn start(&self) -> &Bytes {
        match self {
            KeyRange::Exact(key) | KeyRange::Prefix(key) => key,
        }
    }

    /// The bounds of the range for an ordered map.
    ///
    /// ```
    /// use std::ops::Bound;
    /// let (_, end) = store::KeyRange::prefix(&b"a\xff"[..]).bounds();
    /// assert_eq!(end, Bound::Excluded(store::Bytes::from_static(b"b")));
    /// ```
    pub fn bounds(&self) -> (Bound<Bytes>, Bound<Bytes>) {
        match self {
            KeyRange::Exact(key) => (Bound::Included(key.clone()), Bound::Included(key.clone())),
            KeyRange::Prefix(prefix) => (Bound::Included(prefix.clone()), prefix_end(prefix)),
        }
    }
}

/// The first key after all that start with `prefix`: its last byte below 0xff, plus one.
fn prefix_end(prefix: &Bytes) -> Bound<Bytes> {
    match prefix.iter().rposition(|&byte| byte < u8::MAX) {
        Some(last) => {
            let mut end = prefix[..=last].to_vec();
            end[last] += 1;
            Bound::Excluded(end.into())
        }
        None => Bound::Unbounded,
    }
}

/// How much of each key-value pair a range answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RangeContent {
    /// Keys and values.
    #[default]
    Full,
    /// Everything but the values, which come empty.
    KeysOnly,
    /// Nothing but [`RangeResponse::count`].
    CountOnly,
}

/// Which keys to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeRequest {
    /// The keys.
    pub range: KeyRange,
    /// At which revision; the current one if none.
    pub revision: Option<Revision>,
    /// How many pairs at most; all if none. There may be fewer where they are large: [`RangeResponse::more`] tells.
    pub limit: Option<NonZeroUsize>,
    /// Only keys strictly after this one: the last key of the page before.
    pub after: Option<Bytes>,
    /// What to answer of each.
    pub content: RangeContent,
    /// Whether to count all keys of the range, whatever the limit. That takes time for each of them.
    pub counted: bool,
}

impl RangeRequest {
    /// All of `range`, now.
    pub fn new(range: KeyRange) -> RangeRequest {
        let content = RangeContent::Full;
        RangeRequest { range, revision: None, limit: None, after: None, content, counted: false }
    }

    /// The one key `key`, now.
    pub fn exact(key: impl Into<Bytes>) -> RangeRequest {
        RangeRequest::new(KeyRange::exact(key))
    }

    /// Every key under `prefix`, now.
    pub fn prefix(prefix: impl Into<Bytes>) -> RangeRequest {
        RangeRequest::new(KeyRange::prefix(prefix))
    }

    /// The same at `revision`.
    #[must_use]
    pub fn at(self, revision: Revision) -> RangeRequest {
        RangeRequest { revision: Some(revision), ..self }
    }

    /// The same with at most `limit` pairs; 0 means no limit.
    #[must_use]
    pub fn limit(self, limit: usize) -> RangeRequest {
        RangeRequest { limit: NonZeroUsize::new(limit), ..self }
    }

    /// The same from strictly after `key`.
    #[must_use]
    pub fn after(self, key: impl Into<Bytes>) -> RangeRequest {
        RangeRequest { after: Some(key.into()), ..self }
    }

    /// The same with a count of the whole range.
    #[must_use]
    pub fn counted(self) -> RangeRequest {
        RangeRequest { counted: true, ..self }
    }

    /// The same with this much content.
    #[must_use]
    pub fn content(self, content: RangeContent) -> RangeRequest {
        RangeRequest { content, ..self }
    }
}

/// The answer to a [`RangeRequest`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeResponse {
    /// The pairs in key order.
    pub kvs: Vec<Arc<KeyValue>>,
    /// Whether the limit cut the answer.
    pub more: bool,
    /// How many keys the range holds (after [`RangeRequest::after`]) whatever the limit: `count - kvs.len()`
    /// remain after this page. Only where [`RangeRequest::counted`] or [`RangeContent::CountOnly`] asked for it.
    pub count: Option<usize>,
    /// The revision that was read: the one asked for, or the store's at the moment of the read.
    pub revision: Revision,
}

/// What to do with a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WriteOp {
    /// Give it this value.
    Put(Bytes),
    /// Remove it.
    Delete,
}

/// The precondition of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// None: write whatever is there.
    Any,
    /// The key must not exist.
    Absent,
    /// The key must exist and have this [`KeyValue::mod_revision`].
    ModRevision(Revision),
}

/// A write of one key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Write {
    /// The key.
    pub key: Bytes,
    /// What to do.
    pub op: WriteOp,
    /// Under which condition.
    pub expect: Expect,
    /// The lease the key goes with from now on; a put without one detaches the key.
    pub lease: Option<LeaseId>,
    /// Whether the write leads to a deletion, so that it is taken on a full disk too. Deletions always are.
    pub makes_space: bool,
}

impl Write {
    /// A put.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Bytes>, expect: Expect) -> Write {
        Write { key: key.into(), op: WriteOp::Put(value.into()), expect, lease: None, makes_space: false }
    }

    /// A deletion.
    pub fn delete(key: impl Into<Bytes>, expect: Expect) -> Write {
        Write { key: key.into(), op: WriteOp::Delete, expect, lease: None, makes_space: false }
    }

    /// The same as a step on the way to a deletion.
    #[must_use]
    pub fn making_space(self) -> Write {
        Write { makes_space: true, ..self }
    }

    /// The same under a lease.
    #[must_use]
    pub fn lease(self, lease: LeaseId) -> Write {
        Write { lease: Some(lease), ..self }
    }
}

/// What became of a write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WriteOutcome {
    /// It is durable.
    Committed {
        /// Its revision; the store's current one if there was nothing to delete.
        revision: Revision,
        /// The version that was replaced or deleted.
        previous: Option<Arc<KeyValue>>,
    },
    /// The precondition did not hold; nothing changed.
    Conflict {
        /// The key as it is.
        current: Option<Arc<KeyValue>>,
        /// The store's revision at that moment.
        revision: Revision,
    },
}

/// What to watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchRequest {
    /// The keys.
    pub range: KeyRange,
    /// Events strictly after this revision; those after now if none.
    pub from: Option<Revision>,
    /// Whether to answer [`Store::request_progress`](crate::Store::request_progress) with a batch without
    /// events, once everything up to its revision was delivered.
    pub progress: bool,
    /// Whether events tell the version before ([`Event::prev`](crate::Event::prev)). It costs a remote store a second read and a second value
    /// on the wire, so only those who need it ask.
    pub previous: bool,
}

impl WatchRequest {
    /// The changes under `prefix` from now on, without progress batches and previous versions.
    pub fn prefix(prefix: impl Into<Bytes>) -> WatchRequest {
        WatchRequest { range: KeyRange::prefix(prefix), from: None, progress: false, previous: false }
    }

    /// The same from strictly after `revision`.
    #[must_use]
    pub fn from(self, revision: Revision) -> WatchRequest {
        WatchRequest { from: Some(revision), ..self }
    }

    /// The same with progress batches.
    #[must_use]
    pub fn progress(self) -> WatchRequest {
        WatchRequest { progress: true, ..self }
    }

    /// The same with previous versions.
    #[must_use]
    pub fn previous(self) -> WatchRequest {
        WatchRequest { previous: true, ..self }
    }
}
