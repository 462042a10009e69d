//! The agent's side of the shim's socket.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio as ProcessStdio};

use rustix::fs::CWD;
use rustix::mount::OpenTreeFlags;
use tokio::io::Interest;

use crate::shim::protocol::{Reply, Request, SOCKET_NAME};
use crate::shim::sys::{self, mount_attr};
use crate::shim::wire::{self, FrameReader};

/// Why a shim did not carry out a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum ShimError {
    /// It does not run, or ended during the call.
    #[error("the pod's shim cannot be reached")]
    Unreachable(#[source] io::Error),
    /// It refused, with a reason.
    #[error("{message}")]
    Refused {
        /// A message for users.
        message: String,
        /// It does not know the container or process.
        not_found: bool,
    },
    /// Its response does not match the request.
    #[error("unexpected answer from the pod's shim")]
    Unexpected,
}

/// The program that shims run.
#[derive(Debug)]
pub(super) struct ShimProgram {
    /// A read-only view of the program's file: a process in a container cannot write, through `/proc/<pid>/exe`, to the
    /// program that the host will run again.
    view: OwnedFd,
    arguments: Vec<OsString>,
}

impl ShimProgram {
    /// A program, with these arguments before the sandbox's directory.
    pub(super) fn open(program: &Path, arguments: Vec<OsString>) -> io::Result<ShimProgram> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let view = rustix::mount::open_tree(CWD, program, flags)?;
        sys::mount_setattr(&view, false, mount_attr::RDONLY, mount_attr::PROPAGATE_PRIVATE)?;
        Ok(ShimProgram { view, arguments })
    }

    /// Starts the shim of a sandbox; it listens when this returns. Blocks.
    pub(super) fn start(&self, directory: &Path) -> io::Result<()> {
        let output = Command::new(format!("/proc/self/fd/{}", self.view.as_raw_fd()))
            .args(&self.arguments)
            .arg(directory)
            .env_clear()
            .stdin(ProcessStdio::null())
            .stdout(ProcessStdio::null())
            .stderr(ProcessStdio::piped())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("{} {}", output.status, message.trim())))
    }
}

/// The shim of one sandbox.
#[derive(Clone, Debug)]
pub(super) struct ShimClient {
    directory: PathBuf,
}

/// A call whose connection stays open for more replies.
pub(super) struct Call {
    pub(super) reply: Reply,
    pub(super) descriptors: Vec<OwnedFd>,
    socket: UnixStream,
    reader: FrameReader,
}

impl ShimClient {
    /// The shim that listens in this directory.
    pub(super) fn new(directory: PathBuf) -> ShimClient {
        ShimClient { directory }
    }

    /// Sends a request that is complete when the reply arrives.
    pub(super) async fn call(&self, request: Request) -> Result<Reply, ShimError> {
        Ok(self.open(request, Vec::new()).await?.reply)
    }

    /// Sends a request and keeps the connection.
    pub(super) async fn open(&self, request: Request, descriptors: Vec<OwnedFd>) -> Result<Call, ShimError> {
        let directory = self.directory.clone();
        let blocking = move || {
            let socket = connect(&directory)?;
            let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
            wire::send_frame(&socket, &request, &borrowed)?;
            // The shim has its own copies now; ours would keep pipes open.
            drop(borrowed);
            drop(descriptors);
            let mut reader = FrameReader::default();
            match reader.read_frame(&socket)? {
                Some((reply, descriptors)) => Ok(Call { reply, descriptors, socket, reader }),
                None => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            }
        };
        let result = tokio::task::spawn_blocking(blocking).await;
        let call = result.map_err(io::Error::other).flatten().map_err(ShimError::Unreachable)?;
        match call.reply {
            Reply::Failed { message, not_found } => Err(ShimError::Refused { message, not_found }),
            _ => Ok(call),
        }
    }
}

/// Connects through the directory's descriptor, since a socket's own path may be no longer than 107 bytes.
fn connect(directory: &Path) -> io::Result<UnixStream> {
    let handle = File::open(directory)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{SOCKET_NAME}", handle.as_raw_fd()))
}

impl Call {
    /// Waits for more replies, without a thread.
    pub(super) fn into_replies(self) -> io::Result<Replies> {
        self.socket.set_nonblocking(true)?;
        Ok(Replies { socket: tokio::net::UnixStream::from_std(self.socket)?, reader: self.reader })
    }
}

/// The replies that follow the first one on a connection.
pub(super) struct Replies {
    socket: tokio::net::UnixStream,
    reader: FrameReader,
}

impl Replies {
    /// The next reply; `None` once the shim has closed the connection.
    pub(super) async fn next(&mut self) -> io::Result<Option<Reply>> {
        loop {
            if let Some((reply, _)) = self.reader.next_frame()? {
                return Ok(Some(reply));
            }
            self.socket.readable().await?;
            match self.socket.try_io(Interest::READABLE, || self.reader.fill(&self.socket)) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
