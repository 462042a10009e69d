//! Paths inside a root directory that nobody trusts.
//!
//! Every lookup is `openat2` with `RESOLVE_IN_ROOT`: symbolic links, absolute ones and `..` included, are
//! followed as if the root were the process's own root, so none leads out of it.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Opens a directory to look paths up in.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens `path` inside `root`, following symbolic links inside it.
pub(crate) fn open(root: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    rustix::fs::openat2(
        root,
        c_string(path)?,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Opens a directory for lookups in it (`O_PATH`).
pub(crate) fn open_directory(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    open(root, path, OFlags::PATH | OFlags::DIRECTORY)
}

/// Reads a regular file of at most `bytes_max` bytes; what is longer is cut off.
pub(crate) fn read_file(root: impl AsFd, path: &[u8], bytes_max: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    // Without waiting, in case that someone put a FIFO there.
    let file = open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The parts of a path, cleaned of `.`, `..` and empty ones; `None` if it leads above its beginning.
pub(crate) fn clean(path: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts)
}

/// A path for calls that have no `*at` form: through `/proc`, the last component is not followed by calls
/// that do not follow links.
pub(crate) fn descriptor_path(directory: impl AsFd, name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_fd().as_raw_fd()));
    path.push(std::ffi::OsStr::from_bytes(name));
    path
}

/// A C string, or the error that the kernel would give for a path that cannot exist.
pub(crate) fn c_string(bytes: &[u8]) -> Result<CString, Errno> {
    CString::new(bytes).map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleans_paths() {
        let clean = |path: &str| clean(path.as_bytes()).map(|parts| parts.join(&b'/'));
        assert_eq!(clean("./a//b/../c/").unwrap(), b"a/c");
        assert_eq!(clean("/").unwrap(), b"");
        assert_eq!(clean("/a/../../b"), None);
        assert_eq!(clean(".."), None);
    }

    #[test]
    fn links_stay_inside() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/passwd"), "inside").unwrap();
        std::fs::write(directory.path().join("secret"), "outside").unwrap();
        std::os::unix::fs::symlink("/etc", root.join("absolute")).unwrap();
        std::os::unix::fs::symlink("../secret", root.join("up")).unwrap();
        let root = open_root(&root).unwrap();
        assert_eq!(read_file(&root, b"absolute/passwd", 100).unwrap(), b"inside");
        assert_eq!(read_file(&root, b"/../../absolute/passwd", 3).unwrap(), b"ins");
        assert!(read_file(&root, b"up", 100).is_err());
        assert!(read_file(&root, b"etc", 100).is_err());
    }
}
