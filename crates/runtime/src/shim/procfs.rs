//! A `/proc` that no other process can have changed.
//!
//! The owner of a mount namespace decides what is mounted on `/proc` and on paths below it; inside a container that is
//! the container. Parameters and attributes that are written through such a path may end up in another file. This mount
//! is detached: nothing can be mounted over any part of it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

/// A procfs mount of the calling process's own, for its process id namespace.
pub(crate) struct Procfs(OwnedFd);

impl Procfs {
    /// Makes the mount.
    pub(crate) fn new() -> io::Result<Procfs> {
        let context = rustix::mount::fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        rustix::mount::fsconfig_create(context.as_fd())?;
        let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let mount = rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        Ok(Procfs(mount))
    }

    /// Opens a file below the mount. No link is followed, the links to open files least of all.
    pub(crate) fn open(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let file = rustix::fs::openat2(&self.0, path, flags, Mode::empty(), resolve)?;
        if !is_procfs(&file)? {
            return Err(io::Error::other("not a file of procfs"));
        }
        Ok(file)
    }

    /// Writes a value in a single write, as the kernel's parameters require.
    pub(crate) fn write(&self, path: &str, value: &str) -> io::Result<()> {
        let file = self.open(path, OFlags::WRONLY)?;
        write_whole(&file, value)
    }
}

/// Writes a value with one system call.
pub(crate) fn write_whole(file: impl AsFd, value: &str) -> io::Result<()> {
    let count = rustix::io::write(file, value.as_bytes())?;
    match count == value.len() {
        true => Ok(()),
        false => Err(io::Error::from(io::ErrorKind::WriteZero)),
    }
}

/// Whether a file is one of procfs.
pub(crate) fn is_procfs(file: impl AsFd) -> rustix::io::Result<bool> {
    Ok(rustix::fs::fstatfs(file)?.f_type == rustix::fs::PROC_SUPER_MAGIC)
}
