//! Tells when the files of a directory may have changed.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// Programs write files in several steps.
const SETTLE: Duration = Duration::from_millis(100);

/// Watches a directory and its files, which may be links.
pub(super) struct Watch {
    directory: PathBuf,
    notify: AsyncFd<OwnedFd>,
}

impl Watch {
    /// Watches from now on.
    pub(super) fn new(directory: &Path) -> io::Result<Watch> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // SAFETY: the `OwnedFd` owns its descriptor, which stays open and the same while the `AsyncFd` holds it.
        let notify = unsafe { AsyncFd::register(fd)? };
        let watch = Watch { directory: directory.to_owned(), notify };
        watch.look()?;
        Ok(watch)
    }

    /// Watches the directory, or the nearest one above while it is missing, and the files that links in it lead to.
    /// Existing watches are not duplicated, and the kernel drops those of removed files.
    fn look(&self) -> io::Result<()> {
        let places = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR;
        let mut failure = None;
        for place in self.directory.ancestors() {
            match inotify::add_watch(self.notify.get_ref(), place, places) {
                Ok(_) => {
                    failure = None;
                    break;
                }
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        for entry in std::fs::read_dir(&self.directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                // A target that is missing will be noticed when the link is replaced.
                let _ = inotify::add_watch(self.notify.get_ref(), entry.path(), WatchFlags::CLOSE_WRITE);
            }
        }
        failure.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Waits for the next change. More than one in a short time are one.
    pub(super) async fn changed(&self) -> io::Result<()> {
        self.drain().await?;
        tokio::time::sleep(SETTLE).await;
        let _ = tokio::time::timeout(Duration::ZERO, self.drain()).await;
        self.look()
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
