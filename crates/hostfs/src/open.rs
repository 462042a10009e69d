//! Opening untrusted files.
//!
//! A file is opened twice: first only as a path (`O_PATH`), which neither waits for the other end of a FIFO nor
//! activates a device; then, if it is a regular file, for use.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Opens a directory to look paths up in. The path itself must be trusted.
pub fn open_root(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Opens `path` inside `root`. Symbolic links, absolute ones and `..` included, are followed as if the root were the
/// process's own root, so none leads out of it.
pub fn open(root: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b".".as_slice() } else { path };
    rustix::fs::openat2(
        root,
        c_string(path)?,
        flags | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    )
}

/// Opens a directory for lookups in it (`O_PATH`), as [`open`] does.
pub fn open_directory(root: impl AsFd, path: &[u8]) -> Result<OwnedFd, Errno> {
    open(root, path, OFlags::PATH | OFlags::DIRECTORY)
}

/// Reads a regular file inside `root`, as [`open`] finds it; content beyond `bytes_max` is cut off.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for anything that is not a regular file.
pub fn read_file(root: impl AsFd, path: &[u8], bytes_max: u64) -> io::Result<Vec<u8>> {
    // By the path again, and looked at again: there may be no `/proc` to be trusted where this runs.
    check_regular(&open(&root, path, OFlags::PATH)?)?;
    let file = open(&root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    check_regular(&file)?;
    head_of(file.into(), bytes_max)
}

/// Opens a regular file for reading, or for appending with `flags`. `path` is below `root`, which is trusted; no link
/// is followed on the way.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for anything that is not a regular file, `ELOOP` for a link.
pub fn open_regular(root: &Path, path: &Path, flags: OFlags) -> io::Result<File> {
    let root = open_root(root)?;
    let name = c_string(path.as_os_str().as_bytes())?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags_of_name = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let place = rustix::fs::openat2(&root, name, flags_of_name, Mode::empty(), resolve)?;
    regular(&place, flags)
}

/// Opens a directory below a trusted one, for lookups in it. No link is followed on the way.
pub fn open_subdirectory(root: &Path, path: &Path) -> io::Result<OwnedFd> {
    let root = open_root(root)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(rustix::fs::openat2(&root, c_string(path.as_os_str().as_bytes())?, flags, Mode::empty(), resolve)?)
}

/// Opens the regular file of this name in a directory for appending, and creates it with `mode` if there is none.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] for anything that is not a regular file, including links.
pub fn append_regular(directory: impl AsFd, name: &[u8], mode: u32) -> io::Result<File> {
    let name = c_string(name)?;
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
    let make = flags | OFlags::CREATE | OFlags::EXCL;
    match rustix::fs::openat(&directory, &name, make, Mode::from_raw_mode(mode)) {
        Err(Errno::EXIST) => {}
        made => return Ok(made?.into()),
    }
    let as_name = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    regular(&rustix::fs::openat(&directory, &name, as_name, Mode::empty())?, flags)
}

/// Reads a regular file below a trusted directory, as [`open_regular`] finds it. More than `bytes_max` is an error.
pub fn read_regular(root: &Path, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let bytes = head_of(open_regular(root, path, OFlags::RDONLY)?, bytes_max + 1)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {bytes_max} bytes")));
    }
    Ok(bytes)
}

/// The end of a regular file, at most `bytes_max` bytes. The directory that the file is in is trusted, its name is not.
pub fn read_tail(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file"));
    };
    tail_of(&mut open_regular(parent, Path::new(name), OFlags::RDONLY)?, bytes_max)
}

/// The end of an open file, at most `bytes_max` bytes, however it grows or shrinks in the meantime.
pub fn tail_of(file: &mut File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes_max)))?;
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn head_of(file: File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens an `O_PATH` descriptor for use, if it is a regular file.
fn regular(place: &OwnedFd, flags: OFlags) -> io::Result<File> {
    check_regular(place)?;
    let again = format!("/proc/self/fd/{}", place.as_raw_fd());
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, again, flags, Mode::empty())?.into())
}

fn check_regular(file: &OwnedFd) -> io::Result<()> {
    match FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode) {
        FileType::RegularFile => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file")),
    }
}

/// A C string, or the error that the kernel would give for a path that cannot exist.
pub fn c_string(bytes: &[u8]) -> Result<CString, Errno> {
    CString::new(bytes).map_err(|_| Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn fifo(path: &Path) {
        rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

    #[test]
    fn links_stay_inside() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/passwd"), "inside").unwrap();
        std::fs::write(directory.path().join("secret"), "outside").unwrap();
        symlink("/etc", root.join("absolute")).unwrap();
        symlink("../secret", root.join("up")).unwrap();
        fifo(&root.join("fifo"));
        let root = open_root(&root).unwrap();
        assert_eq!(read_file(&root, b"absolute/passwd", 100).unwrap(), b"inside");
        assert_eq!(read_file(&root, b"/../../absolute/passwd", 3).unwrap(), b"ins");
        for path in [&b"up"[..], b"etc", b"fifo"] {
            assert!(read_file(&root, path, 100).is_err());
        }
    }

    #[test]
    fn only_regular_files_are_opened() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::write(root.join("file"), "0123456789").unwrap();
        std::fs::create_dir(root.join("directory")).unwrap();
        symlink("file", root.join("link")).unwrap();
        symlink("directory", root.join("through")).unwrap();
        std::fs::write(root.join("directory/inner"), "x").unwrap();
        symlink("/dev/zero", root.join("zero")).unwrap();
        fifo(&root.join("fifo"));
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        assert_eq!(read_tail(&root.join("file"), 4).unwrap(), b"6789");
        assert_eq!(read_tail(&root.join("file"), 100).unwrap(), b"0123456789");
        assert_eq!(read_regular(root, Path::new("directory/inner"), 1).unwrap(), b"x");
        let too_large = read_regular(root, Path::new("file"), 9).unwrap_err();
        assert_eq!(too_large.kind(), io::ErrorKind::FileTooLarge);
        for name in ["directory", "link", "zero", "fifo", "socket", "missing"] {
            assert!(read_tail(&root.join(name), 4).is_err(), "{name}");
            assert!(read_regular(root, Path::new(name), 4).is_err(), "{name}");
        }
        assert!(read_regular(root, Path::new("through/inner"), 4).is_err());
        assert!(read_regular(root, Path::new("../etc/passwd"), 4).is_err());
        assert!(open_subdirectory(root, Path::new("directory")).is_ok());
        assert!(open_subdirectory(root, Path::new("through")).is_err());
        assert!(read_tail(Path::new("/dev/zero"), 4).is_err());
    }

    #[test]
    fn a_sparse_file_costs_no_more_than_its_tail() {
        let directory = tempfile::tempdir().unwrap();
        let file = File::create(directory.path().join("sparse")).unwrap();
        file.set_len(1 << 42).unwrap();
        assert_eq!(read_tail(&directory.path().join("sparse"), 4096).unwrap(), vec![0; 4096]);
    }

    #[test]
    fn appending_neither_follows_links_nor_waits() {
        use std::io::Write;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::write(root.join("victim"), "").unwrap();
        symlink("victim", root.join("link")).unwrap();
        symlink("new", root.join("dangling")).unwrap();
        fifo(&root.join("fifo"));
        let handle = open_root(root).unwrap();
        for name in [&b"link"[..], b"dangling", b"fifo"] {
            assert!(append_regular(&handle, name, 0o640).is_err());
        }
        assert!(!root.join("new").exists());
        for text in ["one", "two"] {
            append_regular(&handle, b"log", 0o640).unwrap().write_all(text.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read(root.join("log")).unwrap(), b"onetwo");
    }
}
