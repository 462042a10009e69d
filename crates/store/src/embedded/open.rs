//! Opening a store: checks that everything that was acknowledged is present and unchanged.
//!
//! Three things must agree: the database, its write-ahead log, and the separate high-water mark. If they do not,
//! opening is refused with an error that names the loss, and nothing is changed. If the options accept exactly that
//! loss ([`Damage::token`]), a store with the remaining data is opened; the damaged files are kept aside.

use std::fs;
use std::path::Path;

use super::directory::Directory;
use super::engine::Engine;
use super::files::{Files, Inspected};
use super::loaded::Loaded;
use super::space::Space;
use super::{OpenError, Options, copy};
use crate::Revision;
use crate::damage::Damage;
use crate::disk::LogError;
use crate::log::{Found, SqliteLog, wal};
use crate::mark::{self, Mark, MarkFound, Reached};

/// A store that was found whole.
pub(super) struct Opened {
    pub(super) directory: Directory,
    pub(super) engine: Engine,
    pub(super) cluster: u128,
}

/// Opens the store of `options`, or makes one.
pub(super) fn open(options: &Options) -> Result<Opened, OpenError> {
    let directory = Directory::lock(&options.directory)?;
    let files = Files { database: directory.database(), mark: options.mark_path() };
    let fail = |source| OpenError::Log { path: files.database.clone(), source };
    let mut found = look(&files, options).map_err(fail)?;
    if !found.damage.is_empty() {
        if options.accept_loss.as_deref() != Some(found.damage.token().as_str()) {
            let damage = Box::new(found.damage);
            return Err(OpenError::Damaged { path: options.directory.clone(), damage });
        }
        let aside = copy::aside(&files, &directory, "damaged", &options.clock).map_err(fail)?;
        tracing::warn!(lost = %found.damage, kept = %aside.display(), "continuing without the lost data");
        copy::without_what_is_lost(&files, found, options).map_err(fail)?;
        found = look(&files, options).map_err(fail)?;
        if !found.damage.is_empty() {
            let damage = Box::new(found.damage);
            return Err(OpenError::Damaged { path: options.directory.clone(), damage });
        }
    } else if options.accept_loss.is_some() {
        tracing::warn!("the cluster's state is intact; the accepted loss is a different one");
    }
    let (mut log, loaded) = match found.content {
        Some(content) => content,
        None => create(&files, found.mark, options).map_err(fail)?,
    };
    let cluster = log.cluster().unwrap_or_default();
    log.settle().map_err(fail)?;
    let reached = found.mark.unwrap_or_else(|| Reached::start(cluster, Revision::EMPTY));
    let mark = Mark::open(&files.mark, reached).map_err(|error| fail(error.into()))?;
    log.follow(mark).map_err(fail)?;
    let space = Space::reserve(directory.path().join("reserve"), options.reserve_bytes)
        .map_err(|error| fail(error.into()))?;
    let engine = Engine::new(log, loaded, space, options.history_bytes).measured_by(options.metrics.clone());
    Ok(Opened { directory, engine, cluster })
}

/// Reads everything and compares it, and changes nothing except the format of an intact older database.
fn look(files: &Files, options: &Options) -> Result<Inspected, LogError> {
    let mark = mark::find(&files.mark)?;
    let reached = match mark {
        MarkFound::Mark(reached) => Some(reached),
        MarkFound::Nothing | MarkFound::Damaged => None,
    };
    let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let (database_bytes, wal_bytes) = (size(&files.database), size(&files.wal()));
    if database_bytes == 0 && wal_bytes > 0 {
        // SQLite would remove the log.
        let damage = Damage::problem("the database is missing or empty, though it has a write-ahead log");
        return Ok(Inspected { content: None, mark: reached, damage: without(damage, reached) });
    }
    let wal_damage = wal::damage(&files.wal())?;
    let is_ours = mark != MarkFound::Nothing || options.must_exist.is_some();
    let mut found = match SqliteLog::find(&files.database, is_ours) {
        Ok(Found::Version1(log)) => match copy::to_current(log, files, reached, wal_damage.as_deref())? {
            None => return look(files, options),
            Some(damage) => Inspected { content: None, mark: reached, damage },
        },
        Ok(Found::Nothing) => nothing(&mark, reached, options),
        Ok(Found::Current(log)) => current(log, &mark, files)?,
        Err(error @ LogError::Database(_)) if is_ours => {
            let text = format!("the database cannot be read: {}", causes::chain(&error));
            Inspected { content: None, mark: reached, damage: without(Damage::problem(text), reached) }
        }
        Err(error) => return Err(error),
    };
    found.damage.problems.extend(wal_damage);
    Ok(found)
}

/// A directory without a database.
fn nothing(mark: &MarkFound, reached: Option<Reached>, options: &Options) -> Inspected {
    let damage = match (mark, &options.must_exist) {
        (MarkFound::Damaged, _) => Damage::problem(
            "the database is missing or empty, and the high-water mark, which says what it contained, is \
                damaged",
        ),
        (MarkFound::Mark(reached), _) if !reached.is_start() => {
            without(Damage::problem("the database is missing or empty"), Some(*reached))
        }
        (_, Some(because)) => Damage::problem(format!("the database is missing or empty, but {because}")),
        _ => Damage::default(),
    };
    Inspected { content: None, mark: reached, damage }
}

/// A database in the current format.
fn current(mut log: Box<SqliteLog>, mark: &MarkFound, files: &Files) -> Result<Inspected, LogError> {
    let (loaded, mut damage) = Loaded::read(&mut *log)?;
    let mark_path = files.mark.display();
    let reached = match *mark {
        MarkFound::Nothing => {
            damage.problems.push(format!(
                "the high-water mark {mark_path} is missing: it is unknown whether the newest writes are \
                    there"
            ));
            None
        }
        MarkFound::Damaged => {
            damage.problems.push(format!(
                "the high-water mark {mark_path} is damaged: it is unknown whether the newest writes are \
                    there"
            ));
            None
        }
        MarkFound::Mark(reached) => Some(reached),
    };
    if let Some(reached) = reached {
        if log.cluster().is_some_and(|cluster| cluster != reached.cluster) {
            let text = format!("the database and the high-water mark {mark_path} are of different clusters");
            damage.problems.push(text);
        } else if reached.revision > log.newest() {
            damage.tail = Some((log.newest().next(), reached.revision));
        } else if log.cluster().is_some() && reached.lease_changes > log.lease_changes() {
            damage.problems.push("the newest changes of leases are missing".into());
        }
    }
    Ok(Inspected { content: Some((log, loaded)), mark: reached, damage })
}

/// The damage of a completely unreadable store.
fn without(damage: Damage, reached: Option<Reached>) -> Damage {
    let tail = reached.filter(|reached| reached.revision > Revision::EMPTY);
    Damage { tail: tail.map(|reached| (Revision::EMPTY.next(), reached.revision)), ..damage }
}

/// Creates an empty store. The mark comes first, because a database without one is refused.
fn create(
    files: &Files,
    mark: Option<Reached>,
    options: &Options,
) -> Result<(Box<SqliteLog>, Loaded), LogError> {
    let cluster = mark.map_or_else(|| options.clock.uuid().as_u128(), |mark| mark.cluster);
    if mark.is_none() {
        mark::write(&files.mark, Reached::start(cluster, Revision::EMPTY))?;
    }
    let mut log = Box::new(SqliteLog::create(&files.database, cluster)?);
    let (loaded, _) = Loaded::read(&mut *log)?;
    Ok((log, loaded))
}
