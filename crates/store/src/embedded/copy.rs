//! Whole copies of a store: backups, stores from backups, stores without lost data, stores in the current format.
//!
//! A backup is written from a view, so it is consistent and the writer does not notice it. The file is a
//! database like the store's own, without history.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clock::Clock;

use super::directory::Directory;
use super::files::{Files, Inspected, beside, remove};
use super::loaded::Loaded;
use super::view::View;
use super::{OpenError, Options};
use crate::damage::Damage;
use crate::disk::{LogError, sync_name};
use crate::log::version1::Version1;
use crate::log::{Found, Log, Record, SqliteLog};
use crate::mark::{self, Reached};
use crate::{KeyValue, Revision};

/// Records in one transaction.
const BATCH_RECORDS: usize = 1000;
/// How far a restored store's revision is ahead of its backup's, so that revisions that clients saw after the backup
/// are not reused for other writes.
const RESTORE_REVISIONS: u64 = 1_000_000_000;

/// Writes what `view` shows to a new file at `path`.
pub(super) fn write(view: &View, cluster: u128, path: &Path) -> Result<(), LogError> {
    if path.try_exists()? {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists).into());
    }
    let unfinished = Unfinished::beside(path);
    unfinished.fill(view, cluster, view.revision)?;
    unfinished.link(path)
}

/// Makes the store of `options` from a backup. Clients see a store that jumped a billion revisions ahead and has no
/// history: they list again. The previous files are kept in a directory, which is returned. Blocks while it reads and
/// writes the whole store.
///
/// # Errors
/// [`OpenError::InUse`] if the store is open, [`OpenError::Damaged`] if the backup is damaged, and see [`OpenError`].
pub fn restore(backup: &Path, options: &Options) -> Result<Option<PathBuf>, OpenError> {
    let directory = Directory::lock(&options.directory)?;
    let files = Files { database: directory.database(), mark: options.mark_path() };
    let unfinished = Unfinished::beside(&files.database);
    let fail = |source| OpenError::Log { path: backup.to_owned(), source };
    let (loaded, cluster, damage) = read_backup(backup, &files, &unfinished).map_err(fail)?;
    if !damage.is_empty() {
        return Err(OpenError::Damaged { path: backup.to_owned(), damage: Box::new(damage) });
    }
    let before = mark_revision(&files);
    let revision = Revision(loaded.view.revision.max(before).0 + RESTORE_REVISIONS);
    let fail = |source| OpenError::Log { path: files.database.clone(), source };
    unfinished.remove();
    unfinished.fill(&loaded.view, cluster, revision).map_err(fail)?;
    let has_old = files.database.exists() || files.wal().exists() || files.mark.exists();
    let kept = has_old.then(|| aside(&files, &directory, "replaced", &options.clock)).transpose();
    let kept = kept.map_err(fail)?;
    replace(&files, &unfinished, Reached::start(cluster, revision)).map_err(fail)?;
    Ok(kept)
}

fn mark_revision(files: &Files) -> Revision {
    match mark::find(&files.mark) {
        Ok(mark::MarkFound::Mark(reached)) => reached.revision,
        _ => Revision::EMPTY,
    }
}

/// Reads a copy of a backup, so that SQLite leaves no files next to the backup.
fn read_backup(
    path: &Path,
    files: &Files,
    unfinished: &Unfinished,
) -> Result<(Loaded, u128, Damage), LogError> {
    let not_found = || LogError::from(io::Error::from(io::ErrorKind::NotFound));
    let copy = Unfinished::beside(&beside(&files.database, ".backup"));
    fs::copy(path, &copy.0)?;
    let mut log = match SqliteLog::find(&copy.0, false)? {
        Found::Nothing => return Err(not_found()),
        Found::Current(log) => log,
        Found::Version1(log) => {
            unfinished.convert(&log, 0)?;
            let Found::Current(log) = SqliteLog::find(&unfinished.0, true)? else { return Err(not_found()) };
            log
        }
    };
    let (loaded, damage) = Loaded::read(&mut *log)?;
    Ok((loaded, log.cluster().unwrap_or_default(), damage))
}

/// Rewrites the store from its readable records.
pub(super) fn without_what_is_lost(
    files: &Files,
    found: Inspected,
    options: &Options,
) -> Result<(), LogError> {
    let Inspected { content, mark, damage } = found;
    let known = content.as_ref().and_then(|(log, _)| log.cluster());
    let cluster = known.or(mark.map(|mark| mark.cluster));
    let cluster = cluster.unwrap_or_else(|| options.clock.uuid().as_u128());
    let view = match content {
        Some((log, loaded)) => {
            // Closes the file, without a change to it.
            drop(log);
            loaded.view
        }
        None => View::new(Revision::EMPTY),
    };
    let last = [Some(view.revision), mark.map(|mark| mark.revision), damage.tail.map(|(_, last)| last)];
    let last = last.into_iter().flatten().max().unwrap_or(Revision::EMPTY);
    let revision = Revision(last.0 + RESTORE_REVISIONS);
    let unfinished = Unfinished::beside(&files.database);
    unfinished.fill(&view, cluster, revision)?;
    replace(files, &unfinished, Reached::start(cluster, revision))
}

/// Converts a log from the first format to the current one. The old database is kept as `state.db.version-1`: to
/// downgrade, replace `state.db` with it and use the program that wrote it. If there is damage, it is returned, and
/// nothing is changed.
pub(super) fn to_current(
    log: Version1,
    files: &Files,
    reached: Option<Reached>,
    wal_damage: Option<&str>,
) -> Result<Option<Damage>, LogError> {
    let unfinished = Unfinished::beside(&files.database);
    let cluster = reached.map_or_else(|| Clock::system().uuid().as_u128(), |reached| reached.cluster);
    unfinished.convert(&log, cluster)?;
    let Found::Current(mut current) = SqliteLog::find(&unfinished.0, true)? else {
        return Err(LogError::Foreign("the copy in today's form is empty".into()));
    };
    let (_, mut damage) = Loaded::read(&mut *current)?;
    if let Some(reached) = reached.filter(|reached| reached.revision > current.newest()) {
        damage.tail = Some((current.newest().next(), reached.revision));
    }
    if !damage.is_empty() || wal_damage.is_some() {
        return Ok(Some(damage));
    }
    let revision = current.newest();
    drop(current);
    log.close()?;
    let kept = beside(&files.database, ".version-1");
    remove(&kept)?;
    fs::hard_link(&files.database, &kept)?;
    replace(files, &unfinished, Reached::start(cluster, revision))?;
    tracing::info!(kept = %kept.display(), "converted the database to the current format; the old one is \
        kept");
    Ok(None)
}

/// Keeps links to the files of a store in a separate directory, which is returned.
pub(super) fn aside(
    files: &Files,
    directory: &Directory,
    what: &str,
    clock: &Clock,
) -> Result<PathBuf, LogError> {
    let time = clock.now_seconds().strftime("%Y%m%dT%H%M%SZ");
    let base = directory.path().join(format!("{what}-{time}"));
    let mut aside = base.clone();
    let mut number = 1;
    while let Err(error) = DirBuilder::new().mode(0o700).create(&aside) {
        if error.kind() != io::ErrorKind::AlreadyExists {
            return Err(error.into());
        }
        number += 1;
        aside = beside(&base, &format!("-{number}"));
    }
    for file in [&files.database, &files.wal(), &files.mark] {
        let Some(name) = file.file_name() else { continue };
        match fs::hard_link(file, aside.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                fs::copy(file, aside.join(name)).map(drop)?;
            }
            linked => linked?,
        }
    }
    File::open(&aside)?.sync_all()?;
    sync_name(&aside)?;
    Ok(aside)
}

/// Replaces the existing database with a complete one. A crash in the middle leaves a state that is refused.
fn replace(files: &Files, unfinished: &Unfinished, reached: Reached) -> Result<(), LogError> {
    File::open(&unfinished.0)?.sync_all()?;
    mark::write(&files.mark, reached)?;
    // It belongs to the old database, and would be read as part of the new one.
    remove(&files.wal())?;
    fs::rename(&unfinished.0, &files.database)?;
    Ok(sync_name(&files.database)?)
}

/// A file that is given its name when it is complete, and is removed otherwise.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(path: &Path) -> Unfinished {
        let unfinished = Unfinished(beside(path, ".unfinished"));
        unfinished.remove();
        unfinished
    }

    /// Writes a database of what `view` shows, at `revision` and without history.
    fn fill(&self, view: &View, cluster: u128, revision: Revision) -> Result<(), LogError> {
        let mut log = SqliteLog::create(&self.0, cluster)?;
        let leases = view.leases.iter().map(|(lease, state)| Record::GrantLease {
            lease: *lease,
            ttl: state.ttl,
            deadline: state.deadline,
        });
        log.append_batch(&leases.collect::<Vec<_>>())?;
        let mut kvs: Vec<&Arc<KeyValue>> = view.iter().collect();
        // The order of the log, which also appends fastest.
        kvs.sort_unstable_by_key(|kv| kv.mod_revision);
        for chunk in kvs.chunks(BATCH_RECORDS) {
            let records: Vec<_> = chunk.iter().map(|kv| Record::Put(with_known_lease(kv, view))).collect();
            log.append_batch(&records)?;
            log.tidy()?;
        }
        log.compact(revision, &[])?;
        log.close()
    }

    /// Writes a database with everything that `log` holds, its history too.
    fn convert(&self, log: &Version1, cluster: u128) -> Result<(), LogError> {
        let mut copy = SqliteLog::create(&self.0, cluster)?;
        let mut batch = Vec::with_capacity(BATCH_RECORDS);
        log.scan(&mut |record| {
            batch.push(record);
            if batch.len() == BATCH_RECORDS {
                copy.append_batch(&batch)?;
                copy.tidy()?;
                batch.clear();
            }
            Ok(())
        })?;
        copy.append_batch(&batch)?;
        copy.compact(log.compacted()?, &[])?;
        copy.close()
    }

    /// Gives the file its final name, which must not exist yet.
    fn link(&self, path: &Path) -> Result<(), LogError> {
        File::open(&self.0)?.sync_all()?;
        // Unlike a rename, a link never replaces a file.
        fs::hard_link(&self.0, path)?;
        Ok(sync_name(path)?)
    }

    fn remove(&self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            // Missing files need not be removed.
            let _ = fs::remove_file(beside(&self.0, suffix));
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A version without its lease, which was lost.
fn with_known_lease(kv: &Arc<KeyValue>, view: &View) -> Arc<KeyValue> {
    match kv.lease {
        Some(lease) if !view.leases.contains_key(&lease) => {
            Arc::new(KeyValue { lease: None, ..KeyValue::clone(kv) })
        }
        _ => Arc::clone(kv),
    }
}
