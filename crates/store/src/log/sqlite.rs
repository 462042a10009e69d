//! The log in an SQLite database.
//!
//! One row per write, appended at the right edge of the table; WAL with `synchronous=FULL`, so that a commit is one
//! sequential write and one sync. The only connection locks the file exclusively (which also avoids the shared-memory
//! index). Checkpoints run between batches instead of inside commits, where their errors would be swallowed.
//!
//! Rows have checksums ([`row`]), one row summarizes all of them ([`state`]), and a file next to the database holds the
//! newest acknowledged revision ([`Mark`]). Until everything has been read and found intact ([`SqliteLog::settle`]),
//! nothing is written to the files, so that a refusal leaves them unchanged.

mod row;
mod scan;
mod state;
pub(crate) mod version1;
pub(crate) mod wal;

use std::fs::{OpenOptions, Permissions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction};

use self::row::Fields;
use self::state::{State, lease_checksum};
use self::version1::Version1;
use super::{Log, Record, Sink};
use crate::Revision;
use crate::damage::Damage;
use crate::disk::{LogError, sync_name};
use crate::mark::Mark;

/// Marks the file as ours (`PRAGMA application_id`): "Iron".
const APPLICATION_ID: i64 = 0x4972_6f6e;
/// Version of the tables below (`PRAGMA user_version`).
const SCHEMA_VERSION: i64 = 2;
/// Versions that later programs may have written; others are damage.
const NEWER_VERSIONS: std::ops::RangeInclusive<i64> = 3..=99;
const SCHEMA: &str = "
    CREATE TABLE log (
        revision INTEGER PRIMARY KEY,
        create_revision INTEGER NOT NULL,
        version INTEGER NOT NULL,
        lease INTEGER NOT NULL,
        checksum INTEGER NOT NULL,
        chain INTEGER NOT NULL,
        key BLOB NOT NULL,
        value BLOB -- none: the key was deleted
    );
    CREATE TABLE lease (
        id INTEGER PRIMARY KEY,
        ttl_seconds INTEGER NOT NULL,
        deadline INTEGER NOT NULL, -- seconds since 1970; 0: somebody keeps it alive
        checksum INTEGER NOT NULL
    );
    CREATE TABLE state (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        cluster BLOB NOT NULL,
        compacted INTEGER NOT NULL,
        through INTEGER NOT NULL,
        chain INTEGER NOT NULL,
        removed INTEGER NOT NULL,
        rows INTEGER NOT NULL,
        leases INTEGER NOT NULL,
        lease_sum INTEGER NOT NULL,
        lease_changes INTEGER NOT NULL,
        checksum INTEGER NOT NULL
    );";

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
    /// The database's state row.
    state: State,
    /// Whether the database's state row could be read.
    has_state: bool,
    /// The invalid content of its header.
    header: Option<String>,
    /// The newest revision.
    newest: Revision,
    /// The sum of the checksums of all rows ever written.
    chain: u64,
    /// How many rows there are.
    rows: u64,
    /// Estimate of the pages in the WAL.
    wal_pages: usize,
    /// The mark, which records separately how far the database must reach; backups have none.
    mark: Option<Mark>,
}

/// The kind of file at a path.
pub(crate) enum Found {
    /// No file, or an empty one.
    Nothing,
    /// A log in this program's format.
    Current(Box<SqliteLog>),
    /// One in the previous format.
    Version1(Version1),
}

impl SqliteLog {
    /// Creates an empty log of a cluster, readable only by the owner.
    pub(crate) fn create(path: &Path, cluster: u128) -> Result<SqliteLog, LogError> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        file.set_permissions(Permissions::from_mode(0o600))?;
        let mut connection = connect(path)?;
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;")?;
        let state =
            State { cluster, compacted: Revision::EMPTY, through: Revision::EMPTY, ..State::default() };
        let transaction = connection.transaction()?;
        transaction.execute_batch(SCHEMA)?;
        state.write(&transaction)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
        let log = SqliteLog {
            connection,
            state,
            has_state: true,
            header: None,
            newest: Revision::EMPTY,
            chain: 0,
            rows: 0,
            wal_pages: 0,
            mark: None,
        };
        log.settle()?;
        // SQLite syncs only the names of its own files.
        sync_name(path)?;
        Ok(log)
    }

    /// Opens the file at `path` without changing anything. `is_ours` means that the file must be a store's, so a
    /// different header is damage.
    pub(crate) fn find(path: &Path, is_ours: bool) -> Result<Found, LogError> {
        if !path.try_exists()? {
            return Ok(Found::Nothing);
        }
        let connection = connect(path)?;
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let (application, version) = (pragma("application_id")?, pragma("user_version")?);
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let header = match (application, version, tables) {
            (0, 0, 0) => return Ok(Found::Nothing),
            (APPLICATION_ID, 1, _) => return Ok(Found::Version1(Version1::new(connection))),
            (APPLICATION_ID, SCHEMA_VERSION, _) => None,
            (APPLICATION_ID, newer, _) if NEWER_VERSIONS.contains(&newer) => {
                return Err(LogError::Newer(newer));
            }
            _ if is_ours => Some(format!("its header says {application:#x}, version {version}")),
            (other, ..) => return Err(LogError::Foreign(format!("application id {other:#x}"))),
        };
        let state = State::read(&connection);
        Ok(Found::Current(Box::new(SqliteLog {
            connection,
            state: state.unwrap_or_default(),
            has_state: state.is_some(),
            header,
            newest: Revision::EMPTY,
            chain: 0,
            rows: 0,
            wal_pages: CHECKPOINT_PAGES,
            mark: None,
        })))
    }

    /// Enables writes, after the database was read and found intact.
    pub(crate) fn settle(&self) -> Result<(), LogError> {
        self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
        // A copy has a different mode.
        Ok(self.connection.execute_batch("PRAGMA journal_mode = WAL;")?)
    }

    /// Advances `mark` with every batch from now on.
    pub(crate) fn follow(&mut self, mut mark: Mark) -> Result<(), LogError> {
        mark.advance(self.newest, self.state.lease_changes)?;
        self.mark = Some(mark);
        Ok(())
    }

    /// The cluster that the database belongs to; `None` if that cannot be read.
    pub(crate) fn cluster(&self) -> Option<u128> {
        self.has_state.then_some(self.state.cluster)
    }

    /// The newest revision; known after a scan.
    pub(crate) fn newest(&self) -> Revision {
        self.newest
    }

    /// How often leases changed.
    pub(crate) fn lease_changes(&self) -> u64 {
        self.state.lease_changes
    }

    /// Closes the database so that it is one complete file.
    pub(crate) fn close(self) -> Result<(), LogError> {
        self.connection.execute_batch("PRAGMA journal_mode = DELETE;")?;
        self.connection.close().map_err(|(_, error)| LogError::from(error))
    }

    fn checkpoint(&mut self, mode: &str) -> Result<(), LogError> {
        self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))?;
        self.wal_pages = 0;
        Ok(())
    }
}

fn connect(path: &Path) -> Result<Connection, LogError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA synchronous = FULL;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = 16777216;
         PRAGMA cell_size_check = ON;
         PRAGMA cache_size = -4096;",
    )?;
    Ok(connection)
}

impl Log for SqliteLog {
    fn append_batch(&mut self, records: &[Record]) -> Result<(), LogError> {
        let transaction = self.connection.transaction()?;
        let (mut state, mut chain, mut newest, mut rows) = (self.state, self.chain, self.newest, self.rows);
        let mut pages = 1;
        for record in records {
            match Fields::of(record) {
                Some(fields) => {
                    let (checksum, dirtied) = fields.insert(&transaction, chain)?;
                    chain = chain.wrapping_add(checksum);
                    newest = fields.revision().max(newest);
                    rows += 1;
                    pages += dirtied;
                }
                None => pages += change_lease(&transaction, record, &mut state)?,
            }
        }
        if state != self.state {
            state.write(&transaction)?;
        }
        transaction.commit()?;
        (self.state, self.chain, self.newest, self.rows) = (state, chain, newest, rows);
        self.wal_pages += pages;
        match &mut self.mark {
            Some(mark) => mark.advance(newest, state.lease_changes),
            None => Ok(()),
        }
    }

    fn compacted(&mut self) -> Result<Revision, LogError> {
        Ok(self.state.compacted.max(Revision::EMPTY))
    }

    fn scan(&mut self, sink: &mut Sink<'_>) -> Result<Damage, LogError> {
        self.scan_all(sink)
    }

    fn compact(&mut self, compacted: Revision, superseded: &[Revision]) -> Result<bool, LogError> {
        let transaction = self.connection.transaction()?;
        let mut delete =
            transaction.prepare_cached("DELETE FROM log WHERE revision = ?1 RETURNING checksum")?;
        let mut state = State {
            compacted,
            through: self.newest.max(compacted),
            chain: self.chain,
            rows: self.rows,
            ..self.state
        };
        for revision in superseded {
            let checksum: Option<i64> =
                delete.query_row([integer(revision.0)], |row| row.get(0)).optional()?;
            let missing = LogError::Damaged { revision: *revision, reason: "a record is missing" };
            state.removed = state.removed.wrapping_add(checksum.ok_or(missing)?.cast_unsigned());
            state.rows -= 1;
        }
        drop(delete);
        state.write(&transaction)?;
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
        (self.newest, self.rows, self.state) = (state.through, state.rows, state);
        self.wal_pages += superseded.len() + usize::try_from(vacuum).unwrap_or(0);
        Ok(excess > vacuum)
    }

    fn tidy(&mut self) -> Result<(), LogError> {
        if self.wal_pages >= CHECKPOINT_PAGES { self.checkpoint("PASSIVE") } else { Ok(()) }
    }

    fn shrink(&mut self) -> Result<(), LogError> {
        self.checkpoint("TRUNCATE")
    }
}

/// Writes a change of a lease and accounts for it; returns roughly how many pages that dirties.
fn change_lease(
    transaction: &Transaction<'_>,
    record: &Record,
    state: &mut State,
) -> Result<usize, LogError> {
    let lease = match record {
        Record::GrantLease { lease, .. } | Record::RevokeLease { lease } => *lease,
        Record::Put(_) | Record::Delete { .. } => return Ok(0),
    };
    let old: Option<i64> = transaction
        .prepare_cached("DELETE FROM lease WHERE id = ?1 RETURNING checksum")?
        .query_row([lease.0], |row| row.get(0))
        .optional()?;
    if let Some(old) = old {
        state.lease_sum = state.lease_sum.wrapping_sub(old.cast_unsigned());
        state.leases -= 1;
    }
    if let Record::GrantLease { ttl, deadline, .. } = record {
        let (ttl, deadline) = (ttl.as_secs(), deadline.unwrap_or(0));
        let checksum = lease_checksum(lease, ttl, deadline);
        transaction.prepare_cached("INSERT INTO lease VALUES (?1, ?2, ?3, ?4)")?.execute([
            lease.0,
            integer(ttl),
            deadline,
            checksum.cast_signed(),
        ])?;
        state.lease_sum = state.lease_sum.wrapping_add(checksum);
        state.leases += 1;
    }
    state.lease_changes += 1;
    Ok(2)
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
        // A failed write, after which SQLite has undone the transaction. A failed sync has another code.
        if error.sqlite_error_code() == Some(ErrorCode::DiskFull) {
            return LogError::Full(Box::new(error));
        }
        LogError::Database(Box::new(error))
    }
}
