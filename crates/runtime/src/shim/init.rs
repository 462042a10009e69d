//! The child's side of a start: from the fork to `execve`.
//!
//! The child sends [`Report`]s over a socket that `execve` closes. The end of the socket after
//! [`Report::Ready`] means that the program runs.

use std::convert::Infallible;
use std::ffi::CString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::AssertUnwindSafe;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::DumpableBehavior;
use rustix::pty::OpenptFlags;
use serde::{Deserialize, Serialize};

use super::cgroup::Cgroup;
use super::error::{Context, StartError};
use super::protocol::{Identity, Launch, Namespaces, Process};
use super::{credentials, rootfs, sys};

type Result<T> = std::result::Result<T, StartError>;

/// Where programs are looked for when the environment does not say.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the child tells the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The terminal's master side comes with this message.
    Terminal,
    /// Everything is set up; the next thing is `execve`.
    Ready(Identity),
    /// The start failed.
    Failed(String),
}

/// The child's ends of its standard streams; the null device where there is none.
#[derive(Default)]
pub(super) struct Streams {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

/// Where the kernel accounts a process.
pub(super) struct Place<'a> {
    pub(super) cgroup: &'a Cgroup,
    pub(super) oom_score_adj: i32,
}

/// Becomes a container's first process.
pub(super) fn container(launch: &Launch, cgroup: &Cgroup, streams: &Streams, socket: OwnedFd) -> ! {
    report_failure(&socket, || {
        begin(&Place { cgroup, oom_score_adj: launch.oom_score_adj })?;
        join_pinned(&launch.namespaces)?;
        rootfs::enter(launch)?;
        let terminal = launch.process.tty.then(|| open_terminal(&socket)).transpose()?;
        if let Some(terminal) = &terminal {
            rootfs::mount_console(terminal)?;
        }
        connect(streams, terminal)?;
        rootfs::restrict(launch)?;
        execute(&launch.process, &socket)
    })
}

/// Becomes one more process of a container, whose first process `init` is and whose process id namespace it was
/// born into.
pub(super) fn additional(
    init: BorrowedFd<'_>,
    place: &Place<'_>,
    process: &Process,
    streams: &Streams,
    socket: OwnedFd,
) -> ! {
    report_failure(&socket, || {
        begin(place)?;
        let all = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWCGROUP
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS;
        setns(init, all).step(|| "enter the container".into())?;
        let terminal = process.tty.then(|| open_terminal(&socket)).transpose()?;
        connect(streams, terminal)?;
        execute(process, &socket)
    })
}

/// Becomes the first process of a process id namespace that containers share: it only reaps.
pub(super) fn hold_namespace() -> ! {
    let prepare = || -> nix::Result<()> {
        sys::reset_signals()?;
        sys::ignore_children()?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(errno)?;
        rustix::thread::set_name(c"pause").map_err(errno)?;
        sys::close_from(0);
        Ok(())
    };
    if prepare().is_err() {
        sys::exit_now(1);
    }
    loop {
        nix::unistd::pause();
    }
}

fn errno(error: rustix::io::Errno) -> Errno {
    Errno::from_raw(error.raw_os_error())
}

fn report_failure(socket: &OwnedFd, start: impl FnOnce() -> Result<Infallible>) -> ! {
    // A panic must not unwind into the shim's own frames, which this process has a copy of.
    let message = match std::panic::catch_unwind(AssertUnwindSafe(start)) {
        Ok(Ok(never)) => match never {},
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the container's start panicked".to_owned(),
    };
    // Without a shim there is nobody left to tell.
    let _ = send(socket, &Report::Failed(message), &[]);
    sys::exit_now(128)
}

fn send(socket: &OwnedFd, report: &Report, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let body = serde_json::to_vec(report)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&body)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Sheds what the process has from the shim, and enters its cgroup.
fn begin(place: &Place<'_>) -> Result<()> {
    // Until `execve` this is our own program inside somebody's container: nobody there may look into it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .step(|| "protect the process".into())?;
    sys::reset_signals().step(|| "reset signals".into())?;
    place.cgroup.enter().step(|| "enter the cgroup".into())?;
    match std::fs::write("/proc/self/oom_score_adj", place.oom_score_adj.to_string()) {
        // Without CAP_SYS_RESOURCE it cannot be lowered, and stays as the shim has it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        result => result.step(|| "set oom_score_adj".into())?,
    }
    rustix::process::setsid().map(drop).step(|| "start a session".into())
}

fn join_pinned(namespaces: &Namespaces) -> Result<()> {
    let pinned = [
        (&namespaces.network, CloneFlags::CLONE_NEWNET),
        (&namespaces.ipc, CloneFlags::CLONE_NEWIPC),
        (&namespaces.uts, CloneFlags::CLONE_NEWUTS),
    ];
    for (path, kind) in pinned {
        if let Some(path) = path {
            let step = || format!("enter namespace {}", path.display());
            let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).step(step)?;
            setns(file, kind).step(step)?;
        }
    }
    Ok(())
}

/// Opens a terminal of the container's own, sends its master side to the shim and gives the other one.
fn open_terminal(socket: &OwnedFd) -> Result<OwnedFd> {
    let step = || "open a terminal".to_owned();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = rustix::fs::open("/dev/pts/ptmx", flags, Mode::empty()).step(step)?;
    rustix::pty::unlockpt(&master).step(step)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&master, flags).step(step)?;
    rustix::process::ioctl_tiocsctty(&terminal).step(step)?;
    send(socket, &Report::Terminal, &[master.as_fd()]).step(step)?;
    Ok(terminal)
}

fn connect(streams: &Streams, terminal: Option<OwnedFd>) -> Result<()> {
    let step = || "connect the standard streams".to_owned();
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).step(step)?;
    for (number, stream) in [(0, &streams.stdin), (1, &streams.stdout), (2, &streams.stderr)] {
        let stream = terminal.as_ref().or(stream.as_ref()).unwrap_or(&null);
        sys::duplicate_to(stream, number).step(step)?;
    }
    Ok(())
}

/// Takes on the process's user and replaces the program.
fn execute(process: &Process, socket: &OwnedFd) -> Result<Infallible> {
    let resolved = credentials::resolve(&process.user)?;
    let cwd = if process.cwd.is_empty() { "/" } else { &process.cwd };
    rustix::process::chdir(cwd).step(|| format!("change to the working directory {cwd:?}"))?;
    // A directory outside the root would show as "(unreachable)".
    let reached = rustix::process::getcwd(Vec::new()).step(|| "find the working directory".into())?;
    if !reached.as_bytes().starts_with(b"/") {
        return Err(StartError::Invalid(format!("the working directory {cwd:?} is outside the container")));
    }
    credentials::assume(&resolved.identity, process)?;

    let mut env = process.env.clone();
    if !env.iter().any(|variable| variable.starts_with("HOME=")) {
        env.push(format!("HOME={}", resolved.home));
    }
    let program = find_program(&process.args, &env)?;
    let strings = |list: &[String]| list.iter().map(|text| c_string(text)).collect::<Result<Vec<_>>>();
    let (path, args, env) = (c_string(&program)?, strings(&process.args)?, strings(&env)?);
    send(socket, &Report::Ready(resolved.identity), &[]).step(|| "report to the shim".into())?;
    let Err(error) = nix::unistd::execve(&path, &args, &env);
    Err(StartError::Program { program, reason: error.desc().to_lowercase() })
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| StartError::Invalid(format!("{text:?} contains a zero byte")))
}

/// Finds the program, in `PATH` unless its name has a slash.
fn find_program(args: &[String], env: &[String]) -> Result<String> {
    let Some(name) = args.first().filter(|name| !name.is_empty()) else {
        return Err(StartError::Invalid("no command specified".to_owned()));
    };
    let fails = |reason: String| StartError::Program { program: name.clone(), reason };
    if name.contains('/') {
        return match executable(name) {
            Ok(()) => Ok(name.clone()),
            Err(Errno::EACCES) => Err(fails("permission denied".to_owned())),
            Err(error) => Err(fails(format!("stat {name}: {}", error.desc().to_lowercase()))),
        };
    }
    let path = env.iter().find_map(|variable| variable.strip_prefix("PATH=")).unwrap_or(DEFAULT_PATH);
    path.split(':')
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| format!("{}/{name}", directory.trim_end_matches('/')))
        .find(|candidate| executable(candidate).is_ok())
        .ok_or_else(|| fails("executable file not found in $PATH".to_owned()))
}

fn executable(path: &str) -> nix::Result<()> {
    let stat = rustix::fs::stat(path).map_err(errno)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory {
        return Err(Errno::EACCES);
    }
    rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).map_err(errno)
}
