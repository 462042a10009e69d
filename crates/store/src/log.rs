//! The durable log under the embedded engine.
//!
//! The engine keeps the keyspace in memory and needs only three things from a disk: append a batch so that it survives
//! a crash, read everything back in order at start, and remove obsolete records. A log must not know preconditions,
//! watches or ranges.

mod discard;
mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub(crate) use discard::DiscardLog;
pub(crate) use sqlite::{Found, SqliteLog, version1, wal};

use crate::damage::Damage;
use crate::disk::LogError;
use crate::{Event, KeyValue, LeaseId, Revision};

/// One durable fact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// A key was created or changed.
    Put(Arc<KeyValue>),
    /// A key was deleted.
    Delete { key: Bytes, revision: Revision },
    /// A lease was granted, or its data changed. Without a deadline (seconds since 1970) it has its full time again
    /// after a restart, because it is kept alive.
    GrantLease { lease: LeaseId, ttl: Duration, deadline: Option<i64> },
    /// A lease ended; the deletions of its keys are separate records.
    RevokeLease { lease: LeaseId },
}

impl From<&Event> for Record {
    fn from(event: &Event) -> Record {
        match event {
            Event::Put { kv, .. } => Record::Put(kv.clone()),
            Event::Delete { key, revision, .. } => Record::Delete { key: key.clone(), revision: *revision },
        }
    }
}

/// Takes the records of a scan, one by one.
pub(crate) type Sink<'a> = dyn FnMut(Record) -> Result<(), LogError> + 'a;

/// A durable, ordered log of records.
pub(crate) trait Log: Send {
    /// Makes all records durable, or none. After [`LogError::Full`] the log is unchanged; after other errors its state
    /// is unknown.
    fn append_batch(&mut self, records: &[Record]) -> Result<(), LogError>;

    /// The revision given to the last [`Log::compact`]: what came before it may be incomplete.
    fn compacted(&mut self) -> Result<Revision, LogError>;

    /// Passes every intact record to `sink`: leases first, then puts and deletions by revision. Damaged or missing
    /// records are reported and skipped.
    fn scan(&mut self, sink: &mut Sink<'_>) -> Result<Damage, LogError>;

    /// Records that history up to `compacted` is dropped, and removes the puts and deletions with these revisions; a
    /// record must not be removed before those of its key that it superseded. Returns whether further calls can release
    /// more space.
    fn compact(&mut self, compacted: Revision, superseded: &[Revision]) -> Result<bool, LogError>;

    /// Housekeeping after a batch, which no caller waits for.
    fn tidy(&mut self) -> Result<(), LogError>;

    /// Releases dispensable space, because the disk is full.
    fn shrink(&mut self) -> Result<(), LogError> {
        Ok(())
    }
}
