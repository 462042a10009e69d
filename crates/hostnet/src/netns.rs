//! Network namespaces, held by a file descriptor.
//!
//! A thread is in one namespace at a time. Code never enters one on a shared thread: each visit has its own thread with
//! a single-threaded runtime, which ends with the visit. Sockets, child processes and `/proc/sys/net` of that thread
//! belong to the namespace.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns, unshare};
use tokio::sync::oneshot;

/// Where a thread finds its own namespace. `/proc/self` would be the namespace of the main thread.
const OWN_NAMESPACE: &str = "/proc/thread-self/ns/net";

/// A network namespace. It lives at least as long as this value (or a process, mount or socket in it).
#[derive(Debug)]
pub struct NetNs {
    fd: OwnedFd,
}

/// Why a namespace could not be made, opened or entered.
#[derive(Debug, thiserror::Error)]
pub enum NetNsError {
    /// There is no network namespace at the path, or it cannot be opened.
    #[error("cannot open the network namespace {path}")]
    Open {
        /// The path that was asked for.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// A new namespace was refused (it takes CAP_SYS_ADMIN).
    #[error("cannot create a network namespace")]
    Create(#[source] nix::errno::Errno),
    /// The namespace could not be entered, or the file is not a network namespace.
    #[error("cannot enter the network namespace")]
    Enter(#[source] nix::errno::Errno),
    /// No thread, runtime or file descriptor was to be had for the visit.
    #[error("cannot run code in a network namespace")]
    Thread(#[from] std::io::Error),
    /// The code that ran inside panicked.
    #[error("the code inside the network namespace panicked")]
    Panicked,
}

impl NetNs {
    /// Makes a new, empty namespace. It has no path other than [`NetNs::path`] and ends with its last user.
    pub fn create() -> Result<NetNs, NetNsError> {
        on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(NetNsError::Create)?;
            NetNs::open(Path::new(OWN_NAMESPACE))
        })
    }

    /// Opens the namespace at `path` (`/proc/<pid>/ns/net` or a bind mount of one).
    pub fn open(path: &Path) -> Result<NetNs, NetNsError> {
        let file = File::open(path).map_err(|source| NetNsError::Open { path: path.to_owned(), source })?;
        Ok(NetNs { fd: file.into() })
    }

    /// A path to this namespace, good while this value lives.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.fd.as_raw_fd()))
    }

    /// The descriptor, for requests to the kernel that name a namespace by it.
    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Runs the future that `make` returns inside the namespace, on a separate thread.
    pub async fn run<T, F, Fut>(&self, make: F) -> Result<T, NetNsError>
    where
        T: Send + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T>,
    {
        let fd = self.fd.try_clone()?;
        let (sender, receiver) = oneshot::channel();
        std::thread::Builder::new().name("netns".to_owned()).spawn(move || {
            // The caller may be gone and not need the answer.
            let _ = sender.send(visit(&fd, make));
        })?;
        receiver.await.map_err(|_| NetNsError::Panicked)?
    }

    /// As [`NetNs::run`], for callers outside of a runtime: blocks, and passes a panic on.
    pub fn block_on<T, F, Fut>(&self, make: F) -> Result<T, NetNsError>
    where
        T: Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = T>,
    {
        on_own_thread(|| visit(&self.fd, make))
    }
}

/// Enters the namespace for the rest of the thread's life and drives the future there.
fn visit<T, F, Fut>(fd: &OwnedFd, make: F) -> Result<T, NetNsError>
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = T>,
{
    setns(fd, CloneFlags::CLONE_NEWNET).map_err(NetNsError::Enter)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(make()))
}

/// Runs `work` on a new thread and waits for it.
fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T, NetNsError> + Send) -> Result<T, NetNsError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, work)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_namespace() -> PathBuf {
        std::fs::read_link(OWN_NAMESPACE).unwrap()
    }

    #[tokio::test]
    async fn a_visit_does_not_move_the_caller() {
        let outside = own_namespace();
        let namespace = NetNs::create().unwrap();
        let inside = namespace.run(|| async { own_namespace() }).await.unwrap();
        assert_ne!(inside, outside);
        assert_eq!(own_namespace(), outside);
        let again = NetNs::open(&namespace.path()).unwrap();
        assert_eq!(again.block_on(|| async { own_namespace() }).unwrap(), inside);
    }

    #[test]
    fn a_plain_file_is_no_namespace() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let namespace = NetNs::open(file.path()).unwrap();
        assert!(matches!(namespace.block_on(|| async {}), Err(NetNsError::Enter(_))));
        assert!(matches!(NetNs::open(Path::new("/nonexistent")), Err(NetNsError::Open { .. })));
    }
}
