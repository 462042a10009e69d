//! Exec, attach and port-forward.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;
use rustix::termios::Winsize;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::container::{Container, START_TIMEOUT};
use super::sandbox::Sandbox;
use super::shim_client::{Replies, ShimError};
use super::{Engine, launch, namespaces};
use crate::shim::protocol::{Reply, Request, Stdio};
use crate::shim::sys;
use cri::{
    AttachOptions, CriError, DuplexStream, ExecOptions, ExecSyncResult, NamespaceMode, StreamingSession,
    TerminalSize,
};

/// How much output a stream of [`Engine::exec_and_wait`] keeps. Upstream's limit is 16 MiB, of which probes and hooks
/// show 10 KiB; there may be one running probe per container.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// How long a port of a sandbox may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many changes of a terminal's size may wait.
const RESIZES_MAX: usize = 8;

/// A process that was started in a container.
struct Started {
    session: StreamingSession,
    exec: String,
}

impl Engine {
    /// A container that runs, with its sandbox.
    fn running(&self, id: &str) -> Result<(Arc<Sandbox>, Arc<Container>), CriError> {
        let container = self.container(id)?;
        if !container.is_running() {
            return Err(CriError::FailedPrecondition(format!("container {id} is not running")));
        }
        let sandbox_id = container.record.lock().sandbox_id.clone();
        Ok((self.sandbox(&sandbox_id)?, container))
    }

    pub(super) async fn exec_and_wait(
        &self,
        id: &str,
        command: &[String],
        timeout: Duration,
    ) -> Result<ExecSyncResult, CriError> {
        let options =
            ExecOptions { command: command.to_vec(), stdout: true, stderr: true, ..Default::default() };
        let began = Instant::now();
        let limit = if timeout.is_zero() { START_TIMEOUT } else { timeout };
        let Started { mut session, exec } = self.start_exec(id, &options, limit).await?;
        let collect = async {
            let (stdout, stderr) = (session.stdout.take(), session.stderr.take());
            let (stdout, stderr, code) = tokio::join!(collect(stdout), collect(stderr), &mut session.exit);
            Ok::<_, CriError>(ExecSyncResult { stdout, stderr, exit_code: code? })
        };
        if timeout.is_zero() {
            return collect.await;
        }
        match tokio::time::timeout_at(began + timeout, collect).await {
            Ok(result) => result,
            Err(_) => {
                let (sandbox, _) = self.running(id)?;
                Err(kill_late(&sandbox, exec, command, timeout).await)
            }
        }
    }

    pub(super) async fn exec_session(
        &self,
        id: &str,
        options: &ExecOptions,
    ) -> Result<StreamingSession, CriError> {
        Ok(self.start_exec(id, options, START_TIMEOUT).await?.session)
    }

    async fn start_exec(
        &self,
        id: &str,
        options: &ExecOptions,
        limit: Duration,
    ) -> Result<Started, CriError> {
        let (sandbox, container) = self.running(id)?;
        let process =
            launch::exec_process(&sandbox.snapshot(), &container.snapshot(), &options.command, options.tty)?;
        let wanted = Stdio {
            stdin: options.stdin && !options.tty,
            stdout: options.stdout && !options.tty,
            stderr: options.stderr && !options.tty,
        };
        let (pipes, descriptors) = pipes(wanted)?;
        let exec = self.new_id();
        let request = Request::Exec {
            container: id.to_owned(),
            exec: exec.clone(),
            process: Box::new(process),
            stdio: wanted,
        };
        let failed = |error| CriError::internal("failed to exec in container", error);
        let mut call = match tokio::time::timeout(limit, sandbox.shim.open(request, descriptors)).await {
            Ok(call) => call.map_err(failed)?,
            Err(_) => return Err(kill_late(&sandbox, exec, &options.command, limit).await),
        };
        let terminal = call.descriptors.pop();
        let replies = call.into_replies().map_err(|error| failed(ShimError::Unreachable(error)))?;
        let exit = Box::pin(exec_exit(replies));
        let mut session = pipes.into_session(exit);
        if options.tty {
            let terminal = terminal.ok_or_else(|| failed(ShimError::Unexpected))?;
            connect_terminal(&mut session, terminal, options)
                .map_err(|error| CriError::internal("connect the terminal", error))?;
        }
        Ok(Started { session, exec })
    }

    pub(super) async fn attach_session(
        &self,
        id: &str,
        options: &AttachOptions,
    ) -> Result<StreamingSession, CriError> {
        let (sandbox, container) = self.running(id)?;
        let tty = container.record.lock().config.tty;
        let stdio = Stdio { stdin: options.stdin, stdout: options.stdout, stderr: options.stderr && !tty };
        let (pipes, descriptors) = pipes(stdio)?;
        let failed = |error| CriError::internal("failed to attach to container", error);
        let request = Request::Attach { container: id.to_owned(), stdio };
        let call = sandbox.shim.open(request, descriptors).await.map_err(failed)?;
        let connection = call.into_replies().map_err(|error| failed(ShimError::Unreachable(error)))?;
        let exit = attach_exit(container, connection);
        let mut session = pipes.into_session(Box::pin(exit));
        if tty {
            let (sender, mut sizes) = mpsc::channel::<TerminalSize>(RESIZES_MAX);
            let container = id.to_owned();
            tokio::spawn(async move {
                while let Some(TerminalSize { width, height }) = sizes.recv().await {
                    let request = Request::Resize { container: container.clone(), width, height };
                    if sandbox.shim.call(request).await.is_err() {
                        return;
                    }
                }
            });
            session.resize = Some(sender);
        }
        Ok(session)
    }

    pub(super) async fn connect_port(&self, sandbox_id: &str, port: u16) -> Result<DuplexStream, CriError> {
        let sandbox = self.sandbox(sandbox_id)?;
        if !sandbox.is_ready() {
            return Err(CriError::FailedPrecondition(format!("sandbox {sandbox_id} is not ready")));
        }
        let options = &sandbox.snapshot().config.linux.security_context.namespace_options;
        let own_network = options.network != NamespaceMode::Node;
        let path = namespaces::network_path(&sandbox.directory);
        // A server may listen on one family's loopback address only.
        let mut failure = None;
        for address in
            [SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))]
        {
            match connect_in(own_network.then(|| path.clone()), address).await {
                Ok(stream) => return Ok(Box::pin(stream)),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        let error = failure.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into());
        let context =
            format!("failed to connect to localhost:{port} inside namespace of sandbox {sandbox_id}");
        Err(CriError::internal(context, error))
    }
}

/// Connects inside a network namespace, or the host's own. The socket is created there, which does not block; if the
/// pod does not answer the connection, that blocks no thread, and there is a time limit.
async fn connect_in(namespace: Option<PathBuf>, address: SocketAddr) -> io::Result<TcpStream> {
    let make = move || {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let make = || {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
        };
        match namespace {
            Some(path) => namespaces::in_network(&path, make),
            None => make(),
        }
    };
    let socket: OwnedFd = tokio::task::spawn_blocking(make).await.map_err(io::Error::other).flatten()?;
    let connect = TcpSocket::from_std_stream(socket.into()).connect(address);
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    tokio::time::timeout(CONNECT_TIMEOUT, connect).await.map_err(late).flatten()
}

/// Kills a command that took too long, and reports that.
async fn kill_late(sandbox: &Sandbox, exec: String, command: &[String], limit: Duration) -> CriError {
    let kill = Request::SignalExec { exec, signal: nix::libc::SIGKILL };
    match sandbox.shim.call(kill).await {
        Err(error @ ShimError::Unreachable(_)) => CriError::internal("kill the command", error),
        // Refused if it has just ended.
        _ => CriError::DeadlineExceeded(format!(
            "command {command:?} timed out after {}s",
            limit.as_secs_f64()
        )),
    }
}

/// Reads a stream to its end, keeping its beginning.
async fn collect(stream: Option<cri::OutputStream>) -> Bytes {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        let mut limited = (&mut stream).take(OUTPUT_BYTES_MAX);
        // An error has the same effect as the end of the stream.
        let _ = limited.read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
    kept.into()
}

async fn exec_exit(mut replies: Replies) -> Result<i32, CriError> {
    match replies.next().await {
        Ok(Some(Reply::ExecExit { code })) => Ok(code),
        Ok(_) => Err(CriError::Unavailable("the pod's shim ended during the command".to_owned())),
        Err(error) => Err(CriError::internal("wait for the command", error)),
    }
}

/// Waits for the end of the container, or until the shim says that the client's input has ended and the client with it.
/// While this exists the client is attached.
async fn attach_exit(container: Arc<Container>, mut connection: Replies) -> Result<i32, CriError> {
    let mut state = container.state.subscribe();
    let detached = async {
        if !matches!(connection.next().await, Ok(Some(_))) {
            // The shim is gone, and the container will be soon.
            std::future::pending().await
        }
    };
    let exit = tokio::select! {
        biased;
        exit = state.wait_for(|state| state.as_ref().is_some_and(|state| state.exit.is_some())) => exit,
        () = detached => return Ok(0),
    };
    let code = exit
        .ok()
        .and_then(|state| state.as_ref().and_then(|state| state.exit.as_ref()).map(|exit| exit.code));
    code.ok_or_else(|| CriError::Unavailable("the container is gone".to_owned()))
}

/// The agent's ends of a process's streams.
struct Pipes {
    stdin: Option<Sender>,
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
}

impl Pipes {
    fn into_session(self, exit: cri::ExitFuture) -> StreamingSession {
        let output = |pipe: Option<Receiver>| pipe.map(|pipe| Box::pin(pipe) as cri::OutputStream);
        StreamingSession {
            stdin: self.stdin.map(|pipe| Box::pin(pipe) as cri::InputStream),
            stdout: output(self.stdout),
            stderr: output(self.stderr),
            resize: None,
            exit,
        }
    }
}

/// Creates pipes; returns the agent's ends, and the others in the order used in requests.
fn pipes(wanted: Stdio) -> Result<(Pipes, Vec<OwnedFd>), CriError> {
    let make = || -> io::Result<_> {
        let mut descriptors = Vec::new();
        let mut pipes = Pipes { stdin: None, stdout: None, stderr: None };
        if wanted.stdin {
            let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
            pipes.stdin = Some(Sender::from_owned_fd(nonblocking(writer)?)?);
            descriptors.push(reader);
        }
        for (wanted, slot) in [(wanted.stdout, &mut pipes.stdout), (wanted.stderr, &mut pipes.stderr)] {
            if wanted {
                let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
                *slot = Some(Receiver::from_owned_fd(nonblocking(reader)?)?);
                descriptors.push(writer);
            }
        }
        Ok((pipes, descriptors))
    };
    make().map_err(|error| CriError::internal("make pipes", error))
}

fn nonblocking(file: OwnedFd) -> io::Result<OwnedFd> {
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags | rustix::fs::OFlags::NONBLOCK)?;
    Ok(file)
}

/// Makes a terminal's master side the session's streams.
fn connect_terminal(
    session: &mut StreamingSession,
    master: OwnedFd,
    options: &ExecOptions,
) -> io::Result<()> {
    let terminal = Terminal { file: Arc::new(sys::watch(nonblocking(master)?)?) };
    let (sender, mut sizes) = mpsc::channel::<TerminalSize>(RESIZES_MAX);
    // The terminal hangs up when the session drops it: this must not keep it open.
    let file = Arc::downgrade(&terminal.file);
    tokio::spawn(async move {
        while let Some(TerminalSize { width, height }) = sizes.recv().await {
            let Some(file) = file.upgrade() else { return };
            let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
            let _ = rustix::termios::tcsetwinsize(file.get_ref(), size);
        }
    });
    session.resize = Some(sender);
    session.stdin = options.stdin.then(|| Box::pin(terminal.clone()) as cri::InputStream);
    session.stdout = Some(Box::pin(terminal));
    Ok(())
}

/// The master side of a terminal.
#[derive(Clone)]
struct Terminal {
    file: Arc<AsyncFd<OwnedFd>>,
}

impl AsyncRead for Terminal {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.file.poll_read_ready(cx))?;
            let unfilled = buf.initialize_unfilled();
            match guard.try_io(|file| Ok(rustix::io::read(file.as_fd(), unfilled)?)) {
                Ok(Ok(count)) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // The other side is closed everywhere, which is the end for a terminal.
                Ok(Err(error)) if Errno::from_io_error(&error) == Some(Errno::IO) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Terminal {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut guard = ready!(self.file.poll_write_ready(cx))?;
            match guard.try_io(|file| Ok(rustix::io::write(file.as_fd(), data)?)) {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
