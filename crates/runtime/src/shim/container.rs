//! One container in the shim: its streams, its log, attached clients, its exit.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use clock::Clock;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::cgroup::Cgroup;
use super::log::{Log, Stream};
use super::protocol::{ContainerState, Exit, Launch, PidNamespace, STATE_NAME};
use super::spawn::Starting;

/// How much is read from a stream at once: the capacity of a pipe.
const CHUNK_BYTES: usize = 64 * 1024;

/// How often an output is read after the container's exit: a pipe holds at most 1 MiB.
const DRAINS_MAX: usize = 64;

/// Whether a container's program runs.
pub(super) enum Phase {
    /// The child has not reported yet; the connection waits for the answer.
    Starting(Starting, u64),
    /// The program runs.
    Running,
    /// It ended.
    Exited,
}

/// One container.
pub(super) struct Container {
    pub(super) launch: Launch,
    pub(super) phase: Phase,
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    pub(super) cgroup: Cgroup,
    pub(super) state: ContainerState,
    pub(super) outputs: Vec<Output>,
    pub(super) stdin: Option<Sink>,
    pub(super) clients: Vec<Client>,
    pub(super) log: Option<Log>,
}

/// A stream that the container writes to.
pub(super) struct Output {
    pub(super) file: OwnedFd,
    pub(super) stream: Stream,
}

/// An attached client.
pub(super) struct Client {
    /// Its connection; the client is gone when that is.
    pub(super) connection: u64,
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<Sink>,
    pub(super) stderr: Option<Sink>,
}

impl Client {
    fn sink(&mut self, stream: Stream) -> &mut Option<Sink> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }
}

/// A descriptor that is written without blocking; data that it does not accept at once are buffered here, and the
/// source pauses until the buffer is empty again.
pub(super) struct Sink {
    file: OwnedFd,
    waiting: VecDeque<u8>,
    /// No more data will arrive; only the buffered data are left.
    last: bool,
}

impl Sink {
    pub(super) fn new(file: OwnedFd) -> Sink {
        Sink { file, waiting: VecDeque::new(), last: false }
    }

    pub(super) fn is_full(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Needs to be polled only while something is buffered.
    pub(super) fn poll_fd(&self) -> Option<PollFd<'_>> {
        self.is_full().then(|| PollFd::new(&self.file, PollFlags::OUT))
    }

    /// Writes as much as possible. An error means that the reader is gone.
    pub(super) fn push(&mut self, data: &[u8]) -> io::Result<()> {
        self.waiting.extend(data);
        while !self.waiting.is_empty() {
            match rustix::io::write(&self.file, self.waiting.as_slices().0) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Container {
    pub(super) fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running)
    }

    /// Whether an attached client still has unread data.
    pub(super) fn is_held_back(&self) -> bool {
        self.clients
            .iter()
            .any(|client| [&client.stdout, &client.stderr].into_iter().flatten().any(Sink::is_full))
    }

    /// Reads once from an output and hands it to the log and the clients. False once there is no more.
    pub(super) fn pump(&mut self, index: usize) -> bool {
        let Output { file, stream } = &self.outputs[index];
        let stream = *stream;
        let mut buffer = [0; CHUNK_BYTES];
        match rustix::io::read(file, &mut buffer) {
            Ok(0) => {}
            Ok(count) => {
                self.deliver(stream, &buffer[..count]);
                return true;
            }
            Err(Errno::AGAIN | Errno::INTR) => return true,
            // A terminal whose other side is closed gives EIO.
            Err(_) => {}
        }
        self.outputs.remove(index);
        self.end_stream(stream);
        false
    }

    fn deliver(&mut self, stream: Stream, data: &[u8]) {
        if let Some(log) = &mut self.log {
            // A full disk must not stop the container; the lines are lost.
            let _ = log.append(stream, data);
        }
        for client in &mut self.clients {
            feed(client.sink(stream), data);
        }
    }

    fn end_stream(&mut self, stream: Stream) {
        if let Some(log) = &mut self.log {
            let _ = log.finish(stream);
        }
        for client in &mut self.clients {
            end(client.sink(stream));
        }
    }

    /// Flushes the buffers of all attached clients and of the container's input.
    pub(super) fn flush(&mut self) {
        feed(&mut self.stdin, &[]);
        for client in &mut self.clients {
            feed(&mut client.stdout, &[]);
            feed(&mut client.stderr, &[]);
        }
    }

    /// Takes what a client typed. Returns the client's connection if it has closed its input and is thereby detached.
    pub(super) fn pump_stdin(&mut self, client: usize) -> Option<u64> {
        let mut buffer = [0; 4096];
        let source = self.clients[client].stdin.as_ref()?;
        match rustix::io::read(source, &mut buffer) {
            Ok(count) if count > 0 => {
                feed(&mut self.stdin, &buffer[..count]);
                None
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            Ok(_) | Err(_) => self.end_client_stdin(client),
        }
    }

    /// Closes the container's input with the client's if it is for one client only. Otherwise the client is done: it
    /// gets the buffered data, and no more.
    fn end_client_stdin(&mut self, client: usize) -> Option<u64> {
        let client = &mut self.clients[client];
        client.stdin = None;
        if self.launch.stdin_once && !self.launch.process.tty {
            self.stdin = None;
            return None;
        }
        for sink in [&mut client.stdout, &mut client.stderr] {
            end(sink);
        }
        Some(client.connection)
    }

    /// Forgets the client behind a connection that closed. Of a container that ended it may still be reading.
    pub(super) fn remove_client(&mut self, connection: u64) {
        if let Some(index) = self.clients.iter().position(|client| client.connection == connection) {
            if self.clients[index].stdin.is_some() {
                self.end_client_stdin(index);
            }
            if self.is_running() {
                self.clients.remove(index);
            }
        }
    }

    /// Records the exit: reads the rest of the output, counts OOM kills, writes the state.
    pub(super) fn finish(&mut self, code: i32, clock: &Clock) {
        if self.launch.namespaces.pid != PidNamespace::Private {
            // The namespace does not end with the first process, so its other processes must be killed.
            self.cgroup.kill();
        }
        // It does not wait for output of other processes that cannot be killed at once.
        for _ in 0..DRAINS_MAX {
            if self.outputs.is_empty() || !self.drain_once() {
                break;
            }
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            self.end_stream(stream);
        }
        self.outputs.clear();
        self.stdin = None;
        let oom_killed = self.cgroup.oom_kills() > 0;
        // It may not be empty yet; the agent removes it with the container at the latest.
        let _ = self.cgroup.remove();
        self.phase = Phase::Exited;
        self.state.exit = Some(Exit { code, finished_at_nanos: now_nanos(clock), oom_killed });
        self.save();
    }

    /// Reads the available output. Returns false if there is none at the moment.
    fn drain_once(&mut self) -> bool {
        let mut files: Vec<_> =
            self.outputs.iter().map(|output| PollFd::new(&output.file, PollFlags::IN)).collect();
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        if !matches!(rustix::event::poll(&mut files, Some(&now)), Ok(ready) if ready > 0) {
            return false;
        }
        if let Some(index) = files.iter().position(|file| !file.revents().is_empty()) {
            self.pump(index);
        }
        true
    }

    /// Writes the state for a later agent. The answer to the running one does not depend on it.
    pub(super) fn save(&self) {
        let write = || -> io::Result<()> {
            let path = self.launch.state_dir.join(STATE_NAME);
            write_atomically(&path, &serde_json::to_vec(&self.state)?)
        };
        let _ = write();
    }
}

/// Writes to a sink, and closes it when its reader is gone or everything has been written.
fn feed(slot: &mut Option<Sink>, data: &[u8]) {
    if slot.as_mut().is_some_and(|sink| sink.push(data).is_err() || (sink.last && !sink.is_full())) {
        *slot = None;
    }
}

/// Closes a sink as soon as it has what it was given.
fn end(slot: &mut Option<Sink>) {
    if let Some(sink) = slot {
        sink.last = true;
    }
    feed(slot, &[]);
}

/// Replaces a file as a whole.
pub(crate) fn write_atomically(path: &Path, data: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let temporary = path.with_extension("tmp");
    let mut file =
        std::fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(data)?;
    std::fs::rename(&temporary, path)
}

/// The wall-clock time as the protocol carries it.
pub(super) fn now_nanos(clock: &Clock) -> i64 {
    i64::try_from(clock.now().as_nanosecond()).unwrap_or(i64::MAX)
}
