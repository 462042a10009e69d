//! The shim's side of a start: streams, the fork, and the child's reports.

use std::fs;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::sched::{CloneFlags, setns, unshare};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};
use rustix::pipe::PipeFlags;

use super::cgroup::Cgroup;
use super::init::{self, Place, Report, Streams};
use super::protocol::{Identity, Launch, Process};
use super::sys;

/// The longest report: the maximum number of groups of a process, with ten digits each.
const REPORT_BYTES_MAX: usize = 64 * 1024;
/// How long the holder of a namespace may take to drop its privileges.
const HARMLESS_WITHIN: Duration = Duration::from_secs(10);

/// Whose process id namespace a child is born into.
pub(super) enum BirthNamespace<'a> {
    /// The shim's, which is the host's.
    Host,
    /// A new one.
    New,
    /// That of a process, by its pidfd.
    Of(&'a OwnedFd),
}

/// A child that has not yet reported that its program runs.
pub(super) struct Starting {
    pub(super) socket: OwnedFd,
    pub(super) terminal: Option<OwnedFd>,
    pub(super) identity: Option<Identity>,
    pub(super) failure: Option<String>,
}

/// The result of a start.
pub(super) enum Outcome {
    /// Not decided yet.
    Pending,
    /// The program runs under this identity.
    Running(Identity),
    /// It does not.
    Failed(String),
}

impl Starting {
    /// Processes the child's reports.
    pub(super) fn advance(&mut self) -> Outcome {
        loop {
            match self.receive() {
                Ok(Some(Report::Terminal)) => {}
                Ok(Some(Report::Ready(identity))) => self.identity = Some(identity),
                Ok(Some(Report::Failed(message))) => self.failure = Some(message),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Outcome::Pending,
                Ok(None) | Err(_) => break,
            }
        }
        match (self.failure.take(), self.identity.take()) {
            (Some(message), _) => Outcome::Failed(message),
            (None, Some(identity)) => Outcome::Running(identity),
            (None, None) => Outcome::Failed("the process was killed during its start".to_owned()),
        }
    }

    fn receive(&mut self) -> io::Result<Option<Report>> {
        let mut buffer = vec![0; REPORT_BYTES_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        let received =
            rustix::net::recvmsg(&self.socket, &mut [IoSliceMut::new(&mut buffer)], &mut ancillary, flags)?;
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
                self.terminal = descriptors.next().or(self.terminal.take());
            }
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        Ok(Some(serde_json::from_slice(&buffer[..received.bytes])?))
    }
}

/// A child right after its fork.
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) starting: Starting,
}

/// Forks a container's first process.
pub(super) fn container(
    launch: &Launch,
    birth: &BirthNamespace<'_>,
    streams: Streams,
    cgroup: &Cgroup,
) -> io::Result<Child> {
    spawn(birth, |socket| init::container(launch, cgroup, &streams, socket))
}

/// Forks one more process of a container, whose first process `init` is.
pub(super) fn additional(
    init: &OwnedFd,
    launch: &Launch,
    birth: &BirthNamespace<'_>,
    process: &Process,
    streams: Streams,
    cgroup: &Cgroup,
) -> io::Result<Child> {
    let place = Place { cgroup, oom_score_adj: launch.oom_score_adj };
    spawn(birth, |socket| init::additional(init.as_fd(), &place, process, &streams, socket))
}

/// Forks the process that keeps a shared PID namespace alive, and waits until it has dropped its privileges, because a
/// container that starts there could inspect it before that.
pub(super) fn namespace_holder(launch: &Launch) -> io::Result<(Pid, OwnedFd)> {
    let (harmless, tell) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let Some(pid) = fork_into(&BirthNamespace::New)? else {
        drop(harmless);
        init::hold_namespace(&launch.namespaces, &launch.rootfs, &tell);
    };
    drop(tell);
    let result = wait_for_byte(&harmless, HARMLESS_WITHIN).and_then(|()| open_pidfd(pid));
    if result.is_err() {
        // It is reaped with the others.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    }
    Ok((pid, result?))
}

/// Waits until the other end has written a byte and closed; closing without a byte is an error.
fn wait_for_byte(reader: &OwnedFd, within: Duration) -> io::Result<()> {
    let within = Timespec::try_from(within).map_err(|_| Errno::INVAL)?;
    let mut has_come = false;
    loop {
        let mut waiting = [PollFd::new(reader, PollFlags::IN)];
        if rustix::io::retry_on_intr(|| rustix::event::poll(&mut waiting, Some(&within)))? == 0 {
            return Err(Errno::TIMEDOUT.into());
        }
        match rustix::io::retry_on_intr(|| rustix::io::read(reader, &mut [0; 1]))? {
            0 if has_come => return Ok(()),
            0 => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the process exited during its start",
                ));
            }
            _ => has_come = true,
        }
    }
}

fn spawn(birth: &BirthNamespace<'_>, child: impl FnOnce(OwnedFd)) -> io::Result<Child> {
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let Some(pid) = fork_into(birth)? else {
        drop(ours);
        child(theirs);
        sys::exit_now(1);
    };
    drop(theirs);
    let starting = Starting { socket: ours, terminal: None, identity: None, failure: None };
    match open_pidfd(pid) {
        Ok(pidfd) => Ok(Child { pid, pidfd, starting }),
        Err(error) => {
            // Nothing could be done with it; it is reaped with the others.
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            Err(error)
        }
    }
}

/// Forks a child into a PID namespace. The calling process itself stays where it is.
fn fork_into(birth: &BirthNamespace<'_>) -> io::Result<Option<Pid>> {
    match birth {
        BirthNamespace::Host => return Ok(sys::fork()?),
        BirthNamespace::New => unshare(CloneFlags::CLONE_NEWPID)?,
        BirthNamespace::Of(pidfd) => setns(pidfd, CloneFlags::CLONE_NEWPID)?,
    }
    let child = sys::fork();
    if !matches!(child, Ok(None)) {
        setns(fs::File::open("/proc/self/ns/pid")?, CloneFlags::CLONE_NEWPID)?;
    }
    Ok(child?)
}

fn open_pidfd(pid: Pid) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid.as_raw()).ok_or(Errno::SRCH)?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

/// A pipe whose one end the shim uses without blocking. Returns the shim's end, then the child's.
pub(super) fn pipe(shim_reads: bool) -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    let (ours, theirs) = if shim_reads { (reader, writer) } else { (writer, reader) };
    set_nonblocking(&ours)?;
    Ok((ours, theirs))
}

/// Makes operations on the open file fail instead of wait.
pub(super) fn set_nonblocking(file: &OwnedFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    Ok(rustix::fs::fcntl_setfl(file, flags | rustix::fs::OFlags::NONBLOCK)?)
}
