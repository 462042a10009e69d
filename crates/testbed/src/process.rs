//! Programs on a test host.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::cannot;
use crate::{TestbedError, until};

/// How long the kernel may take to start or end a process on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that runs on a test host until it is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    /// `nsenter`, which waits for the program: pid namespaces are entered by a fork.
    entry: Child,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, which enters namespaces through one child process.
    pub(crate) fn start(name: &str, mut command: Command, log: PathBuf) -> Result<Process, TestbedError> {
        let mut entry = command.spawn().map_err(cannot(format!("start {name}")))?;
        let id = entry.id();
        let pid = child_unless(id, || matches!(entry.try_wait(), Ok(Some(_))))?;
        // One that has ended before it could be seen is sent no signals: any number will do.
        let pid = pid.unwrap_or(Pid::from_raw(i32::MAX));
        Ok(Process { name: name.to_owned(), entry, pid, log })
    }

    /// The program's process id, as this machine counts.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Everything that the program has said, on both streams.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// An error if the program has ended.
    ///
    /// # Errors
    /// [`TestbedError::Ended`] with the end of its log.
    pub fn check(&mut self) -> Result<(), TestbedError> {
        match self.entry.try_wait() {
            Ok(None) => Ok(()),
            _ => Err(TestbedError::Ended { program: self.name.clone(), words: last_words(&self.log()) }),
        }
    }

    /// Sends a signal, unless the program has ended.
    pub fn signal(&mut self, signal: Signal) {
        // The id is the program's as long as `nsenter` waits for it.
        if self.check().is_ok() {
            let _ = kill(self.pid, signal);
        }
    }

    /// Waits until the program has ended.
    ///
    /// # Errors
    /// [`TestbedError::Late`] if it does not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, TestbedError> {
        until(&format!("the end of {}", self.name), limit, || match self.entry.try_wait() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it runs".to_owned()),
            Err(error) => Err(error.to_string()),
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.entry.wait();
    }
}

/// The child of a process that has one, as soon as it has.
pub(crate) fn only_child(parent: u32) -> Result<Pid, TestbedError> {
    let child = child_unless(parent, || false)?;
    child.ok_or_else(|| TestbedError::Setup(format!("process {parent} has no child")))
}

/// As [`only_child`]; none if the parent has ended.
fn child_unless(parent: u32, mut has_ended: impl FnMut() -> bool) -> Result<Option<Pid>, TestbedError> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let first = || -> Option<i32> { fs::read_to_string(&path).ok()?.split_whitespace().next()?.parse().ok() };
    until(&format!("the child of process {parent}"), PATIENCE, || match first() {
        Some(pid) => Ok(Some(Pid::from_raw(pid))),
        None if has_ended() => Ok(None),
        None => Err(format!("{path} is empty")),
    })
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// [`TestbedError::Failed`] with everything it said, if it failed.
pub fn output(command: &mut Command) -> Result<String, TestbedError> {
    let shown = shown(command);
    let output = command.output().map_err(cannot(format!("run {shown}")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let said = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    Err(TestbedError::Failed { command: shown, status: output.status, output: said })
}

/// A command as people would type it, without the prefix that enters the host.
fn shown(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    let own = words.iter().position(|word| word == "--").map_or(0, |place| place + 1);
    let name = |word: &str| Path::new(word).file_name().map(|name| name.to_string_lossy().into_owned());
    let mut words: Vec<String> = words[own..].iter().map(|word| word.to_string()).collect();
    if let Some(first) = words.first_mut()
        && let Some(name) = name(first)
    {
        *first = name;
    }
    words.join(" ")
}

/// The end of a log.
pub(crate) fn last_words(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
