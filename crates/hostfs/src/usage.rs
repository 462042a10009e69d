//! Bytes and inodes of a directory tree.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::open::open_root;

/// The disk usage of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Allocated bytes.
    pub bytes: u64,
    /// Inodes, hard links counted once.
    pub inodes: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.bytes += other.bytes;
        self.inodes += other.inodes;
    }
}

/// How much work a measurement may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long it may take.
    pub time: Duration,
    /// How many directories may be known and not looked into yet, and how many hard links are remembered.
    pub waiting_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { time: Duration::from_secs(60), waiting_max: 500_000 }
    }
}

/// The result of a measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The result.
    pub usage: Usage,
    /// All was seen. If not, the tree takes at least so much.
    pub complete: bool,
}

/// The longest path that is looked up at once; below that a directory is held open and looked up from.
const PATH_BYTES_MAX: usize = 1024;
/// How many directories are held open at most.
const ANCHORS_MAX: u32 = 256;
/// After how many entries the time is looked at.
const CLOCK_EVERY: u32 = 512;

/// A directory that is to be looked into, by its path from one that is open.
struct Waiting {
    anchor: Rc<OwnedFd>,
    path: Vec<u8>,
    /// How many open directories lie on the way to the anchor.
    depth: u32,
}

/// Measures the tree below `root`, including itself; other file systems in it do not count, nor do entries that vanish
/// in the meantime. No link is followed. Blocks.
///
/// # Errors
/// That the root cannot be looked at.
pub fn measure(root: &Path, limits: Limits) -> io::Result<Measured> {
    let top = open_root(root)?;
    let mut walk = Walk {
        measured: Measured { usage: Usage::default(), complete: true },
        linked: HashSet::new(),
        waiting: Vec::new(),
        seen: 0,
        until: Instant::now().checked_add(limits.time),
        limits,
    };
    walk.count(&rustix::fs::fstat(&top)?);
    walk.waiting.push(Waiting { anchor: Rc::new(top), path: b".".to_vec(), depth: 0 });
    while let Some(next) = walk.waiting.pop() {
        if !walk.look_into(next) {
            walk.measured.complete = false;
            break;
        }
    }
    Ok(walk.measured)
}

struct Walk {
    measured: Measured,
    linked: HashSet<(u64, u64)>,
    waiting: Vec<Waiting>,
    seen: u32,
    /// `None` for no limit.
    until: Option<Instant>,
    limits: Limits,
}

impl Walk {
    fn count(&mut self, stat: &Stat) {
        // Blocks are of 512 bytes whatever the file system's own are.
        let bytes = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        self.measured.usage += Usage { bytes, inodes: 1 };
    }

    /// Counts the entries of a directory. False when the time is up.
    fn look_into(&mut self, place: Waiting) -> bool {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let opened =
            rustix::fs::openat2(place.anchor.as_fd(), place.path.as_slice(), flags, Mode::empty(), resolve);
        let directory = match opened {
            Ok(directory) => Rc::new(directory),
            Err(error) => {
                // It is gone, or was replaced; any other error hides its content.
                self.measured.complete &=
                    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV);
                return true;
            }
        };
        let Ok(entries) = Dir::read_from(&*directory) else {
            self.measured.complete = false;
            return true;
        };
        for entry in entries {
            self.seen += 1;
            if self.seen.is_multiple_of(CLOCK_EVERY)
                && self.until.is_some_and(|until| Instant::now() >= until)
            {
                return false;
            }
            let Ok(entry) = entry else {
                self.measured.complete = false;
                break;
            };
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            if let Ok(stat) = rustix::fs::statat(&*directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                self.entry(&place, &directory, name.to_bytes(), &stat);
            }
        }
        true
    }

    fn entry(&mut self, parent: &Waiting, directory: &Rc<OwnedFd>, name: &[u8], stat: &Stat) {
        if FileType::from_raw_mode(stat.st_mode).is_dir() {
            self.count(stat);
            self.wait(parent, directory, name);
            return;
        }
        if stat.st_nlink > 1 {
            if self.linked.len() >= self.limits.waiting_max {
                // Better to count a file twice than never.
                self.measured.complete = false;
            } else if !self.linked.insert((stat.st_dev, stat.st_ino)) {
                return;
            }
        }
        self.count(stat);
    }

    fn wait(&mut self, parent: &Waiting, directory: &Rc<OwnedFd>, name: &[u8]) {
        let is_short = parent.path.len() + name.len() < PATH_BYTES_MAX;
        let (anchor, path, depth) = match is_short {
            true => (Rc::clone(&parent.anchor), [parent.path.as_slice(), b"/", name].concat(), parent.depth),
            false => (Rc::clone(directory), name.to_vec(), parent.depth + 1),
        };
        if self.waiting.len() >= self.limits.waiting_max || depth > ANCHORS_MAX {
            self.measured.complete = false;
            return;
        }
        self.waiting.push(Waiting { anchor, path, depth });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_measured_without_following_links() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/file"), vec![1; 100_000]).unwrap();
        std::fs::hard_link(root.join("a/b/file"), root.join("again")).unwrap();
        std::os::unix::fs::symlink("/", root.join("everything")).unwrap();
        let measured = measure(&root, Limits::default()).unwrap();
        assert!(measured.complete);
        assert_eq!(measured.usage.inodes, 5);
        assert!((100_000..200_000).contains(&measured.usage.bytes), "{measured:?}");
        assert!(measure(&root.join("none"), Limits::default()).is_err());
    }

    #[test]
    fn what_lies_deeper_than_a_path_is_long_counts() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("root");
        std::fs::create_dir(&root).unwrap();
        crate::remove::tests::nest(&root, 3_000, |bottom| {
            use std::io::Write;
            let mut file = crate::append_regular(bottom, b"file", 0o600).unwrap();
            file.write_all(&vec![1; 1_000_000]).unwrap();
        });
        let measured = measure(&root, Limits::default()).unwrap();
        crate::remove_tree(&root).unwrap();
        assert!(measured.complete && measured.usage.inodes == 3_002, "{measured:?}");
        assert!(measured.usage.bytes >= 1_000_000, "{measured:?}");
    }

    #[test]
    fn time_and_memory_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..1500 {
            std::fs::create_dir(directory.path().join(number.to_string())).unwrap();
        }
        let no_time = Limits { time: Duration::ZERO, ..Limits::default() };
        let measured = measure(directory.path(), no_time).unwrap();
        assert!(
            !measured.complete && measured.usage.inodes > 1 && measured.usage.inodes < 1500,
            "{measured:?}"
        );
        let little_memory = Limits { waiting_max: 10, ..Limits::default() };
        let measured = measure(directory.path(), little_memory).unwrap();
        assert!(!measured.complete && measured.usage.inodes == 1501, "{measured:?}");
    }
}
