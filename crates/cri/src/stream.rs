//! Streams of exec, attach and port-forward.

use std::pin::Pin;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::CriError;

/// Bytes to a process.
pub type InputStream = Pin<Box<dyn AsyncWrite + Send>>;

/// Bytes from a process.
pub type OutputStream = Pin<Box<dyn AsyncRead + Send>>;

/// Resolves to a process's exit code, 128 + n after signal n.
pub type ExitFuture = BoxFuture<'static, Result<i32, CriError>>;

/// Both directions of a connection.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send + ?Sized> Duplex for T {}

/// A connection to a port in a sandbox.
pub type DuplexStream = Pin<Box<dyn Duplex>>;

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// The command to run in a container, and its streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Give it a terminal; standard error then comes with standard output.
    pub tty: bool,
    /// Connect standard input.
    pub stdin: bool,
    /// Connect standard output.
    pub stdout: bool,
    /// Connect standard error; not with `tty`.
    pub stderr: bool,
}

/// Which streams of a container's process to join.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// The container has a terminal (must agree with its configuration).
    pub tty: bool,
    /// Join standard input.
    pub stdin: bool,
    /// Join standard output.
    pub stdout: bool,
    /// Join standard error; not with `tty`.
    pub stderr: bool,
}

/// A running exec or attach.
///
/// The output streams end when the process has closed them; read them to their end before showing the exit code.
/// Dropping `stdin` (or shutting it down) closes the process's input. Dropping the session detaches: the process of an
/// exec gets its input closed and its terminal hung up, an attached container keeps running.
pub struct StreamingSession {
    /// Standard input, if asked for.
    pub stdin: Option<InputStream>,
    /// Standard output, if asked for.
    pub stdout: Option<OutputStream>,
    /// Standard error, if asked for and without terminal.
    pub stderr: Option<OutputStream>,
    /// Takes changes of the terminal's size; present with a terminal.
    pub resize: Option<mpsc::Sender<TerminalSize>>,
    /// The end of the process; for an attached client also the end of its input, unless that is the end of the
    /// container's input (`stdin_once` without a terminal).
    pub exit: ExitFuture,
}

impl std::fmt::Debug for StreamingSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamingSession")
            .field("stdin", &self.stdin.is_some())
            .field("stdout", &self.stdout.is_some())
            .field("stderr", &self.stderr.is_some())
            .field("tty", &self.resize.is_some())
            .finish_non_exhaustive()
    }
}

/// The result of a command that was waited for. An engine cuts long output off: the embedded one at 64 KiB a stream,
/// others at 16 MiB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecSyncResult {
    /// Standard output.
    pub stdout: Bytes,
    /// Standard error.
    pub stderr: Bytes,
    /// The exit code.
    pub exit_code: i32,
}
