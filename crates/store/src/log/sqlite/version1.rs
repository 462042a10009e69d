//! The first format of the log, without checksums: read once, for the conversion.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, Row};
use texts::Text;

use super::revision_from;
use crate::disk::LogError;
use crate::log::{Record, Sink};
use crate::{KeyValue, LeaseId, Revision};

/// An open log in that format.
pub(crate) struct Version1(Connection);

impl Version1 {
    pub(super) fn new(connection: Connection) -> Version1 {
        Version1(connection)
    }

    /// Closes the database so that it is one complete file.
    pub(crate) fn close(self) -> Result<(), LogError> {
        self.0.execute_batch("PRAGMA journal_mode = DELETE;")?;
        self.0.close().map_err(|(_, error)| LogError::from(error))
    }

    /// The argument of the last compaction.
    pub(crate) fn compacted(&self) -> Result<Revision, LogError> {
        let revision: i64 = self.0.query_row("SELECT revision FROM compacted", [], |row| row.get(0))?;
        Ok(revision_from(revision))
    }

    /// Passes every record on: leases first, then puts and deletions by revision.
    pub(crate) fn scan(&self, sink: &mut Sink<'_>) -> Result<(), LogError> {
        let mut leases = self.0.prepare("SELECT id, ttl_seconds FROM lease ORDER BY id")?;
        let mut rows = leases.query([])?;
        while let Some(row) = rows.next()? {
            let ttl = Duration::from_secs(row.get::<_, i64>(1)?.unsigned_abs());
            sink(Record::GrantLease { lease: LeaseId(row.get(0)?), ttl, deadline: None })?;
        }
        let mut log = self.0.prepare(
            "SELECT revision, create_revision, version, lease, key, value FROM log ORDER BY revision",
        )?;
        let mut rows = log.query([])?;
        while let Some(row) = rows.next()? {
            sink(record_from(row)?)?;
        }
        Ok(())
    }
}

fn record_from(row: &Row<'_>) -> Result<Record, LogError> {
    let revision = revision_from(row.get(0)?);
    let blob = |column| -> Result<Option<&[u8]>, LogError> {
        let blob = row.get_ref(column)?.as_blob_or_null();
        blob.map_err(|_| LogError::Damaged { revision, reason: "a column is not a blob" })
    };
    let key = Bytes::copy_from_slice(blob(4)?.unwrap_or_default());
    let Some(value) = blob(5)? else { return Ok(Record::Delete { key, revision }) };
    let lease: i64 = row.get(3)?;
    Ok(Record::Put(Arc::new(KeyValue {
        key,
        value: Text::compact(value),
        create_revision: revision_from(row.get(1)?),
        mod_revision: revision,
        version: row.get::<_, i64>(2)?.unsigned_abs(),
        lease: (lease != 0).then_some(LeaseId(lease)),
    })))
}
