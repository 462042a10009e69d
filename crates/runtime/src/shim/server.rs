//! The shim's loop: one thread that waits for signals, requests and bytes at once.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use clock::Clock;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags};

use super::container::{Container, Phase, Sink, now_nanos};
use super::protocol::{Identity, Reply, Request};
use super::spawn::{self, Outcome, Starting};
use super::wire::{self, FrameReader};

/// The source of a poll entry.
enum Source {
    Signals,
    Listener,
    Connection(u64),
    ContainerStart(String),
    ExecStart(Pid),
    Output(String, usize),
    ClientStdin(String, usize),
    Flush(String),
}

/// A connection from the agent.
struct Connection {
    socket: UnixStream,
    reader: FrameReader,
    subscribed: bool,
}

/// A process that [`Request::Exec`] started.
pub(super) struct Exec {
    pub(super) name: String,
    pub(super) connection: u64,
    pub(super) pidfd: OwnedFd,
    pub(super) starting: Option<Starting>,
    pub(super) master: Option<OwnedFd>,
}

/// All of the shim's state.
pub(super) struct Server {
    listener: UnixListener,
    signals: SignalFd,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    pub(super) containers: BTreeMap<String, Container>,
    pub(super) execs: BTreeMap<Pid, Exec>,
    /// Keeps the PID namespace that containers share.
    pub(super) holder: Option<(Pid, OwnedFd)>,
    pub(super) clock: Clock,
    /// Set by [`Request::Shutdown`]: the connection to answer when everything has ended.
    pub(super) shutdown: Option<u64>,
}

impl Server {
    /// Takes over the listening socket.
    pub(super) fn new(listener: UnixListener, clock: Clock) -> io::Result<Server> {
        listener.set_nonblocking(true)?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Server {
            listener,
            signals,
            connections: BTreeMap::new(),
            next_connection: 0,
            containers: BTreeMap::new(),
            execs: BTreeMap::new(),
            holder: None,
            clock,
            shutdown: None,
        })
    }

    /// Serves until a [`Request::Shutdown`] is done.
    pub(super) fn run(&mut self) -> io::Result<()> {
        loop {
            for source in self.wait()? {
                self.handle(source);
            }
            if let Some(connection) = self.shutdown
                && !self.containers.values().any(|container| !matches!(container.phase, Phase::Exited))
            {
                self.reply(connection, &Reply::Done, &[]);
                return Ok(());
            }
        }
    }

    /// Waits until something is ready.
    fn wait(&self) -> io::Result<Vec<Source>> {
        let mut sources = vec![Source::Signals, Source::Listener];
        let mut files =
            vec![PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&self.listener, PollFlags::IN)];
        for (number, connection) in &self.connections {
            sources.push(Source::Connection(*number));
            files.push(PollFd::new(&connection.socket, PollFlags::IN));
        }
        for (pid, exec) in &self.execs {
            if let Some(starting) = &exec.starting {
                sources.push(Source::ExecStart(*pid));
                files.push(PollFd::new(&starting.socket, PollFlags::IN));
            }
        }
        for (id, container) in &self.containers {
            if let Phase::Starting(starting, _) = &container.phase {
                sources.push(Source::ContainerStart(id.clone()));
                files.push(PollFd::new(&starting.socket, PollFlags::IN));
            }
            poll_streams(id, container, &mut sources, &mut files);
        }
        match rustix::event::poll(&mut files, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = files.iter().map(|file| !file.revents().is_empty());
        let ready: Vec<_> = ready.collect();
        Ok(sources.into_iter().zip(ready).filter(|(_, ready)| *ready).map(|(source, _)| source).collect())
    }

    fn handle(&mut self, source: Source) {
        match source {
            Source::Signals => {
                while let Ok(Some(_)) = self.signals.read_signal() {}
                self.reap();
            }
            Source::Listener => self.accept(),
            Source::Connection(number) => self.receive(number),
            Source::ContainerStart(id) => self.advance_container(&id),
            Source::ExecStart(pid) => self.advance_exec(pid),
            // Earlier events in this round may have shifted indexes; the next poll reports again what is ready.
            Source::Output(id, index) => {
                if let Some(container) = self.containers.get_mut(&id)
                    && index < container.outputs.len()
                {
                    container.pump(index);
                }
            }
            Source::ClientStdin(id, index) => {
                if let Some(container) = self.containers.get_mut(&id)
                    && index < container.clients.len()
                    && let Some(connection) = container.pump_stdin(index)
                {
                    self.reply(connection, &Reply::Done, &[]);
                }
            }
            Source::Flush(id) => {
                if let Some(container) = self.containers.get_mut(&id) {
                    container.flush();
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            if socket.set_nonblocking(true).is_ok() {
                let connection = Connection { socket, reader: FrameReader::default(), subscribed: false };
                self.connections.insert(self.next_connection, connection);
                self.next_connection += 1;
            }
        }
    }

    fn receive(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        match connection.reader.fill(&connection.socket) {
            Ok(0) => return self.close(number),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return;
            }
            Err(_) => return self.close(number),
        }
        match connection.reader.next_frame::<Request>() {
            Ok(None) => {}
            Ok(Some((request, descriptors))) => match self.answer(number, request, descriptors) {
                Ok(Some(reply)) => self.reply(number, &reply, &[]),
                Ok(None) => {}
                Err(failure) => self.reply(number, &failure.into(), &[]),
            },
            Err(error) => {
                let message = format!("unreadable request: {error}");
                self.reply(number, &Reply::Failed { message, not_found: false }, &[]);
                self.close(number);
            }
        }
    }

    fn close(&mut self, number: u64) {
        self.connections.remove(&number);
        for container in self.containers.values_mut() {
            container.remove_client(number);
        }
    }

    /// Marks a connection as a subscriber to all exits.
    pub(super) fn subscribe(&mut self, number: u64) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.subscribed = true;
        }
    }

    /// Answers on a connection, and drops one that does not take the answer.
    pub(super) fn reply(&mut self, number: u64, reply: &Reply, descriptors: &[OwnedFd]) {
        let Some(connection) = self.connections.get(&number) else { return };
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        if wire::send_frame(&connection.socket, reply, &descriptors).is_err() {
            self.close(number);
        }
    }

    fn advance_container(&mut self, id: &str) {
        let Some(container) = self.containers.get_mut(id) else { return };
        let Phase::Starting(starting, connection) = &mut container.phase else { return };
        let connection = *connection;
        let outcome = starting.advance();
        let terminal = starting.terminal.take();
        match (outcome, terminal) {
            (Outcome::Pending, terminal) => starting.terminal = terminal,
            (Outcome::Running(identity), terminal) => {
                if let Some(terminal) = terminal {
                    connect_terminal(container, terminal);
                }
                container.phase = Phase::Running;
                let started_at_nanos = now_nanos(&self.clock);
                container.state.identity = identity.clone();
                container.state.started_at_nanos = started_at_nanos;
                container.save();
                let pid = container.pid.as_raw();
                self.reply(connection, &Reply::Started { pid, identity, started_at_nanos }, &[]);
            }
            (Outcome::Failed(message), _) => {
                if let Some(container) = self.containers.remove(id) {
                    let message = match container.cgroup.oom_kills() {
                        0 => message,
                        _ => format!("{message}: out of memory (is the limit too low?)"),
                    };
                    // The child may not be reaped yet; the agent removes the cgroup with the container.
                    let _ = container.cgroup.remove();
                    self.reply(connection, &Reply::Failed { message, not_found: false }, &[]);
                }
            }
        }
    }

    fn advance_exec(&mut self, pid: Pid) {
        let Some(exec) = self.execs.get_mut(&pid) else { return };
        let Some(starting) = &mut exec.starting else { return };
        let outcome = starting.advance();
        exec.master = starting.terminal.take().or(exec.master.take());
        let connection = exec.connection;
        match outcome {
            Outcome::Pending => {}
            Outcome::Running(identity) => {
                let master: Vec<_> = exec.master.take().into_iter().collect();
                exec.starting = None;
                self.reply_started(connection, pid, identity, &master);
            }
            Outcome::Failed(message) => {
                self.execs.remove(&pid);
                self.reply(connection, &Reply::Failed { message, not_found: false }, &[]);
            }
        }
    }

    fn reply_started(&mut self, connection: u64, pid: Pid, identity: Identity, master: &[OwnedFd]) {
        let started_at_nanos = now_nanos(&self.clock);
        let reply = Reply::Started { pid: pid.as_raw(), identity, started_at_nanos };
        self.reply(connection, &reply, master);
    }

    /// Collects every child that has ended; as a subreaper the shim also gets those that containers orphan.
    fn reap(&mut self) {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => self.ended(pid, 128 + signal as i32),
                Ok(WaitStatus::StillAlive) | Err(nix::errno::Errno::ECHILD) => return,
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn ended(&mut self, pid: Pid, code: i32) {
        if self.holder.as_ref().is_some_and(|(holder, _)| *holder == pid) {
            self.holder = None;
        }
        // The child's reports before its exit come first.
        self.advance_exec(pid);
        if let Some(exec) = self.execs.remove(&pid) {
            self.reply(exec.connection, &Reply::ExecExit { code }, &[]);
        }
        let Some(id) = self.containers.iter().find(|(_, one)| one.pid == pid).map(|(id, _)| id.clone())
        else {
            return;
        };
        self.advance_container(&id);
        let Some(container) = self.containers.get_mut(&id) else { return };
        if !container.is_running() {
            return;
        }
        container.finish(code, &self.clock);
        let reply = Reply::Exit { state: container.state.clone() };
        let subscribed = self.connections.iter().filter(|(_, one)| one.subscribed).map(|(number, _)| *number);
        for number in subscribed.collect::<Vec<_>>() {
            self.reply(number, &reply, &[]);
        }
    }
}

fn poll_streams<'a>(
    id: &str,
    container: &'a Container,
    sources: &mut Vec<Source>,
    files: &mut Vec<PollFd<'a>>,
) {
    // While a client is behind, the container's output waits in its pipe.
    if !container.is_held_back() {
        for (index, output) in container.outputs.iter().enumerate() {
            sources.push(Source::Output(id.to_owned(), index));
            files.push(PollFd::new(&output.file, PollFlags::IN));
        }
    }
    let stdin_waits = container.stdin.as_ref().is_some_and(Sink::is_full);
    for (index, client) in container.clients.iter().enumerate() {
        if let (Some(stdin), false) = (&client.stdin, stdin_waits) {
            sources.push(Source::ClientStdin(id.to_owned(), index));
            files.push(PollFd::new(stdin, PollFlags::IN));
        }
    }
    let sinks = container.clients.iter().flat_map(|client| [&client.stdout, &client.stderr]);
    for file in sinks.chain([&container.stdin]).flatten().filter_map(Sink::poll_fd) {
        sources.push(Source::Flush(id.to_owned()));
        files.push(file);
    }
}

/// Makes the terminal's master side the container's output and, if it has one, its input.
fn connect_terminal(container: &mut Container, terminal: OwnedFd) {
    use super::container::Output;
    use super::log::Stream;
    // Without the flag a read could block the shim, so that no terminal is better.
    if spawn::set_nonblocking(&terminal).is_err() {
        return;
    }
    if container.launch.stdin {
        container.stdin = terminal.try_clone().ok().map(Sink::new);
    }
    container.outputs.push(Output { file: terminal, stream: Stream::Stdout });
}
