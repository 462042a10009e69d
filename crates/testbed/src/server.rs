//! A cluster on a test host: `ironhull server`, and kubectl to talk to it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::error::cannot;
use crate::process::last_words;
use crate::service::Service;
use crate::{Host, TestbedError, output, until};

/// How long a server may take until its node is ready: a debug build on a machine that runs other tests.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// `ironhull server` on a test host. Containers live on when it ends, until the host is turned off.
#[derive(Debug)]
pub struct Server {
    service: Service,
}

impl Server {
    /// Starts `program server` with these flags, in addition to those that confine it to its host, and waits until its
    /// node is ready.
    ///
    /// # Errors
    /// If it ends, or if its node is not ready in time; the text holds the end of its log.
    pub fn start(
        host: &Arc<Host>,
        program: impl Into<PathBuf>,
        flags: &[&str],
    ) -> Result<Server, TestbedError> {
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let server = Server { service: Service::new(host, program.into(), "server", flags) };
        server.start_again()?;
        server.wait_ready()?;
        Ok(server)
    }

    /// The host.
    pub fn host(&self) -> &Arc<Host> {
        &self.service.host
    }

    /// Where the server keeps its state.
    pub fn data_dir(&self) -> PathBuf {
        self.service.data_dir()
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.data_dir().join("kubeconfig")
    }

    /// Where other hosts of the network find the server.
    pub fn url(&self) -> String {
        format!("https://{}:6443", self.host().address())
    }

    /// Starts the server after it was stopped or killed, or after its host was turned off and on.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn start_again(&self) -> Result<(), TestbedError> {
        self.service.start()
    }

    /// Takes other flags from the next start on.
    pub fn set_flags(&self, flags: &[&str]) {
        self.service.set_flags(flags);
    }

    /// Waits until the API server and the node report that they are ready.
    ///
    /// # Errors
    /// [`TestbedError::Ended`] or [`TestbedError::Late`], with the end of the log.
    pub fn wait_ready(&self) -> Result<(), TestbedError> {
        let ready = until("a server that is ready", READY_WITHIN, || {
            if let Err(ended) = self.service.check() {
                return Ok(Err(ended));
            }
            match output(&mut self.kubectl(&["get", "--raw", "/readyz"])) {
                Ok(_) => Ok(Ok(())),
                Err(error) => Err(error.to_string()),
            }
        });
        let ready = ready.and_then(|ended| ended).and_then(|()| self.wait_for(self.host().name()));
        ready.map_err(|error| self.with_log(error, &self.log()))
    }

    /// Waits until a node exists and is ready.
    ///
    /// # Errors
    /// [`TestbedError::Late`] with the end of the server's log.
    pub fn wait_node(&self, name: &str) -> Result<(), TestbedError> {
        self.wait_for(name).map_err(|error| self.with_log(error, &self.log()))
    }

    fn wait_for(&self, node: &str) -> Result<(), TestbedError> {
        let node = format!("node/{node}");
        let limit = format!("--timeout={}s", READY_WITHIN.as_secs());
        output(&mut self.kubectl(&["wait", "--for=create", &node, &limit]))?;
        output(&mut self.kubectl(&["wait", "--for=condition=Ready", &node, &limit])).map(drop)
    }

    fn with_log(&self, error: TestbedError, log: &str) -> TestbedError {
        if matches!(error, TestbedError::Ended { .. }) {
            return error;
        }
        let last = format!("{error:?}\n{}", last_words(log));
        TestbedError::Late { what: "a node that is ready".to_owned(), limit: READY_WITHIN, last }
    }

    /// An error if the server does not run.
    ///
    /// # Errors
    /// [`TestbedError::Ended`] with the end of its log.
    pub fn check(&self) -> Result<(), TestbedError> {
        self.service.check()
    }

    /// The server's process id, as this machine counts; none when it does not run.
    pub fn pid(&self) -> Option<i32> {
        self.service.pid()
    }

    /// Kills the server, as a crash would (SIGKILL).
    ///
    /// # Errors
    /// If it does not end.
    pub fn kill(&self) -> Result<(), TestbedError> {
        self.service.end(Signal::SIGKILL)
    }

    /// Asks the server to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&self) -> Result<(), TestbedError> {
        self.service.end(Signal::SIGTERM)
    }

    /// Runs `ironhull reset`. The server should have ended.
    ///
    /// # Errors
    /// The command's output, if it failed.
    pub fn reset(&self) -> Result<String, TestbedError> {
        self.service.reset()
    }

    /// Takes images from an archive.
    ///
    /// # Errors
    /// The command's output, if it failed.
    pub fn import_image(&self, archive: &Path) -> Result<String, TestbedError> {
        self.service.import_image(archive)
    }

    /// The program under test with a subcommand that takes a data directory.
    pub fn ironhull(&self, subcommand: &[&str]) -> Command {
        self.service.ironhull(subcommand)
    }

    /// A kubectl command as the administrator. kubectl is searched for in the directory of `IRONHULL_CLIENTS`, or in
    /// `PATH`.
    pub fn kubectl(&self, arguments: &[&str]) -> Command {
        self.client("kubectl", arguments)
    }

    /// As [`Server::kubectl`], of another program that reads a kubeconfig.
    pub fn client(&self, program: &str, arguments: &[&str]) -> Command {
        let program = match std::env::var_os("IRONHULL_CLIENTS") {
            Some(directory) => Path::new(&directory).join(program),
            None => PathBuf::from(program),
        };
        let mut command = self.host().command(program);
        command
            .args(arguments)
            .env("KUBECONFIG", self.kubeconfig())
            // The directory of clients' discovery caches.
            .env("HOME", self.host().directory())
            .stdin(Stdio::null());
        command
    }

    /// Runs kubectl with `input` and returns its standard output.
    ///
    /// # Errors
    /// [`TestbedError::Failed`] with everything it said.
    pub fn kubectl_with_input(&self, arguments: &[&str], input: &str) -> Result<String, TestbedError> {
        // A file, not a pipe, so that nothing has to be written while kubectl runs.
        let mut file = tempfile::tempfile().map_err(cannot("write kubectl's input"))?;
        file.write_all(input.as_bytes()).map_err(cannot("write kubectl's input"))?;
        std::io::Seek::rewind(&mut file).map_err(cannot("write kubectl's input"))?;
        let mut command = self.kubectl(arguments);
        command.stdin(file);
        output(&mut command)
    }

    /// The file that the server writes to.
    pub fn log_path(&self) -> PathBuf {
        self.service.log_path()
    }

    /// Everything that the server has written, over all its starts.
    pub fn log(&self) -> String {
        self.service.log()
    }
}
