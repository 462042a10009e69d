//! Copies of a store in one file, and a store from such a copy.
//!
//! A backup is written from a view, so it is consistent and the writer does not notice it. The file is a
//! database like the store's own, without history.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::OpenError;
use super::directory::Directory;
use super::engine::Engine;
use super::view::View;
use crate::KeyValue;
use crate::log::{Log, LogError, Record, SqliteLog, sync_name};

/// Records in one transaction.
const BATCH_RECORDS: usize = 1000;
/// How far a restored store's revision is ahead of its backup's, so that revisions which clients saw after
/// the backup was made are not given to other writes.
const RESTORE_REVISIONS: u64 = 1_000_000_000;

/// Writes what `view` shows to a new file at `path`.
pub(super) fn write(view: &View, path: &Path) -> Result<(), LogError> {
    if path.try_exists()? {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
    }
    let unfinished = Unfinished::beside(path);
    let mut log = SqliteLog::open(&unfinished.0)?;
    let leases: Vec<_> = view
        .leases
        .iter()
        .map(|(lease, state)| Record::GrantLease { lease: *lease, ttl: state.ttl })
        .collect();
    log.append_batch(&leases)?;
    let mut kvs: Vec<&Arc<KeyValue>> = view.iter().collect();
    // The order of the log, which also appends fastest.
    kvs.sort_unstable_by_key(|kv| kv.mod_revision);
    for chunk in kvs.chunks(BATCH_RECORDS) {
        let records: Vec<_> = chunk.iter().map(|kv| Record::Put(Arc::clone(kv))).collect();
        log.append_batch(&records)?;
        log.tidy()?;
    }
    log.compact(view.revision, &[])?;
    log.close()?;
    unfinished.finish(path)
}

/// Makes a store in `directory` from a backup. Clients see a store that jumped a billion revisions ahead and
/// has no history: they list again. Blocks while it reads and writes the whole store.
///
/// # Errors
/// [`OpenError::Exists`] if there is a store in the directory, and see [`OpenError`].
pub fn restore(backup: &Path, directory: &Path) -> Result<(), OpenError> {
    let locked = Directory::lock(directory)?;
    let database = locked.database();
    if database.exists() {
        return Err(OpenError::Exists { path: directory.to_owned() });
    }
    copy_ahead(backup, &database).map_err(|source| OpenError::Log { path: backup.to_owned(), source })
}

fn copy_ahead(backup: &Path, database: &Path) -> Result<(), LogError> {
    let unfinished = Unfinished::beside(database);
    fs::copy(backup, &unfinished.0)?;
    // Reads everything once, so that a damaged backup is found now.
    let engine = Engine::load(Box::new(SqliteLog::open(&unfinished.0)?), usize::MAX)?;
    let mut revision = engine.shared().view().revision;
    drop(engine);
    revision.0 += RESTORE_REVISIONS;
    let mut log = SqliteLog::open(&unfinished.0)?;
    log.compact(revision, &[])?;
    log.close()?;
    unfinished.finish(database)
}

/// A file that gets its name when it is complete, and is removed otherwise.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(path: &Path) -> Unfinished {
        let mut name = path.as_os_str().to_owned();
        name.push(".unfinished");
        let unfinished = Unfinished(PathBuf::from(name));
        unfinished.remove();
        unfinished
    }

    fn finish(&self, path: &Path) -> Result<(), LogError> {
        File::open(&self.0)?.sync_all()?;
        // Unlike a rename, a link never replaces a file.
        fs::hard_link(&self.0, path)?;
        Ok(sync_name(path)?)
    }

    fn remove(&self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut name = self.0.as_os_str().to_owned();
            name.push(suffix);
            // What is not there need not be removed.
            let _ = fs::remove_file(name);
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.remove();
    }
}
