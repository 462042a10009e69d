//! The process that stays with a pod's containers.
//!
//! The agent starts one shim per sandbox, by executing its own program again with `shim` as the first argument. The
//! shim detaches from the agent and is the parent of the pod's containers from then on: it owns their streams, writes
//! their logs, reaps them and records how they exited, whether an agent is running or not. It listens on a Unix socket
//! in the sandbox's state directory (`protocol`), through which an agent that starts later finds it again.
//!
//! The shim stays in the agent's own cgroup. A service manager that stops the agent must stop only the agent's main
//! process (systemd: `KillMode=process`), or it would stop the pods too.
//!
//! The shim has one thread and waits in one place (`server`), so that it can fork safely: a container's namespaces,
//! mounts and credentials are set up in the child, between fork and `execve` (`init`). It must not know CRI, the image
//! store or the pod network.

pub(crate) mod cgroup;
mod container;
mod credentials;
mod error;
mod init;
mod limits;
mod log;
pub(crate) mod procfs;
pub(crate) mod protocol;
mod requests;
mod rootfs;
mod server;
mod spawn;
pub(crate) mod sys;
pub(crate) mod wire;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::process::DumpableBehavior;

pub(crate) use container::write_atomically;
pub(crate) use init::DEFAULT_PATH;

/// The first argument that makes a program a shim.
pub const ARGUMENT: &str = "shim";

/// How much less likely than others the kernel kills the shim when memory is short.
const OOM_SCORE_ADJ: &str = "-999";

/// Runs as a shim; returns the exit code. `args` are the arguments after [`ARGUMENT`]: the sandbox's state directory.
///
/// A program that embeds the engine calls this at the beginning of `main` when its first argument is [`ARGUMENT`],
/// before it starts any thread. The calling process returns as soon as the shim, which continues in a separate process,
/// is listening.
pub fn main(args: impl IntoIterator<Item = OsString>) -> i32 {
    // Neither the shim nor any container may use the descriptors that the starter had open.
    sys::close_from(3);
    let mut args = args.into_iter();
    let (Some(directory), None) = (args.next(), args.next()) else {
        eprintln!("usage: {ARGUMENT} STATE-DIRECTORY");
        return 2;
    };
    match detach(Path::new(&directory)) {
        Ok(None) => 0,
        Ok(Some(mut server)) => i32::from(server.run().is_err()),
        Err(error) => {
            eprintln!("cannot start the shim: {error}");
            1
        }
    }
}

/// Opens the socket and forks. Returns the server in the child and `None` in the calling process.
fn detach(directory: &Path) -> io::Result<Option<server::Server>> {
    let listener = listen(directory)?;
    if sys::fork()?.is_some() {
        return Ok(None);
    }
    rustix::process::setsid()?;
    sys::new_session_keyring()?;
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_name(c"ironhull-shim")?;
    // Lowering it needs CAP_SYS_RESOURCE, which the agent may have been denied; the shim can do without.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    rustix::process::chdir("/")?;
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for number in 0..=2 {
        sys::duplicate_to(&null, number)?;
    }
    server::Server::new(listener, clock::Clock::system()).map(Some)
}

/// Listens on the socket in the directory. The path goes through the directory's descriptor, since a socket's own path
/// may be no longer than 107 bytes.
fn listen(directory: &Path) -> io::Result<UnixListener> {
    let handle = File::open(directory)?;
    let path = format!("/proc/self/fd/{}/{}", handle.as_raw_fd(), protocol::SOCKET_NAME);
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
    UnixListener::bind(path)
}
