//! Removes trees with any content.
//!
//! A container may nest directories deeper than the maximum length of a path, the number of descriptors of a process,
//! or a thread's stack allow. So there is no recursion: directories that are not empty are moved up to the tree's root,
//! one level after the other, and emptied there.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use crate::open::open_root;

/// How deep directories may be where they cannot be moved: each of them is held open.
const DEPTH_MAX: usize = 512;

/// Removes a file, or a directory with its contents; it is not an error if it is gone already. Nothing on another file
/// system is touched. The directory that `path` is in is trusted. Blocks.
///
/// # Errors
/// The kernel's errors; `EBUSY` or `EXDEV` if something is mounted in the tree.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = match open_root(parent) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    if remove_file(parent.as_fd(), name)? {
        return Ok(());
    }
    match open_child(parent.as_fd(), name) {
        Err(Errno::NOENT) => return Ok(()),
        top => Emptier { top: top?, moved: 0 }.empty()?,
    }
    match rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR) {
        Err(Errno::NOENT) => Ok(()),
        result => Ok(result?),
    }
}

/// Unlinks anything that is not a directory. Returns false if it is one.
fn remove_file<P: rustix::path::Arg>(directory: BorrowedFd<'_>, name: P) -> Result<bool, Errno> {
    match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(error) => Err(error),
    }
}

fn open_child<P: rustix::path::Arg>(directory: BorrowedFd<'_>, name: P) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(directory, name, flags, Mode::empty(), ResolveFlags::NO_XDEV)
}

struct Emptier {
    top: OwnedFd,
    /// How many directories were moved up: part of their names.
    moved: u64,
}

impl Emptier {
    /// Empties the root. Entries that are moved up while the directory is read may be missed, so it is read until it is
    /// empty.
    fn empty(&mut self) -> Result<(), Errno> {
        loop {
            let mut any = false;
            for entry in Dir::read_from(&self.top)? {
                let entry = entry?;
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                any = true;
                if !remove_file(self.top.as_fd(), name)? && !remove_empty(self.top.as_fd(), name)? {
                    self.empty_child(name)?;
                    remove_empty(self.top.as_fd(), name)?;
                }
            }
            if !any {
                return Ok(());
            }
        }
    }

    /// Empties a directory of the root, moving up the content of its subdirectories.
    fn empty_child(&mut self, name: &CStr) -> Result<(), Errno> {
        let child = open_child(self.top.as_fd(), name)?;
        for entry in Dir::read_from(&child)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") || remove_file(child.as_fd(), name)? {
                continue;
            }
            if remove_empty(child.as_fd(), name)? {
                continue;
            }
            match self.move_up(child.as_fd(), name) {
                // Entries of a lower overlay layer stay in place.
                Err(Errno::XDEV) => descend(child.as_fd(), name)?,
                result => result?,
            }
        }
        Ok(())
    }

    fn move_up(&mut self, from: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        loop {
            let to = format!(".removed-{}", self.moved);
            self.moved += 1;
            match rustix::fs::renameat_with(from, name, &self.top, to.as_str(), RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                result => return result,
            }
        }
    }
}

/// Removes a directory from below, where its own ones cannot be moved.
fn descend(parent: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
    let mut open: Vec<(OwnedFd, CString)> = vec![(open_child(parent, name)?, name.to_owned())];
    while let Some((place, _)) = open.last() {
        if let Some(next) = empty_but_for(place)? {
            if open.len() >= DEPTH_MAX {
                return Err(Errno::NAMETOOLONG);
            }
            open.push((open_child(place.as_fd(), next.as_c_str())?, next));
        } else if let Some((_, name)) = open.pop() {
            let above = open.last().map_or(parent, |(place, _)| place.as_fd());
            remove_empty(above, &name)?;
        }
    }
    Ok(())
}

/// Empties a directory until a directory is found that is not empty.
fn empty_but_for(place: &OwnedFd) -> Result<Option<CString>, Errno> {
    for entry in Dir::read_from(place)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_own = matches!(name.to_bytes(), b"." | b"..");
        if !is_own && !remove_file(place.as_fd(), name)? && !remove_empty(place.as_fd(), name)? {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

/// Removes a directory if it is empty. False if it is not.
fn remove_empty(directory: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    match rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rustix::fs::mkdirat;

    /// Makes directories in each other, by descriptors, since no path would be that long.
    pub(crate) fn nest(root: &Path, levels: usize, bottom: impl FnOnce(&OwnedFd)) {
        let mut place = open_root(root).unwrap();
        for _ in 0..levels {
            mkdirat(&place, "d", Mode::from_raw_mode(0o755)).unwrap();
            place = open_child(place.as_fd(), "d").unwrap();
        }
        bottom(&place);
    }

    #[test]
    fn deep_trees_go() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("tree");
        std::fs::create_dir(&root).unwrap();
        nest(&root, 6_000, |bottom| {
            crate::append_regular(bottom, b"file", 0o600).unwrap();
        });
        // Names that stand in the way.
        std::fs::create_dir_all(root.join(".removed-0/x/y")).unwrap();
        remove_tree(&root).unwrap();
        assert!(!root.exists());
        remove_tree(&root).unwrap();
    }

    #[test]
    fn what_cannot_be_moved_is_removed_from_below() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("tree");
        for path in ["a/b/c", "a/d", "e/f"] {
            std::fs::create_dir_all(root.join(path)).unwrap();
            std::fs::write(root.join(path).join("file"), "").unwrap();
        }
        let parent = open_root(directory.path()).unwrap();
        descend(parent.as_fd(), c"tree").unwrap();
        assert!(!root.exists());
        std::fs::create_dir(&root).unwrap();
        nest(&root, DEPTH_MAX + 10, |_| {});
        // Refused, and not a stack that overflows.
        assert_eq!(descend(parent.as_fd(), c"tree"), Err(Errno::NAMETOOLONG));
        remove_tree(&root).unwrap();
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (kept, tree) = (directory.path().join("kept"), directory.path().join("tree"));
        std::fs::create_dir_all(&kept).unwrap();
        std::fs::write(kept.join("file"), "").unwrap();
        std::fs::create_dir_all(tree.join("a/b")).unwrap();
        std::os::unix::fs::symlink(&kept, tree.join("a/b/link")).unwrap();
        std::os::unix::fs::symlink(&kept, tree.join("link")).unwrap();
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && kept.join("file").exists());
        std::os::unix::fs::symlink(&kept, &tree).unwrap();
        remove_tree(&tree).unwrap();
        assert!(tree.symlink_metadata().is_err() && kept.join("file").exists());
    }
}
