//! The directory that an embedded store owns: its mode, its lock, its files.

use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::OpenError;
use super::space::is_of_space;
use crate::disk::sync_name;

/// A directory that no other process has open as a store. The lock ends with the value, or the process.
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Creates the directory if necessary, closes it to other users and locks it.
    pub(super) fn lock(path: &Path) -> Result<Directory, OpenError> {
        let failed = |source| OpenError::Directory { path: path.to_owned(), source };
        create_durably(path).map_err(failed)?;
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { path: path.to_owned(), process: read_process(lock) });
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        match note_process(&lock) {
            // It is used only in a message.
            Err(error) if is_of_space(&error) => {}
            noted => noted.map_err(failed)?,
        }
        Ok(Directory { path: path.to_owned(), _lock: lock })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the database.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join("state.db")
    }
}

/// Makes a directory and its parents so that their names survive a crash of the machine.
fn create_durably(path: &Path) -> io::Result<()> {
    let missing: Vec<_> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    missing.into_iter().try_for_each(sync_name)
}

/// Writes our process id into the lock file, for the message that another process gets.
fn note_process(mut lock: &File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

fn read_process(mut lock: File) -> String {
    let mut process = String::new();
    match lock.read_to_string(&mut process) {
        Ok(1..) => process.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}
