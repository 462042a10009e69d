//! A cluster on a test host: `ironhull server`, and kubectl to talk to it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::cannot;
use crate::process::last_words;
use crate::{Host, Process, TestbedError, output, until};

/// How long a server may take until its node is ready: a debug build on a machine that runs other tests.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long a server may take to end.
const END_WITHIN: Duration = Duration::from_secs(30);

/// `ironhull server` on a test host. Containers live on when it ends, until the host is dropped.
#[derive(Debug)]
pub struct Server {
    host: Arc<Host>,
    program: PathBuf,
    flags: Vec<String>,
    process: Mutex<Option<Process>>,
}

impl Server {
    /// Starts `program server` with these flags besides those that keep it to its host, and waits until its node
    /// is ready.
    ///
    /// # Errors
    /// If it ends, or if its node is not ready in time; the text holds the end of its log.
    pub fn start(
        host: &Arc<Host>,
        program: impl Into<PathBuf>,
        flags: &[&str],
    ) -> Result<Server, TestbedError> {
        let server = Server {
            host: Arc::clone(host),
            program: program.into(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            process: Mutex::new(None),
        };
        server.start_again()?;
        server.wait_ready()?;
        Ok(server)
    }

    /// The host.
    pub fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Where the server keeps its state.
    pub fn data_dir(&self) -> PathBuf {
        self.host.directory().join("data")
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir().join("kubeconfig")
    }

    /// Starts the server after it was stopped or killed.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn start_again(&self) -> Result<(), TestbedError> {
        let mut command = self.ironhull(&["server"]);
        command.args(["--node-name", self.host.name()]).args(&self.flags);
        let process = self.host.start("server", command)?;
        *self.process() = Some(process);
        Ok(())
    }

    /// Waits until the API server and the node say that they are ready.
    ///
    /// # Errors
    /// [`TestbedError::Ended`] or [`TestbedError::Late`], with the end of the log.
    pub fn wait_ready(&self) -> Result<(), TestbedError> {
        let node = format!("node/{}", self.host.name());
        let ready = until("a server that is ready", READY_WITHIN, || {
            if let Some(process) = self.process().as_mut()
                && let Err(ended) = process.check()
            {
                return Ok(Err(ended));
            }
            match output(&mut self.kubectl(&["get", "--raw", "/readyz"])) {
                Ok(_) => Ok(Ok(())),
                Err(error) => Err(error.to_string()),
            }
        });
        let ready = ready.and_then(|ended| ended).and_then(|()| {
            let limit = format!("--timeout={}s", READY_WITHIN.as_secs());
            output(&mut self.kubectl(&["wait", "--for=create", &node, &limit]))?;
            output(&mut self.kubectl(&["wait", "--for=condition=Ready", &node, &limit]))
        });
        match ready {
            Ok(_) => Ok(()),
            Err(TestbedError::Ended { program, words }) => Err(TestbedError::Ended { program, words }),
            Err(error) => {
                let words = format!("{error}\n{}", last_words(&self.log()));
                Err(TestbedError::Late {
                    what: "a node that is ready".to_owned(),
                    limit: READY_WITHIN,
                    last: words,
                })
            }
        }
    }

    /// The server's process id, as this machine counts; none when it does not run.
    pub fn pid(&self) -> Option<i32> {
        self.process().as_ref().map(Process::pid)
    }

    /// Kills the server, as a crash would (SIGKILL).
    ///
    /// # Errors
    /// If it does not end.
    pub fn kill(&self) -> Result<(), TestbedError> {
        self.end(Signal::SIGKILL)
    }

    /// Asks the server to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&self) -> Result<(), TestbedError> {
        self.end(Signal::SIGTERM)
    }

    fn end(&self, signal: Signal) -> Result<(), TestbedError> {
        let Some(mut process) = self.process().take() else { return Ok(()) };
        process.signal(signal);
        process.wait(END_WITHIN).map(|_| ())
    }

    /// Runs `ironhull reset`. The server should have ended.
    ///
    /// # Errors
    /// What the command said, if it failed.
    pub fn reset(&self) -> Result<String, TestbedError> {
        output(&mut self.ironhull(&["reset"]))
    }

    /// The program under test with a subcommand that takes a data directory.
    pub fn ironhull(&self, subcommand: &[&str]) -> Command {
        let mut command = self.host.command(&self.program);
        command
            .args(subcommand)
            .arg("--data-dir")
            .arg(self.data_dir())
            // This machine's own configuration is none of the test's.
            .env("IRONHULL_CONFIG", self.host.directory().join("no-config"));
        command
    }

    /// A kubectl command as the administrator. kubectl is looked for where `IRONHULL_CLIENTS` says, or in `PATH`.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        self.client("kubectl", arguments)
    }

    /// As [`Server::kubectl`], of another program that reads a kubeconfig.
    pub fn client(&self, program: &str, arguments: &[&str]) -> Command {
        let program = match std::env::var_os("IRONHULL_CLIENTS") {
            Some(directory) => Path::new(&directory).join(program),
            None => PathBuf::from(program),
        };
        let mut command = self.host.command(program);
        command
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig())
            // Where clients keep what they found out about a server.
            .env("HOME", self.host.directory())
            .stdin(Stdio::null());
        command
    }

    /// Runs kubectl with `input` and returns what it writes to its standard output.
    ///
    /// # Errors
    /// [`TestbedError::Failed`] with everything it said.
    pub fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<String, TestbedError> {
        // A file, not a pipe: nobody has to write while kubectl runs.
        let mut file = tempfile::tempfile().map_err(cannot("write kubectl's input"))?;
        file.write_all(input.as_bytes()).map_err(cannot("write kubectl's input"))?;
        std::io::Seek::rewind(&mut file).map_err(cannot("write kubectl's input"))?;
        let mut command = self.kubectl(arguments);
        command.stdin(file);
        output(&mut command)
    }

    /// Everything that the server has written, over all its starts.
    pub fn log(&self) -> String {
        let path = self.host.directory().join("logs/server");
        std::fs::read(path).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
