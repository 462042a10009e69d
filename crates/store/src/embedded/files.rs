//! The files of a store, and what was found in them.

use std::path::{Path, PathBuf};
use std::{fs, io};

use super::loaded::Loaded;
use crate::damage::Damage;
use crate::disk::sync_name;
use crate::log::SqliteLog;
use crate::mark::Reached;

/// The paths of the files.
pub(super) struct Files {
    pub(super) database: PathBuf,
    pub(super) mark: PathBuf,
}

impl Files {
    pub(super) fn wal(&self) -> PathBuf {
        wal_of(&self.database)
    }
}

/// The path of a database's write-ahead log.
pub(super) fn wal_of(database: &Path) -> PathBuf {
    beside(database, "-wal")
}

/// The existing files.
pub(super) struct Inspected {
    /// The log and its content; `None` if it does not exist, or nothing in it can be read.
    pub(super) content: Option<(Box<SqliteLog>, Loaded)>,
    pub(super) mark: Option<Reached>,
    pub(super) damage: Damage,
}

/// A path with something appended to its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Removes a file that need not be there, durably.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_name(path),
    }
}
