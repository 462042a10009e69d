//! Namespaces of a sandbox, each kept alive by a mount on a file rather than by a process.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};
use rustix::io::Errno;
use rustix::mount::UnmountFlags;

/// The private namespaces of a sandbox.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) network: bool,
    pub(super) ipc: bool,
    /// The host name.
    pub(super) hostname: Option<String>,
}

/// The file in a sandbox's directory that its network namespace is mounted on.
pub(super) fn network_path(directory: &Path) -> PathBuf {
    directory.join("net")
}

/// The file for the IPC namespace.
pub(super) fn ipc_path(directory: &Path) -> PathBuf {
    directory.join("ipc")
}

/// The file for the UTS namespace.
pub(super) fn uts_path(directory: &Path) -> PathBuf {
    directory.join("uts")
}

/// Makes the namespaces and mounts them on files in `directory`. Blocks.
pub(super) fn create(directory: &Path, wanted: &Wanted) -> io::Result<()> {
    in_own_thread(|| {
        let mut flags = CloneFlags::empty();
        flags.set(CloneFlags::CLONE_NEWNET, wanted.network);
        flags.set(CloneFlags::CLONE_NEWIPC, wanted.ipc);
        flags.set(CloneFlags::CLONE_NEWUTS, wanted.hostname.is_some());
        unshare(flags)?;
        if let Some(hostname) = &wanted.hostname {
            nix::unistd::sethostname(hostname)?;
        }
        if wanted.network {
            loopback_up()?;
        }
        let pins = [
            (wanted.network, network_path(directory)),
            (wanted.ipc, ipc_path(directory)),
            (wanted.hostname.is_some(), uts_path(directory)),
        ];
        for (_, path) in pins.iter().filter(|(own, _)| *own) {
            File::create(path)?;
            let name = path.file_name().unwrap_or_default();
            rustix::mount::mount_bind(Path::new("/proc/thread-self/ns").join(name), path)?;
        }
        Ok(())
    })
}

/// Unmounts the namespaces from [`create`]; missing ones are ignored. Blocks.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    for path in [network_path(directory), ipc_path(directory), uts_path(directory)] {
        unmount(&path)?;
    }
    Ok(())
}

/// Unmounts everything mounted at a path; a path that is not a mount point is ignored.
pub(super) fn unmount(path: &Path) -> io::Result<()> {
    loop {
        match rustix::mount::unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Runs a function in a network namespace, in a separate thread. Blocks.
pub(super) fn in_network<T: Send>(path: &Path, run: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let namespace = File::open(path)?;
    in_own_thread(|| {
        setns(&namespace, CloneFlags::CLONE_NEWNET)?;
        run()
    })
}

/// A thread that changes its namespaces can do nothing else afterwards: it ends with its work.
pub(super) fn in_own_thread<T: Send>(run: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("namespace".to_owned()).spawn_scoped(scope, run)?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the namespace thread panicked")))
    })
}

/// Brings the loopback device up.
fn loopback_up() -> io::Result<()> {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0")?;
    crate::shim::sys::set_interface_up(socket.as_raw_fd(), "lo")
}
