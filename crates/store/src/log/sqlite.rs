//! The log in an SQLite database.
//!
//! One row a write, appended at the right edge of the table; WAL with `synchronous=FULL`, so that a commit
//! is one sequential write and one sync. The one connection locks the file exclusively (which also spares
//! the shared-memory index). Checkpoints run between batches instead of inside commits, where their errors
//! would be swallowed.

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, Row, Transaction, params};

use super::{Log, LogError, Record, Sink, sync_name};
use crate::{KeyValue, LeaseId, Revision};

/// Marks the file as ours (`PRAGMA application_id`): "Iron".
const APPLICATION_ID: i64 = 0x4972_6f6e;
/// Version of the tables below (`PRAGMA user_version`).
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE log (
        revision INTEGER PRIMARY KEY,
        create_revision INTEGER NOT NULL,
        version INTEGER NOT NULL,
        lease INTEGER NOT NULL,
        key BLOB NOT NULL,
        value BLOB -- none: the key was deleted
    );
    CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_seconds INTEGER NOT NULL);
    CREATE TABLE compacted (one INTEGER PRIMARY KEY CHECK (one = 1), revision INTEGER NOT NULL);
    INSERT INTO compacted VALUES (1, 1);";

/// Pages written to the WAL between two checkpoints, roughly: 8 MB.
const CHECKPOINT_PAGES: usize = 2048;
const PAGE_BYTES: usize = 4096;
/// Free pages that are kept for reuse before the file is made smaller.
const FREE_PAGES_KEPT: i64 = 2048;
/// Pages given back to the file system in one step of a compaction.
const VACUUM_PAGES: i64 = 512;

/// See the module.
pub(crate) struct SqliteLog {
    connection: Connection,
    /// Estimate of the pages in the WAL.
    wal_pages: usize,
}

impl SqliteLog {
    /// Opens the database at `path`, or makes an empty one, readable by the owner alone.
    pub(crate) fn open(path: &Path) -> Result<SqliteLog, LogError> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let connection = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.execute_batch(
            "PRAGMA auto_vacuum = INCREMENTAL;
             PRAGMA locking_mode = EXCLUSIVE;
             PRAGMA journal_mode = WAL;
             PRAGMA synchronous = FULL;
             PRAGMA wal_autocheckpoint = 0;
             PRAGMA cache_size = -4096;",
        )?;
        let mut log = SqliteLog { connection, wal_pages: 0 };
        log.check_schema()?;
        // SQLite syncs only the names of its own files.
        sync_name(path)?;
        Ok(log)
    }

    fn check_schema(&mut self) -> Result<(), LogError> {
        let pragma = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (application, version) = (pragma("application_id")?, pragma("user_version")?);
        let tables: i64 =
            self.connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        match (application, version, tables) {
            (APPLICATION_ID, SCHEMA_VERSION, _) => Ok(()),
            (0, 0, 0) => {
                let transaction = self.connection.transaction()?;
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
                transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
                Ok(transaction.commit()?)
            }
            (APPLICATION_ID, newer, _) => Err(LogError::Foreign(format!("schema version {newer}"))),
            (other, ..) => Err(LogError::Foreign(format!("application id {other:#x}"))),
        }
    }

    /// Closes the database so that it is one complete file.
    pub(crate) fn close(self) -> Result<(), LogError> {
        self.connection.execute_batch("PRAGMA journal_mode = DELETE;")?;
        self.connection.close().map_err(|(_, error)| LogError::from(error))
    }

    fn checkpoint(&mut self) -> Result<(), LogError> {
        self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        self.wal_pages = 0;
        Ok(())
    }
}

impl Log for SqliteLog {
    fn append_batch(&mut self, records: &[Record]) -> Result<(), LogError> {
        let transaction = self.connection.transaction()?;
        let mut pages = 1;
        for record in records {
            pages += append(&transaction, record)?;
        }
        transaction.commit()?;
        self.wal_pages += pages;
        Ok(())
    }

    fn compacted(&mut self) -> Result<Revision, LogError> {
        let revision: i64 =
            self.connection.query_row("SELECT revision FROM compacted", [], |row| row.get(0))?;
        Ok(revision_from(revision))
    }

    fn scan(&mut self, sink: &mut Sink<'_>) -> Result<(), LogError> {
        let mut leases = self.connection.prepare("SELECT id, ttl_seconds FROM lease ORDER BY id")?;
        let mut rows = leases.query([])?;
        while let Some(row) = rows.next()? {
            let ttl = Duration::from_secs(row.get::<_, i64>(1)?.unsigned_abs());
            sink(Record::GrantLease { lease: LeaseId(row.get(0)?), ttl })?;
        }
        let mut log = self.connection.prepare(
            "SELECT revision, create_revision, version, lease, key, value FROM log ORDER BY revision",
        )?;
        let mut rows = log.query([])?;
        while let Some(row) = rows.next()? {
            sink(record_from(row)?)?;
        }
        Ok(())
    }

    fn compact(&mut self, compacted: Revision, superseded: &[Revision]) -> Result<bool, LogError> {
        let transaction = self.connection.transaction()?;
        transaction.prepare_cached("UPDATE compacted SET revision = ?1")?.execute([integer(compacted.0)])?;
        let mut delete = transaction.prepare_cached("DELETE FROM log WHERE revision = ?1")?;
        for revision in superseded {
            delete.execute([integer(revision.0)])?;
        }
        drop(delete);
        let free: i64 = transaction.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
        let excess = free - FREE_PAGES_KEPT;
        let vacuum = excess.clamp(0, VACUUM_PAGES);
        if vacuum > 0 {
            // Each step of the statement frees pages; stopping early would stop the vacuum.
            let mut statement = transaction.prepare(&format!("PRAGMA incremental_vacuum({vacuum})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
        }
        transaction.commit()?;
        self.wal_pages += superseded.len() + usize::try_from(vacuum).unwrap_or(0);
        Ok(excess > vacuum)
    }

    fn tidy(&mut self) -> Result<(), LogError> {
        if self.wal_pages >= CHECKPOINT_PAGES { self.checkpoint() } else { Ok(()) }
    }
}

/// Writes one record; about how many pages that dirties.
fn append(transaction: &Transaction<'_>, record: &Record) -> Result<usize, LogError> {
    const INSERT: &str = "INSERT INTO log (revision, create_revision, version, lease, key, value)
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    match record {
        Record::Put(kv) => {
            transaction.prepare_cached(INSERT)?.execute(params![
                integer(kv.mod_revision.0),
                integer(kv.create_revision.0),
                integer(kv.version),
                kv.lease.map_or(0, |lease| lease.0),
                &kv.key[..],
                &kv.value[..],
            ])?;
            Ok(1 + kv.value.len() / PAGE_BYTES)
        }
        Record::Delete { key, revision } => {
            let value: Option<&[u8]> = None;
            transaction.prepare_cached(INSERT)?.execute(params![
                integer(revision.0),
                0,
                0,
                0,
                &key[..],
                value
            ])?;
            Ok(1)
        }
        Record::GrantLease { lease, ttl } => {
            let ttl = integer(ttl.as_secs());
            transaction.prepare_cached("INSERT INTO lease VALUES (?1, ?2)")?.execute([lease.0, ttl])?;
            Ok(1)
        }
        Record::RevokeLease { lease } => {
            transaction.prepare_cached("DELETE FROM lease WHERE id = ?1")?.execute([lease.0])?;
            Ok(1)
        }
    }
}

fn record_from(row: &Row<'_>) -> Result<Record, LogError> {
    let revision = revision_from(row.get(0)?);
    let blob = |column| -> Result<Option<Bytes>, LogError> {
        let blob = row
            .get_ref(column)?
            .as_blob_or_null()
            .map_err(|_| LogError::Damaged { revision, reason: "a column that is no blob" })?;
        Ok(blob.map(Bytes::copy_from_slice))
    };
    let key = blob(4)?.unwrap_or_default();
    let Some(value) = blob(5)? else { return Ok(Record::Delete { key, revision }) };
    let lease: i64 = row.get(3)?;
    Ok(Record::Put(Arc::new(KeyValue {
        key,
        value,
        create_revision: revision_from(row.get(1)?),
        mod_revision: revision,
        version: row.get::<_, i64>(2)?.unsigned_abs(),
        lease: (lease != 0).then_some(LeaseId(lease)),
    })))
}

/// SQLite's integers are signed; nothing here reaches 2^63.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn revision_from(integer: i64) -> Revision {
    Revision(integer.unsigned_abs())
}

impl From<rusqlite::Error> for LogError {
    fn from(error: rusqlite::Error) -> LogError {
        LogError::Database(Box::new(error))
    }
}
