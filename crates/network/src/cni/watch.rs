//! Reports when networks or plugins are added or removed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// Programs install a network in several steps.
const SETTLE: Duration = Duration::from_millis(100);

/// Watches directories, also such as do not exist yet.
pub(super) struct Watch {
    directories: Vec<PathBuf>,
    notify: AsyncFd<OwnedFd>,
}

impl Watch {
    /// Watches from now on: the directories, and those directly in them.
    pub(super) fn new(directories: Vec<PathBuf>) -> io::Result<Watch> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // SAFETY: the `OwnedFd` owns its descriptor, which stays open and the same while the `AsyncFd` holds it.
        let notify = unsafe { AsyncFd::register(fd)? };
        let watch = Watch { directories, notify };
        watch.look();
        Ok(watch)
    }

    /// Watches the existing directories. Existing watches are not duplicated, and the kernel drops those of removed
    /// files.
    fn look(&self) {
        for directory in &self.directories {
            self.add(directory);
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    self.add(&entry.path());
                }
            }
        }
    }

    /// Watches a directory; the nearest above it, while it does not exist.
    fn add(&self, directory: &Path) {
        let flags = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        let watched = directory
            .ancestors()
            .find(|path| inotify::add_watch(self.notify.get_ref(), *path, flags).is_ok());
        if watched.is_none() {
            tracing::warn!(directory = %directory.display(), "cannot watch the CNI configuration; changes will be noticed late");
        }
    }

    /// Waits for the next change. More than one in a short time are one.
    pub(super) async fn changed(&self) -> io::Result<()> {
        self.drain().await?;
        tokio::time::sleep(SETTLE).await;
        let _ = tokio::time::timeout(Duration::ZERO, self.drain()).await;
        self.look();
        Ok(())
    }

    /// Waits for events and discards them: their content does not matter.
    async fn drain(&self) -> io::Result<()> {
        loop {
            let mut ready = self.notify.readable().await?;
            let mut events = [0_u8; 4096];
            match ready.try_io(|fd| rustix::io::read(fd, &mut events).map_err(io::Error::from)) {
                Ok(result) => return result.map(drop),
                Err(_would_block) => {}
            }
        }
    }
}
