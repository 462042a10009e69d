//! The host's own DNS servers, from a file such as `/etc/resolv.conf`, which is watched.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::io::unix::AsyncFd;

/// Programs write a file in several steps.
const SETTLE: Duration = Duration::from_millis(100);

/// The servers of the file's `nameserver` lines; none where it cannot be read, with a line in the log.
pub(crate) fn servers(path: &Path) -> Vec<SocketAddr> {
    match std::fs::read_to_string(path) {
        Ok(text) => name_servers(&text).map(|address| SocketAddr::new(address, 53)).collect(),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "cannot read the upstream servers");
            Vec::new()
        }
    }
}

/// The addresses of the `nameserver` lines of a resolv.conf(5).
fn name_servers(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and(words.next())?;
        // A zone index (`fe80::1%eth0`) is for link-local addresses, which a plain socket address cannot say.
        address.parse().ok()
    })
}

/// Tells when a file may have changed: it was written, or another one, or a link, took its place.
pub(crate) struct Watch {
    path: PathBuf,
    notify: AsyncFd<OwnedFd>,
}

impl Watch {
    /// Watches from now on.
    pub(crate) fn new(path: &Path) -> std::io::Result<Watch> {
        let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        // SAFETY: the `OwnedFd` owns its descriptor, which stays open and the same while the `AsyncFd` holds it.
        let notify = unsafe { AsyncFd::register(fd)? };
        let watch = Watch { path: path.to_owned(), notify };
        watch.look();
        Ok(watch)
    }

    /// Watches the file and its directory, and those of its link targets. Existing watches are not duplicated, and the
    /// kernel drops those of removed files.
    fn look(&self) {
        let place = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        let file = WatchFlags::CLOSE_WRITE | WatchFlags::MODIFY;
        let target = std::fs::canonicalize(&self.path).ok();
        for path in [Some(self.path.clone()), target].into_iter().flatten() {
            let directory = path.parent().map(Path::to_owned).unwrap_or_default();
            for (path, flags) in [(directory, place), (path, file)] {
                // A missing file will show up in its directory.
                let _ = inotify::add_watch(self.notify.get_ref(), &path, flags);
            }
        }
    }

    /// Waits for the next change. More than one in a short time are one.
    pub(crate) async fn changed(&self) -> std::io::Result<()> {
        self.drain().await?;
        tokio::time::sleep(SETTLE).await;
        let _ = tokio::time::timeout(Duration::ZERO, self.drain()).await;
        self.look();
        Ok(())
    }

    /// Waits for events and discards them: their content does not matter.
    async fn drain(&self) -> std::io::Result<()> {
        loop {
            let mut ready = self.notify.readable().await?;
            let mut events = [0_u8; 4096];
            match ready.try_io(|fd| rustix::io::read(fd, &mut events).map_err(std::io::Error::from)) {
                Ok(result) => return result.map(drop),
                Err(_would_block) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clock::Clock;

    use super::*;

    #[test]
    fn resolv_conf_is_read() {
        let text = "# nameserver 9.9.9.9\nsearch example.com\nnameserver 192.0.2.1\n nameserver\t2001:db8::1\n\
                    nameserver fe80::1%eth0\nnameserver\noptions ndots:1\nnameserver 127.0.0.53";
        let found: Vec<String> = name_servers(text).map(|address| address.to_string()).collect();
        assert_eq!(found, ["192.0.2.1", "2001:db8::1", "127.0.0.53"]);
        assert!(servers(Path::new("/nonexistent/resolv.conf")).is_empty());
    }

    #[tokio::test]
    async fn changes_are_noticed() {
        let directory = std::env::temp_dir().join(format!("resolv-{}", Clock::system().uid()));
        std::fs::create_dir(&directory).unwrap();
        let (path, other) = (directory.join("resolv.conf"), directory.join("other"));
        std::fs::write(&path, "nameserver 192.0.2.1\n").unwrap();
        let watch = Watch::new(&path).unwrap();
        let replaced: [(&str, &dyn Fn()); 4] = [
            ("192.0.2.2", &|| std::fs::write(&path, "nameserver 192.0.2.2\n").unwrap()),
            ("192.0.2.3", &|| {
                std::fs::write(&other, "nameserver 192.0.2.3\n").unwrap();
                std::fs::rename(&other, &path).unwrap();
            }),
            ("192.0.2.4", &|| {
                std::fs::write(&other, "nameserver 192.0.2.4\n").unwrap();
                std::fs::remove_file(&path).unwrap();
                std::os::unix::fs::symlink(&other, &path).unwrap();
            }),
            ("192.0.2.5", &|| std::fs::write(&other, "nameserver 192.0.2.5\n").unwrap()),
        ];
        for (expected, change) in replaced {
            change();
            let seen = async {
                while servers(&path) != [SocketAddr::new(expected.parse().unwrap(), 53)] {
                    watch.changed().await.unwrap();
                }
            };
            tokio::time::timeout(Duration::from_secs(20), seen).await.expect(expected);
            // The rest of this change must not count as the next one.
            while tokio::time::timeout(SETTLE * 2, watch.changed()).await.is_ok() {}
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
