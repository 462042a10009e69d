//! Requests to a store and their answers.

use std::num::NonZeroUsize;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use texts::Text;

use crate::{KeyValue, LeaseId, Revision};

/// A set of neighbouring keys.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeyRange {
    /// This key alone.
    Exact(Bytes),
    /// Every key with this prefix; all keys if it is empty.
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

    /// Whether `key` is in the range.
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

/// How much of each key-value pair a range returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RangeContent {
    /// Keys and values.
    #[default]
    Full,
    /// Everything except the values, which are empty.
    KeysOnly,
    /// Only [`RangeResponse::count`].
    CountOnly,
}

/// Which keys to read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RangeRequest {
    /// The keys.
    pub range: KeyRange,
    /// The revision to read at; the current one if none.
    pub revision: Option<Revision>,
    /// The maximum number of pairs; `None` means all. There may be fewer if they are large, see
    /// [`RangeResponse::more`].
    pub limit: Option<NonZeroUsize>,
    /// Only keys strictly after this one: the last key of the previous page.
    pub after: Option<Bytes>,
    /// The requested parts of each version.
    pub content: RangeContent,
    /// Whether to count all keys of the range, regardless of the limit. That takes time for each of them.
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
    /// The number of keys in the range (after [`RangeRequest::after`]), regardless of the limit: `count - kvs.len()`
    /// remain after this page. Only if [`RangeRequest::counted`] or [`RangeContent::CountOnly`] requested it.
    pub count: Option<usize>,
    /// The revision that was read: the one asked for, or the store's at the moment of the read.
    pub revision: Revision,
}

/// The operation on a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WriteOp {
    /// Set this value.
    Put(Text),
    /// Remove it.
    Delete,
}

/// The precondition of a write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// None: write in any case.
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
    /// The operation.
    pub op: WriteOp,
    /// The precondition.
    pub expect: Expect,
    /// The lease that the key is attached to; a put without one detaches the key.
    pub lease: Option<LeaseId>,
    /// Whether the write leads to a deletion, so that it is accepted even on a full disk. Deletions always are.
    pub makes_space: bool,
}

impl Write {
    /// A put.
    pub fn put(key: impl Into<Bytes>, value: impl Into<Text>, expect: Expect) -> Write {
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

/// The outcome of a write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum WriteOutcome {
    /// It is durable.
    Committed {
        /// Its revision; the store's current one if there was nothing to delete.
        revision: Revision,
        /// The version that was replaced or deleted.
        previous: Option<Arc<KeyValue>>,
    },
    /// The precondition failed; nothing changed.
    Conflict {
        /// The current version of the key.
        current: Option<Arc<KeyValue>>,
        /// The store's revision at that moment.
        revision: Revision,
    },
}

/// The parameters of a watch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WatchRequest {
    /// The keys.
    pub range: KeyRange,
    /// Events strictly after this revision; those after now if none.
    pub from: Option<Revision>,
    /// Whether to answer [`Store::request_progress`](crate::Store::request_progress) with a batch without
    /// events, once everything up to its revision was delivered.
    pub progress: bool,
    /// Whether events contain the previous version ([`Event::prev`](crate::Event::prev)). It costs a remote store a
    /// second read and a second value on the wire, so only those who need it ask.
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
