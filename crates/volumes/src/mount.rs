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

/// Removes a directory with all in it, but refuses to go into another file system. That it is gone is fine.
pub(crate) fn remove_tree(path: &Path) -> Result<(), VolumeError> {
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(VolumeError::io("look at", path))?,
    };
    remove_on_device(path, meta.dev()).map_err(VolumeError::io("remove", path))
}

fn remove_on_device(path: &Path, device: u64) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    if meta.dev() != device {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, format!("{} is a mount", path.display())));
    }
    if !meta.is_dir() {
        return fs::remove_file(path);
    }
    for entry in fs::read_dir(path)? {
        remove_on_device(&entry?.path(), device)?;
    }
    fs::remove_dir(path)
}
