//! The shim's handling of each request.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::Signal;
use rustix::termios::Winsize;

use super::cgroup::Cgroup;
use super::container::{Client, Container, Output, Phase, Sink, now_nanos};
use super::init::Streams;
use super::log::{Log, Stream};
use super::protocol::{ContainerState, Identity, Launch, PidNamespace, Process, Reply, Request, Stdio};
use super::server::{Exec, Server};
use super::spawn::{self, BirthNamespace, Child};

/// Why a request could not be fulfilled.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The shim does not know it.
    #[error("unknown {kind} {id}")]
    Unknown { kind: &'static str, id: String },
    /// The container is not in a state for it.
    #[error("container {id} is not running")]
    NotRunning { id: String },
    /// The container exists already.
    #[error("container {id} was already started")]
    Started { id: String },
    /// The sandbox is being stopped.
    #[error("the pod's shim is shutting down")]
    ShuttingDown,
    /// The request lacks a descriptor that it announces.
    #[error("the request has too few descriptors")]
    MissingDescriptor,
    /// A system call failed.
    #[error("{step}")]
    System { step: &'static str, source: io::Error },
}

impl From<Failure> for Reply {
    fn from(failure: Failure) -> Reply {
        let not_found = matches!(failure, Failure::Unknown { .. });
        Reply::Failed { not_found, message: causes::chain(&failure) }
    }
}

fn system<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Failure {
    move |source| Failure::System { step, source: source.into() }
}

/// The descriptors of a request, by stream.
#[derive(Default)]
struct Brought {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

impl Brought {
    fn take(stdio: Stdio, descriptors: Vec<OwnedFd>) -> Result<Brought, Failure> {
        let mut descriptors = VecDeque::from(descriptors);
        let mut next = |wanted: bool| match wanted {
            true => descriptors.pop_front().map(Some).ok_or(Failure::MissingDescriptor),
            false => Ok(None),
        };
        Ok(Brought { stdin: next(stdio.stdin)?, stdout: next(stdio.stdout)?, stderr: next(stdio.stderr)? })
    }
}

impl Server {
    /// Carries out a request. `None` means that the answer follows later.
    pub(super) fn answer(
        &mut self,
        connection: u64,
        request: Request,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Option<Reply>, Failure> {
        match request {
            Request::Start { launch } => self.start(connection, *launch).map(|()| None),
            Request::Exec { container, exec, process, stdio } => {
                let streams = Brought::take(stdio, descriptors)?;
                self.exec(connection, &container, exec, &process, streams).map(|()| None)
            }
            Request::Attach { container, stdio } => {
                self.attach(connection, &container, Brought::take(stdio, descriptors)?)?;
                Ok(Some(Reply::Done))
            }
            Request::Signal { container, signal } => {
                let container = self.running(&container)?;
                send_signal(&container.pidfd, signal)?;
                Ok(Some(Reply::Done))
            }
            Request::SignalExec { exec, signal } => {
                let found = self.execs.values().find(|one| one.name == exec);
                let found = found.ok_or(Failure::Unknown { kind: "process", id: exec })?;
                send_signal(&found.pidfd, signal)?;
                Ok(Some(Reply::Done))
            }
            Request::Resize { container, width, height } => self.resize(&container, width, height),
            Request::ReopenLog { container } => {
                if let Some(log) = &mut self.known(&container)?.log {
                    log.reopen().map_err(system("reopen the log"))?;
                }
                Ok(Some(Reply::Done))
            }
            Request::States => {
                let started = |container: &&Container| !matches!(container.phase, Phase::Starting(..));
                let states = self.containers.values().filter(started).map(|one| one.state.clone()).collect();
                Ok(Some(Reply::States { states }))
            }
            Request::Subscribe => {
                self.subscribe(connection);
                Ok(Some(Reply::Done))
            }
            Request::Shutdown => {
                self.kill_all();
                self.shutdown = Some(connection);
                Ok(None)
            }
        }
    }

    fn known(&mut self, id: &str) -> Result<&mut Container, Failure> {
        self.containers.get_mut(id).ok_or_else(|| Failure::Unknown { kind: "container", id: id.to_owned() })
    }

    fn running(&mut self, id: &str) -> Result<&mut Container, Failure> {
        let container = self.known(id)?;
        if container.is_running() { Ok(container) } else { Err(Failure::NotRunning { id: id.to_owned() }) }
    }

    fn start(&mut self, connection: u64, launch: Launch) -> Result<(), Failure> {
        if self.shutdown.is_some() {
            return Err(Failure::ShuttingDown);
        }
        if self.containers.contains_key(&launch.id) {
            return Err(Failure::Started { id: launch.id });
        }
        if launch.namespaces.pid == PidNamespace::Pod && self.holder.is_none() {
            self.holder =
                Some(spawn::namespace_holder(&launch).map_err(system("create a process id namespace"))?);
        }
        let log = launch
            .log_path
            .as_deref()
            .map(|path| Log::open(path, launch.log_limits, self.clock.clone()))
            .transpose();
        let log = log.map_err(system("open the log"))?;
        let (streams, outputs, stdin) = streams(&launch).map_err(system("make pipes"))?;
        let cgroup = Cgroup::new(&launch.cgroup).map_err(system("find the cgroup"))?;
        cgroup.create(&launch.resources).map_err(system("create the cgroup"))?;

        let birth = self.birth(&launch.namespaces.pid)?;
        let child = spawn::container(&launch, &birth, streams, &cgroup);
        let Child { pid, pidfd, starting } = match child {
            Ok(child) => child,
            Err(error) => {
                let _ = cgroup.remove();
                return Err(system("start the container's process")(error));
            }
        };
        let state = ContainerState {
            id: launch.id.clone(),
            pid: pid.as_raw(),
            identity: Identity::default(),
            started_at_nanos: now_nanos(&self.clock),
            exit: None,
        };
        let container = Container {
            phase: Phase::Starting(starting, connection),
            pid,
            pidfd,
            cgroup,
            state,
            outputs,
            stdin,
            clients: Vec::new(),
            log,
            launch,
        };
        self.containers.insert(container.launch.id.clone(), container);
        Ok(())
    }

    fn birth(&self, namespace: &PidNamespace) -> Result<BirthNamespace<'_>, Failure> {
        Ok(match namespace {
            PidNamespace::Private => BirthNamespace::New,
            PidNamespace::Host => BirthNamespace::Host,
            PidNamespace::Pod => {
                let holder = self.holder.as_ref();
                let (_, pidfd) =
                    holder.ok_or_else(|| Failure::Unknown { kind: "namespace", id: "pod".to_owned() })?;
                BirthNamespace::Of(pidfd)
            }
            PidNamespace::Container(id) => match self.containers.get(id) {
                Some(container) if container.is_running() => BirthNamespace::Of(&container.pidfd),
                _ => return Err(Failure::NotRunning { id: id.clone() }),
            },
        })
    }

    fn exec(
        &mut self,
        connection: u64,
        container: &str,
        name: String,
        process: &Process,
        brought: Brought,
    ) -> Result<(), Failure> {
        let container = &*self.running(container)?;
        let birth = match container.launch.namespaces.pid {
            PidNamespace::Host => BirthNamespace::Host,
            _ => BirthNamespace::Of(&container.pidfd),
        };
        let streams = Streams { stdin: brought.stdin, stdout: brought.stdout, stderr: brought.stderr };
        let Child { pid, pidfd, starting } = spawn::additional(
            &container.pidfd,
            &container.launch,
            &birth,
            process,
            streams,
            &container.cgroup,
        )
        .map_err(system("start the process"))?;
        let exec = Exec { name, connection, pidfd, starting: Some(starting), master: None };
        self.execs.insert(pid, exec);
        Ok(())
    }

    fn attach(&mut self, connection: u64, id: &str, brought: Brought) -> Result<(), Failure> {
        let container = self.running(id)?;
        let files = [&brought.stdin, &brought.stdout, &brought.stderr];
        files
            .into_iter()
            .flatten()
            .try_for_each(spawn::set_nonblocking)
            .map_err(system("prepare the streams"))?;
        container.clients.push(Client {
            connection,
            // Without a standard input, the client's input is discarded.
            stdin: brought.stdin.filter(|_| container.stdin.is_some()),
            stdout: brought.stdout.map(Sink::new),
            stderr: brought.stderr.map(Sink::new),
        });
        Ok(())
    }

    fn resize(&mut self, id: &str, width: u16, height: u16) -> Result<Option<Reply>, Failure> {
        let container = self.running(id)?;
        if container.launch.process.tty
            && let Some(output) = container.outputs.first()
        {
            let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
            rustix::termios::tcsetwinsize(&output.file, size).map_err(system("resize the terminal"))?;
        }
        Ok(Some(Reply::Done))
    }

    fn kill_all(&mut self) {
        for container in self.containers.values() {
            if !matches!(container.phase, Phase::Exited) {
                let _ = rustix::process::pidfd_send_signal(&container.pidfd, Signal::KILL);
            }
        }
        if let Some((_, pidfd)) = &self.holder {
            let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
        }
    }
}

fn send_signal(pidfd: &OwnedFd, signal: i32) -> Result<(), Failure> {
    let invalid = || system("send the signal")(io::Error::from(io::ErrorKind::InvalidInput));
    let signal = Signal::from_named_raw(signal).ok_or_else(invalid)?;
    match rustix::process::pidfd_send_signal(pidfd, signal) {
        // It has ended; its exit is on the way.
        Err(rustix::io::Errno::SRCH) => Ok(()),
        result => result.map_err(system("send the signal")),
    }
}

/// The child's streams and the shim's ends of them. With a terminal there are none: the child opens it.
fn streams(launch: &Launch) -> io::Result<(Streams, Vec<Output>, Option<Sink>)> {
    if launch.process.tty {
        return Ok(Default::default());
    }
    let (stdout, stdout_child) = spawn::pipe(true)?;
    let (stderr, stderr_child) = spawn::pipe(true)?;
    let mut streams = Streams { stdin: None, stdout: Some(stdout_child), stderr: Some(stderr_child) };
    let outputs = vec![
        Output { file: stdout, stream: Stream::Stdout },
        Output { file: stderr, stream: Stream::Stderr },
    ];
    let mut stdin = None;
    if launch.stdin {
        let (ours, theirs) = spawn::pipe(false)?;
        stdin = Some(Sink::new(ours));
        streams.stdin = Some(theirs);
    }
    Ok((streams, outputs, stdin))
}
