//! The embedded engine: the keyspace in memory, a log on disk.
//!
//! Readers take the current view (`view`), an immutable snapshot that costs nothing to share; nothing but start-up ever
//! reads the database. Writes go to one writer thread (`writer`), which takes whatever has queued up as one batch
//! (`engine`): it checks preconditions in memory, assigns revisions, commits one transaction, and then publishes the
//! batch to readers, watchers (`shared`) and callers. A write that cannot be made durable stops the process, because
//! the state of the disk is then unknown.
//!
//! History is kept in memory up to [`Options::history_bytes`]; older history is compacted, and its records are removed
//! from the database in small pieces between batches.

mod copy;
mod directory;
mod engine;
mod files;
mod lease;
mod loaded;
mod open;
mod shared;
mod space;
#[cfg(test)]
mod tests;
mod view;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clock::Clock;
use tokio::task::JoinHandle;

pub use copy::restore;

use self::directory::Directory;
use self::engine::{Command, Engine};
use self::lease::Deadlines;
use self::loaded::Loaded;
use self::open::Opened;
use self::shared::Shared;
use self::space::Space;
use self::writer::Writer;
use crate::damage::Damage;
use crate::disk::LogError;
use crate::log::DiscardLog;
use crate::{
    LeaseId, Metrics, RangeRequest, RangeResponse, Revision, Store, StoreError, WatchRequest, WatchStream,
    Write, WriteOutcome,
};

/// The action when the log fails. It should not return; if it does, the store refuses everything from then on.
pub type FatalAction = Arc<dyn Fn(&LogError) + Send + Sync>;

/// How to open an embedded store.
#[derive(Clone)]
pub struct Options {
    /// The directory of the database; created if it does not exist, and closed to other users.
    pub directory: PathBuf,
    /// How much history to keep in memory, in bytes, even without compaction.
    pub history_bytes: usize,
    /// The action when the log fails: log it and abort the process, unless a test replaces it.
    pub on_fatal: FatalAction,
    /// The path of the high-water mark, a file separate from the database with the revision that the database must have
    /// reached. By default it is in the directory; elsewhere it also detects that the whole directory was replaced with
    /// an older copy.
    pub mark: Option<PathBuf>,
    /// The reason why a store must exist already, if it must: "there are keys of a cluster in ...". Then none is
    /// created.
    pub must_exist: Option<String>,
    /// The damage whose loss is accepted, by its [`Damage::token`].
    pub accept_loss: Option<String>,
    /// How much of the disk to keep free for deletions on a full one, in bytes.
    pub reserve_bytes: u64,
    /// The source of lease IDs and of the time for deadlines.
    pub clock: Clock,
    /// What the engine measures of itself.
    pub metrics: Metrics,
}

impl Options {
    /// The default options: 64 MiB of history, a reserve of 32 MiB, abort when the log fails.
    pub fn new(directory: impl Into<PathBuf>, clock: Clock) -> Options {
        Options {
            directory: directory.into(),
            history_bytes: HISTORY_BYTES,
            on_fatal: Arc::new(abort),
            mark: None,
            must_exist: None,
            accept_loss: None,
            reserve_bytes: RESERVE_BYTES,
            clock,
            metrics: Metrics::default(),
        }
    }

    fn mark_path(&self) -> PathBuf {
        self.mark.clone().unwrap_or_else(|| self.directory.join("high-water-mark"))
    }
}

const RESERVE_BYTES: u64 = 32 << 20;

const HISTORY_BYTES: usize = 64 << 20;

fn abort(error: &LogError) {
    tracing::error!(error = error as &dyn std::error::Error, "the store's log failed; stopping at once");
    std::process::abort();
}

/// Why an embedded store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has the same store open.
    #[error("{path} is in use by another process (process id {process})")]
    InUse {
        /// The store's directory.
        path: PathBuf,
        /// The other process's id, if it could be read.
        process: String,
    },
    /// The directory cannot be created or used.
    #[error("cannot use the directory {path}")]
    Directory {
        /// The store's directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something is damaged, or acknowledged writes are missing. Nothing was changed.
    #[error("the cluster's state in {path} is damaged or incomplete: {damage}")]
    Damaged {
        /// The store's directory, or the backup.
        path: PathBuf,
        /// The damage.
        damage: Box<Damage>,
    },
    /// The database cannot be read.
    #[error("cannot read the database {path}")]
    Log {
        /// The database file.
        path: PathBuf,
        /// Why.
        source: LogError,
    },
    /// The writer thread cannot be started.
    #[error("cannot start the writer thread")]
    Thread(#[source] io::Error),
}

/// The embedded store. Dropping it finishes the queued writes and releases the directory.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use store::{Embedded, Expect, RangeRequest, Store, Write, WriteOutcome};
///
/// let store = Embedded::in_memory(clock::Clock::system());
/// let write = Write::put("/registry/pods/default/web", "{}", Expect::Absent);
/// let WriteOutcome::Committed { revision, .. } = store.write(write).await? else { panic!("it was absent") };
/// let pods = store.range(RangeRequest::prefix("/registry/pods/")).await?;
/// assert_eq!((pods.kvs.len(), pods.kvs[0].mod_revision), (1, revision));
/// # Ok::<(), store::StoreError>(())
/// # }).unwrap();
/// ```
pub struct Embedded {
    shared: Arc<Shared>,
    deadlines: Arc<Deadlines>,
    clock: Clock,
    cluster: u128,
    /// None only while dropping.
    writer: Option<Writer>,
    expiry: JoinHandle<()>,
    /// Held until the writer thread is gone.
    directory: Option<Directory>,
}

impl Embedded {
    /// Opens the store in a directory, or makes an empty one. Must be called on a tokio runtime, which then
    /// runs the expiry of leases.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(options: Options) -> Result<Embedded, OpenError> {
        let (on_fatal, clock) = (options.on_fatal.clone(), options.clock.clone());
        let opened = tokio::task::spawn_blocking(move || open::open(&options)).await;
        let Opened { directory, engine, cluster } = match opened {
            Ok(opened) => opened?,
            Err(stopped) => return Err(OpenError::Thread(stopped.into())),
        };
        let shared = engine.shared().clone();
        let writer = Writer::spawn(engine, on_fatal).map_err(OpenError::Thread)?;
        Ok(Embedded::start(shared, writer, clock, cluster, Some(directory)))
    }

    /// A store that keeps nothing on disk, for tests and simulations. Must be called on a tokio runtime.
    pub fn in_memory(clock: Clock) -> Embedded {
        let (loaded, _) = Loaded::read(&mut DiscardLog).expect("an empty log that cannot fail loads");
        let engine = Engine::new(Box::new(DiscardLog), loaded, Space::unlimited(), HISTORY_BYTES);
        let shared = engine.shared().clone();
        let cluster = clock.uuid().as_u128();
        Embedded::start(shared, Writer::in_place(engine), clock, cluster, None)
    }

    fn start(
        shared: Arc<Shared>,
        writer: Writer,
        clock: Clock,
        cluster: u128,
        directory: Option<Directory>,
    ) -> Embedded {
        let deadlines = Arc::new(Deadlines::default());
        let now = clock.now().as_second();
        for (id, lease) in &shared.view().leases {
            let left = lease.deadline.map(|deadline| u64::try_from(deadline - now).unwrap_or(0));
            deadlines.resume(*id, lease.ttl, left.map(Duration::from_secs));
        }
        let expiry = tokio::spawn(lease::expire(deadlines.clone(), writer.downgrade()));
        Embedded { shared, deadlines, clock, cluster, writer: Some(writer), expiry, directory }
    }

    async fn submit(&self, command: Command) -> Result<WriteOutcome, StoreError> {
        match &self.writer {
            Some(writer) => writer.submit(command).await,
            None => Err(StoreError::Closed),
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.expiry.abort();
        if let Some(writer) = self.writer.take() {
            writer.finish();
        }
        self.shared.close();
    }
}

#[async_trait]
impl Store for Embedded {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        self.shared.check_open()?;
        self.shared.view().range(&request)
    }

    async fn write(&self, write: Write) -> Result<WriteOutcome, StoreError> {
        self.submit(Command::Write(write)).await
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        self.shared.watch(request)
    }

    async fn request_progress(&self) -> Result<(), StoreError> {
        self.shared.check_open()?;
        self.shared.request_progress();
        Ok(())
    }

    async fn current_revision(&self) -> Result<Revision, StoreError> {
        self.shared.check_open()?;
        Ok(self.shared.view().revision)
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.submit(Command::Compact(revision)).await.map(|_| ())
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        let ttl = Duration::from_secs(ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)).max(MIN_TTL);
        // Positive: 0 means no lease.
        let lease = LeaseId((self.clock.random_u64() >> 1).max(1).cast_signed());
        // The deadline first: if the call is cancelled in the meantime, the lease still expires.
        self.deadlines.add(lease, ttl);
        let deadline = self.clock.now().as_second().saturating_add_unsigned(ttl.as_secs());
        let granted = self.submit(Command::GrantLease { lease, ttl, deadline }).await;
        if granted.is_err() {
            self.deadlines.remove(lease);
        }
        granted.map(|_| lease)
    }

    async fn keep_lease_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.shared.check_open()?;
        if self.deadlines.renew(lease)? {
            self.submit(Command::KeepLease(lease)).await?;
        }
        Ok(())
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.submit(Command::RevokeLease(lease)).await?;
        self.deadlines.remove(lease);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    fn size_bytes(&self) -> Option<u64> {
        let database = self.directory.as_ref()?.database();
        let log = files::wal_of(&database);
        let length = |path: &Path| std::fs::metadata(path).map(|found| found.len());
        // The log is not there before the first write.
        Some(length(&database).ok()? + length(&log).unwrap_or(0))
    }

    async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.shared.check_open()?;
        let (view, cluster, path) = (self.shared.view(), self.cluster, path.to_owned());
        let written = tokio::task::spawn_blocking(move || copy::write(&view, cluster, &path)).await;
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StoreError::Backup(Box::new(error))),
            Err(stopped) => Err(StoreError::Backup(Box::new(stopped))),
        }
    }
}

/// The shortest time to live of a lease.
const MIN_TTL: Duration = Duration::from_secs(1);
