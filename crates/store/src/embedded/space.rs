//! Handling of a full disk.
//!
//! A reserve file holds space for that moment. When a write finds the disk full, the reserve is released to the file
//! system, and from then on only writes that free space are accepted: deletions, and writes that lead to them.
//! Everything else is refused until the reserve can be created again, which each write tries before it is refused.
//! Nothing polls.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate, fstatvfs};

/// The reserve of a store, or its absence.
pub(super) struct Space {
    /// No reserve: a store without a disk.
    path: Option<PathBuf>,
    bytes: u64,
    is_full: bool,
}

impl Space {
    /// The reserve of a store without a disk.
    pub(super) fn unlimited() -> Space {
        Space { path: None, bytes: 0, is_full: false }
    }

    /// Creates a reserve of this size at `path`, or finds that the disk is full.
    pub(super) fn reserve(path: PathBuf, bytes: u64) -> io::Result<Space> {
        let mut space = Space { path: Some(path), bytes, is_full: true };
        space.try_reserve()?;
        if space.is_full {
            tracing::warn!(
                reserve_bytes = bytes,
                "the disk is full: until there is space again, only writes that free space are accepted"
            );
        }
        Ok(space)
    }

    /// Whether only writes that make space are taken.
    pub(super) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Releases the reserve, because the disk is full; returns false if that was done before.
    pub(super) fn release(&mut self) -> bool {
        let Some(path) = self.path.as_deref().filter(|_| !self.is_full) else { return false };
        self.is_full = true;
        tracing::error!(
            "the disk is full: until there is space again, only writes that free space are accepted"
        );
        if let Err(error) = std::fs::remove_file(path) {
            tracing::error!(%error, path = %path.display(), "cannot release the reserve");
        }
        true
    }

    /// Checks whether there is space again.
    pub(super) fn recover(&mut self) {
        match self.try_reserve() {
            Ok(()) if !self.is_full => tracing::info!("the disk has space again"),
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "cannot create the reserve for a full disk"),
        }
    }

    fn try_reserve(&mut self) -> io::Result<()> {
        let Some(path) = self.path.as_deref().filter(|_| self.is_full) else { return Ok(()) };
        if std::fs::metadata(path).is_ok_and(|found| found.len() == self.bytes) {
            self.is_full = false;
            return Ok(());
        }
        match allocate(path, self.bytes) {
            Ok(is_done) => {
                self.is_full = !is_done;
                Ok(())
            }
            Err(error) if is_of_space(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Creates a file with this number of allocated bytes; returns false if there is not enough space for it and some more.
fn allocate(path: &Path, bytes: u64) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let disk = fstatvfs(File::open(parent)?)?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < bytes + bytes / 4 {
        return Ok(false);
    }
    let partial = super::files::beside(path, ".unfinished");
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial)?;
    let made = fallocate(&file, FallocateFlags::empty(), 0, bytes).map_err(io::Error::from);
    let made = match made {
        // The file system does not support it: written zeros allocate the space too.
        Err(error) if error.kind() == io::ErrorKind::Unsupported => write_zeros(&file, bytes),
        made => made,
    };
    if let Err(error) = made {
        std::fs::remove_file(&partial)?;
        return Err(error);
    }
    std::fs::rename(&partial, path)?;
    Ok(true)
}

fn write_zeros(mut file: &File, bytes: u64) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0), bytes), &mut file).map(drop)
}

/// Whether an error means that there is no space, for this user or at all.
pub(super) fn is_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
