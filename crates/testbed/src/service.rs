//! The program under test, running as a service on a host.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::cannot;
use crate::{Host, Process, TestbedError, output};

/// How long a service may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);

/// `ironhull server` or `ironhull agent` on a host. Containers live on when it ends, until the host is turned off.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) host: Arc<Host>,
    program: PathBuf,
    /// The subcommand, also the name of the log.
    role: &'static str,
    flags: Mutex<Vec<String>>,
    process: Mutex<Option<Process>>,
}

/// Test hosts share this machine's disk and memory, of which others may have taken most: pods are evicted, and images
/// removed, only where a test asks for it.
pub const SHARED_DISK: [&str; 2] = ["--eviction-hard=memory.available<1Mi", "--image-gc-high-threshold=100"];

impl Service {
    /// One that does not run yet.
    pub(crate) fn new(host: &Arc<Host>, program: PathBuf, role: &'static str, flags: Vec<String>) -> Service {
        Service { host: Arc::clone(host), program, role, flags: Mutex::new(flags), process: Mutex::default() }
    }

    /// Where it keeps its state.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.host.directory().join("data")
    }

    /// The program with a subcommand that takes a data directory.
    pub(crate) fn ironhull(&self, subcommand: &[&str]) -> Command {
        let mut command = self.host.command(&self.program);
        command
            .args(subcommand)
            .arg("--data-dir")
            .arg(self.data_dir())
            // This machine's own configuration must not affect the test.
            .env("IRONHULL_CONFIG", self.host.directory().join("no-config"));
        command
    }

    /// Starts it, for the first time or again.
    pub(crate) fn start(&self) -> Result<(), TestbedError> {
        let mut command = self.ironhull(&[self.role]);
        command.args(["--node-name", self.host.name()]).args(SHARED_DISK).args(&*self.flags());
        let process = self.host.start(self.role, command)?;
        *self.process() = Some(process);
        Ok(())
    }

    /// Other flags, from the next start on.
    pub(crate) fn set_flags(&self, flags: &[&str]) {
        *self.flags() = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    /// An error if it does not run.
    pub(crate) fn check(&self) -> Result<(), TestbedError> {
        let stopped = TestbedError::Ended { program: self.role.to_owned(), words: String::new() };
        self.process().as_mut().map_or(Err(stopped), Process::check)
    }

    /// Its process id, as this machine counts; none when it does not run.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.process().as_ref().map(Process::pid)
    }

    /// Ends it by a signal, and waits until it has ended.
    pub(crate) fn end(&self, signal: Signal) -> Result<(), TestbedError> {
        let Some(mut process) = self.process().take() else { return Ok(()) };
        process.signal(signal);
        process.wait(END_WITHIN).map(|_| ())
    }

    /// Runs `ironhull reset`.
    pub(crate) fn reset(&self) -> Result<String, TestbedError> {
        output(&mut self.ironhull(&["reset"]))
    }

    /// Runs `ironhull image import`.
    pub(crate) fn import_image(&self, archive: &Path) -> Result<String, TestbedError> {
        // Opened here: the host may have something else at that path.
        let file = File::open(archive).map_err(cannot(format!("read {}", archive.display())))?;
        output(self.ironhull(&["image", "import", "/dev/stdin"]).stdin(file))
    }

    /// Everything that it has written, over all its starts.
    pub(crate) fn log(&self) -> String {
        std::fs::read(self.log_path())
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .unwrap_or_default()
    }

    /// The file that it writes to.
    pub(crate) fn log_path(&self) -> PathBuf {
        self.host.directory().join("logs").join(self.role)
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flags(&self) -> MutexGuard<'_, Vec<String>> {
        self.flags.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
