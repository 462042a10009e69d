//! The child's side of a start: from the fork to `execve`.
//!
//! The child sends [`Report`]s over a socket that `execve` closes. If the socket is closed after [`Report::Ready`], the
//! program is running.

use std::convert::Infallible;
use std::ffi::CString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::AssertUnwindSafe;
use std::path::Path;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::DumpableBehavior;
use serde::{Deserialize, Serialize};

use super::cgroup::Cgroup;
use super::credentials::{self, ExecLabel};
use super::error::{Context, StartError};
use super::procfs::Procfs;
use super::protocol::{Identity, Launch, Namespaces, Process};
use super::rootfs::{self, Entered, Terminal};
use super::{limits, sys};

type Result<T> = std::result::Result<T, StartError>;

/// The default search path for programs.
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The default umask of containers.
const UMASK: u32 = 0o022;

/// The user and group of the process that keeps a shared PID namespace.
const NOBODY: u32 = 65535;

/// The child's reports to the shim.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The terminal's master side is sent with this message.
    Terminal,
    /// Everything is set up; the next thing is `execve`.
    Ready(Identity),
    /// The start failed.
    Failed(String),
}

/// The child's ends of its standard streams; the null device if there is none.
#[derive(Default)]
pub(super) struct Streams {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

/// The process's cgroup.
pub(super) struct Place<'a> {
    pub(super) cgroup: &'a Cgroup,
    pub(super) oom_score_adj: i32,
}

/// Becomes a container's first process.
pub(super) fn container(launch: &Launch, cgroup: &Cgroup, streams: &Streams, socket: OwnedFd) -> ! {
    report_failure(&socket, || {
        let place = Place { cgroup, oom_score_adj: launch.oom_score_adj };
        let label = begin(&place, &launch.process)?;
        join_pinned(&launch.namespaces)?;
        let Entered { null, terminal } = rootfs::enter(launch)?;
        connect(streams, &null, terminal, &socket)?;
        execute(&launch.process, &label, &socket)
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
        let label = begin(place, process)?;
        // Nothing in the container's `/dev` is opened but a terminal that is one.
        let null = rootfs::null()?;
        let all = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWCGROUP
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWIPC
            | CloneFlags::CLONE_NEWUTS;
        setns(init, all).step(|| "enter the container".into())?;
        let terminal = process.tty.then(Terminal::in_container).transpose()?;
        connect(streams, &null, terminal, &socket)?;
        execute(process, &label, &socket)
    })
}

/// Becomes the first process of a PID namespace that containers share, and only reaps. To the containers it is an
/// ordinary process, which one with CAP_SYS_PTRACE can inspect, so it keeps nothing of the host: it is in the pod's
/// namespaces, runs as nobody, and has an empty root. `place` is a directory; a byte in `harmless`, followed by its
/// end, reports that all this is done and that no file is open.
pub(super) fn hold_namespace(namespaces: &Namespaces, place: &Path, harmless: &OwnedFd) -> ! {
    let prepare = || -> Result<()> {
        shed()?;
        sys::ignore_children().step(|| "ignore children".into())?;
        rustix::thread::set_name(c"pause").step(|| "set the name".into())?;
        join_pinned(namespaces)?;
        rootfs::enter_nothing(place)?;
        let nobody = Identity { uid: NOBODY, gid: NOBODY, groups: Vec::new() };
        let process = Process { no_new_privileges: true, ..Process::default() };
        credentials::assume(&nobody, &process, &ExecLabel::default())?;
        rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
            .step(|| "protect the process".into())?;
        rustix::io::write(harmless, &[1]).step(|| "tell the shim".into())?;
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
        Ok(Err(error)) => causes::chain(&error),
        Err(_) => "the container's start panicked".to_owned(),
    };
    // Without a shim there is no receiver for the report.
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

/// Removes everything that the process has inherited from the shim and its starter.
fn shed() -> Result<()> {
    // Until `execve` this is our own program inside a container, whose processes must not be able to inspect it.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .step(|| "protect the process".into())?;
    sys::reset_signals().step(|| "reset signals".into())?;
    sys::new_session_keyring().step(|| "start a session keyring".into())?;
    sys::reset_personality().step(|| "reset the personality".into())?;
    rustix::process::set_parent_process_death_signal(None).step(|| "clear the parent death signal".into())?;
    rustix::process::umask(Mode::from_raw_mode(UMASK));
    limits::apply().step(|| "set resource limits".into())
}

/// Moves into a separate session, in its cgroup.
fn begin(place: &Place<'_>, process: &Process) -> Result<ExecLabel> {
    shed()?;
    place.cgroup.enter().step(|| "enter the cgroup".into())?;
    match set_oom_score_adj(place.oom_score_adj) {
        // Without CAP_SYS_RESOURCE it cannot be lowered, and stays as the shim has it.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        result => result.step(|| "set oom_score_adj".into())?,
    }
    rustix::process::setsid().map(drop).step(|| "start a session".into())?;
    ExecLabel::open(process)
}

fn set_oom_score_adj(value: i32) -> io::Result<()> {
    let pid = rustix::process::getpid().as_raw_nonzero();
    Procfs::new()?.write(&format!("{pid}/oom_score_adj"), &value.to_string())
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

/// Connects the standard streams. The shim gets the terminal's master side.
fn connect(streams: &Streams, null: &OwnedFd, terminal: Option<Terminal>, socket: &OwnedFd) -> Result<()> {
    if let Some(terminal) = &terminal {
        let step = || "take the terminal".to_owned();
        rustix::process::ioctl_tiocsctty(&terminal.terminal).step(step)?;
        send(socket, &Report::Terminal, &[terminal.master.as_fd()]).step(step)?;
    }
    let terminal = terminal.as_ref().map(|terminal| &terminal.terminal);
    for (number, stream) in [(0, &streams.stdin), (1, &streams.stdout), (2, &streams.stderr)] {
        let stream = terminal.or(stream.as_ref()).unwrap_or(null);
        sys::duplicate_to(stream, number).step(|| "connect the standard streams".into())?;
    }
    Ok(())
}

/// Takes on the process's user and replaces the program.
fn execute(process: &Process, label: &ExecLabel, socket: &OwnedFd) -> Result<Infallible> {
    let resolved = credentials::resolve(&process.user)?;
    let cwd = if process.cwd.is_empty() { "/" } else { &process.cwd };
    enter_directory(cwd)?;
    credentials::assume(&resolved.identity, process, label)?;

    let mut env = process.env.clone();
    if !env.iter().any(|variable| variable.starts_with("HOME=")) {
        env.push(format!("HOME={}", resolved.home));
    }
    let program = find_program(&process.args, &env)?;
    let strings = |list: &[String]| list.iter().map(|text| c_string(text)).collect::<Result<Vec<_>>>();
    let (path, args, env) = (c_string(&program)?, strings(&process.args)?, strings(&env)?);
    // The streams are all that the program gets.
    sys::close_on_exec_from(3).step(|| "close descriptors".into())?;
    send(socket, &Report::Ready(resolved.identity), &[]).step(|| "report to the shim".into())?;
    let Err(error) = nix::unistd::execve(&path, &args, &env);
    Err(StartError::Program { program, reason: error.desc().to_lowercase() })
}

/// Changes to the working directory: not by way of an open file of some process, and not out of the root
/// (CVE-2024-21626).
fn enter_directory(cwd: &str) -> Result<()> {
    let step = || format!("change to the working directory {cwd:?}");
    let path = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", path, Mode::empty()).step(step)?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let directory = rustix::fs::openat2(&root, cwd, path, Mode::empty(), resolve).step(step)?;
    rustix::process::fchdir(&directory).step(step)?;
    // A directory outside the root would show as "(unreachable)".
    let reached = rustix::process::getcwd(Vec::new()).step(|| "find the working directory".into())?;
    match reached.as_bytes().starts_with(b"/") {
        true => Ok(()),
        false => Err(StartError::Invalid(format!("the working directory {cwd:?} is outside the container"))),
    }
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
