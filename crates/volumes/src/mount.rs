//! Mounts, and the removal of directories that may have mounts in them.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags};

use crate::VolumeError;

/// Whether something is mounted on the directory; `false` if it does not exist.
pub(crate) fn is_mount_point(path: &Path) -> io::Result<bool> {
    let own = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let parent = fs::metadata(path.parent().unwrap_or(path))?;
    Ok(own.dev() != parent.dev())
}

/// Mounts a tmpfs of at most `size_bytes` (the kernel's default of half the memory if `None`).
pub(crate) fn mount_tmpfs(path: &Path, size_bytes: Option<i64>) -> Result<(), VolumeError> {
    let size = size_bytes.map(|bytes| format!(",size={bytes}")).unwrap_or_default();
    let options = CString::new(format!("mode=0777{size}")).expect("the text has no NUL");
    rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::empty(), options.as_c_str())
        .map_err(|error| VolumeError::io("mount a tmpfs on", path)(error.into()))
}

/// Unmounts until nothing is mounted on the directory.
pub(crate) fn unmount(path: &Path) -> Result<(), VolumeError> {
    while is_mount_point(path).map_err(VolumeError::io("look at", path))? {
        rustix::mount::unmount(path, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH)
            .map_err(|error| VolumeError::io("unmount", path)(error.into()))?;
    }
    Ok(())
}

/// Removes a directory with its contents, but refuses to enter another file system. It is not an error if it is gone
/// already.
pub(crate) fn remove_tree(path: &Path) -> Result<(), VolumeError> {
    hostfs::remove_tree(path).map_err(VolumeError::io("remove", path))
}
