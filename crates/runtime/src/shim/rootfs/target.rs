//! Mount targets inside a container's root, found and created without leaving it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::Result;
use crate::shim::error::{Context, StartError};
use crate::shim::procfs;

/// How many parts of a destination are made, or links followed, before it is refused.
const ROUNDS_MAX: usize = 256;

/// Links are followed, but not out of the root, and not through the open files of a process.
pub(super) const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
/// No link is followed.
pub(super) const PLAIN: ResolveFlags = INSIDE.union(ResolveFlags::NO_SYMLINKS);

/// Opens a place inside the root, whatever it is, for reference only: nothing happens to a device or a FIFO.
pub(super) fn open(root: BorrowedFd<'_>, path: &str, resolve: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { "." } else { path };
    rustix::fs::openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Opens the path inside the root, creating missing parts.
pub(super) fn make(
    root: BorrowedFd<'_>,
    path: &str,
    directory: bool,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    let mut parts = split(path);
    if parts.iter().any(|part| part == "..") {
        return Err(StartError::Invalid(format!("the path {path} leaves its directory")));
    }
    // Each round creates one missing part, or replaces a dangling link with its target.
    for _ in 0..ROUNDS_MAX {
        match open(root, &parts.join("/"), resolve) {
            Err(Errno::NOENT) => {}
            result => return result.step(|| format!("open {path} in the container")),
        }
        let fails = || format!("make {path} in the container");
        let mut parent = open(root, "", resolve).step(fails)?;
        let mut index = 0;
        while let Ok(next) = open(root, &parts[..=index].join("/"), resolve) {
            parent = next;
            index += 1;
        }
        if procfs::is_procfs(&parent).step(fails)? {
            return Err(StartError::InsideProc(path.to_owned()));
        }
        let part = parts[index].as_str();
        let made = if directory || index + 1 < parts.len() {
            rustix::fs::mkdirat(&parent, part, Mode::from_raw_mode(0o755))
        } else {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(&parent, part, flags, Mode::from_raw_mode(0o644)).map(drop)
        };
        match made {
            Ok(()) => {}
            Err(Errno::EXIST) if !resolve.contains(ResolveFlags::NO_SYMLINKS) => {
                match rustix::fs::readlinkat(&parent, part, Vec::new()) {
                    Ok(link) => parts = redirect(&parts, index, &link.to_string_lossy()),
                    // Another process has created it in the meantime, or removed the link: check again.
                    Err(Errno::INVAL | Errno::NOENT) => {}
                    Err(error) => return Err(error).step(fails),
                }
            }
            Err(error) => return Err(error).step(fails),
        }
    }
    Err(StartError::Invalid(format!("too many links in {path}")))
}

/// The parts of a path.
pub(super) fn split(path: &str) -> Vec<String> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
}

/// The path after the part at `index` turned out to be a link. Steps up stop at the root.
fn redirect(parts: &[String], index: usize, link: &str) -> Vec<String> {
    let mut new = if link.starts_with('/') { Vec::new() } else { parts[..index].to_vec() };
    for part in split(link) {
        if part == ".." {
            new.pop();
        } else {
            new.push(part);
        }
    }
    new.extend_from_slice(&parts[index + 1..]);
    new
}

/// Whether it is a directory.
pub(super) fn is_directory(file: impl AsFd) -> rustix::io::Result<bool> {
    Ok(FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode) == FileType::Directory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn root(path: &std::path::Path) -> OwnedFd {
        rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    #[test]
    fn links_are_followed_below_the_root() {
        let to = |path: &str, index, link: &str| redirect(&split(path), index, link).join("/");
        assert_eq!(to("/var/run/secrets", 1, "/run"), "run/secrets");
        assert_eq!(to("/var/run/secrets", 1, "../run"), "run/secrets");
        assert_eq!(to("/var/run/secrets", 1, "../../../etc"), "etc/secrets");
        assert_eq!(to("/a/b", 1, "./c"), "a/c");
    }

    #[test]
    fn what_is_missing_is_made_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        let inside = dir.path().join("root");
        std::fs::create_dir_all(&outside).unwrap();
        std::fs::create_dir_all(inside.join("var")).unwrap();
        symlink("/run", inside.join("var/run")).unwrap();
        symlink(&outside, inside.join("escape")).unwrap();
        let root = root(&inside);
        let at = |path, directory| make(root.as_fd(), path, directory, INSIDE).map(drop);
        at("/var/run/secrets/token", false).unwrap();
        assert!(inside.join("run/secrets/token").is_file());
        at("/escape/directory", true).unwrap();
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        assert!(at("/a/../../b", true).is_err());
        symlink("loop", inside.join("loop")).unwrap();
        assert!(at("/loop/x", true).is_err());
        assert!(make(root.as_fd(), "/var/run", true, PLAIN).is_err());
    }

    #[test]
    fn open_files_of_a_process_are_no_way_out() {
        let root = root(std::path::Path::new("/"));
        let number = std::os::fd::AsRawFd::as_raw_fd(&root);
        let path = format!("proc/{}/fd/{number}", std::process::id());
        assert!(open(root.as_fd(), &path, INSIDE).is_err());
        assert!(make(root.as_fd(), &path, true, INSIDE).is_err());
    }
}
