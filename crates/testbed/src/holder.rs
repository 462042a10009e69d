//! Processes that hold namespaces.
//!
//! A holder is process 1 of a PID namespace. It exits when its standard input is closed, which happens when the process
//! that started it exits in any way. The kernel then kills every other process in the namespace, and mounts and
//! interfaces disappear with the last of them.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hostnet::NetNs;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::TestbedError;
use crate::error::cannot;
use crate::process::only_child;

/// The line by which a holder says that its namespaces are set up.
const READY: &str = "ready\n";

/// Namespaces, until this is dropped.
#[derive(Debug)]
pub(crate) struct Holder {
    /// Waits for process 1, from outside of its pid namespace.
    parent: Child,
    init: Pid,
}

impl Holder {
    /// Starts `command`, whose only child becomes process 1, and waits until that prints `ready`. Errors are written to
    /// `log`.
    ///
    /// # Errors
    /// [`TestbedError::Setup`] with the words in the log.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Holder, TestbedError> {
        let errors = File::create(log).map_err(cannot("write a log"))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut parent = command.spawn().map_err(cannot("start a shell"))?;
        let mut said = String::new();
        let stdout = parent.stdout.take().map(BufReader::new);
        let read = stdout.map_or(Ok(0), |mut stdout| stdout.read_line(&mut said));
        if read.is_ok()
            && said == READY
            && let Ok(init) = only_child(parent.id())
        {
            return Ok(Holder { parent, init });
        }
        drop(parent.stdin.take());
        let _ = parent.wait();
        Err(TestbedError::Setup(fs::read_to_string(log).unwrap_or_default()))
    }

    /// Process 1 of the namespaces, as this machine counts.
    pub(crate) fn init(&self) -> i32 {
        self.init.as_raw()
    }

    /// The processes that hold the namespaces.
    pub(crate) fn processes(&self) -> [u32; 2] {
        [self.parent.id(), self.init.as_raw().unsigned_abs()]
    }

    /// Ends every process of the namespaces.
    pub(crate) fn end(&mut self) {
        // Its id may be another's once it was waited for.
        if !matches!(self.parent.try_wait(), Ok(Some(_))) {
            let _ = kill(self.init, Signal::SIGKILL);
        }
        // The parent ends with process 1, which ends after every other process of its namespace.
        let _ = self.parent.wait();
    }

    /// The network namespace.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) fn network(&self) -> Result<NetNs, TestbedError> {
        Ok(NetNs::open(&network_namespace(self.init()))?)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end();
    }
}

/// Where the network namespace of a process is found.
pub(crate) fn network_namespace(process: i32) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/ns/net"))
}

/// A command that runs `program` in namespaces of `init`, each named as `nsenter` does.
pub(crate) fn enter(init: i32, namespaces: &[&str], program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("nsenter");
    command.args(["--target", &init.to_string()]).args(namespaces).arg("--").arg(program);
    command
}
