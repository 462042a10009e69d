//! A machine that joined a cluster: `ironhull agent` on a test host.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use nix::sys::signal::Signal;

use crate::error::cannot;
use crate::service::Service;
use crate::{Host, TestbedError};

/// `ironhull agent` on a test host. Containers live on when it ends, until the host is turned off.
#[derive(Debug)]
pub struct Agent {
    service: Service,
}

impl Agent {
    /// Starts `program agent`, which joins the server at `url` (`https://ADDRESS:6443`) by a token.
    ///
    /// The server knows whether its node becomes ready: see [`Server::wait_node`](crate::Server::wait_node).
    ///
    /// # Errors
    /// If the process cannot be started. It is not an error if it exits at once.
    pub fn start(
        host: &Arc<Host>,
        program: impl Into<PathBuf>,
        url: &str,
        token: &str,
        flags: &[&str],
    ) -> Result<Agent, TestbedError> {
        // In a file: everybody sees the arguments of processes.
        let file = host.directory().join("token");
        let written = File::options().create(true).write(true).truncate(true).mode(0o600).open(&file);
        written.and_then(|mut to| to.write_all(token.as_bytes())).map_err(cannot("write a token"))?;
        let mut all: Vec<String> = ["--server", url, "--token-file"].map(str::to_owned).into();
        all.push(file.display().to_string());
        all.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let agent = Agent { service: Service::new(host, program.into(), "agent", all) };
        agent.start_again()?;
        Ok(agent)
    }

    /// The host.
    pub fn host(&self) -> &Arc<Host> {
        &self.service.host
    }

    /// Where the agent keeps its state.
    pub fn data_dir(&self) -> PathBuf {
        self.service.data_dir()
    }

    /// Starts the agent after it was stopped or killed, or after its host was turned off and on.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub fn start_again(&self) -> Result<(), TestbedError> {
        self.service.start()
    }

    /// Takes other flags from the next start on, in place of all: server and token too.
    pub fn set_flags(&self, flags: &[&str]) {
        self.service.set_flags(flags);
    }

    /// An error if the agent does not run.
    ///
    /// # Errors
    /// [`TestbedError::Ended`] with the end of its log.
    pub fn check(&self) -> Result<(), TestbedError> {
        self.service.check()
    }

    /// The agent's process id, as this machine counts; none when it does not run.
    pub fn pid(&self) -> Option<i32> {
        self.service.pid()
    }

    /// Kills the agent, as a crash would (SIGKILL).
    ///
    /// # Errors
    /// If it does not end.
    pub fn kill(&self) -> Result<(), TestbedError> {
        self.service.end(Signal::SIGKILL)
    }

    /// Asks the agent to end (SIGTERM), and waits until it has.
    ///
    /// # Errors
    /// If it does not end.
    pub fn stop(&self) -> Result<(), TestbedError> {
        self.service.end(Signal::SIGTERM)
    }

    /// Runs `ironhull reset`. The agent should have ended.
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
    pub fn import_image(&self, archive: &std::path::Path) -> Result<String, TestbedError> {
        self.service.import_image(archive)
    }

    /// The program under test with a subcommand that takes a data directory.
    pub fn ironhull(&self, subcommand: &[&str]) -> Command {
        self.service.ironhull(subcommand)
    }

    /// The file that the agent writes to.
    pub fn log_path(&self) -> PathBuf {
        self.service.log_path()
    }

    /// Everything that the agent has written, over all its starts.
    pub fn log(&self) -> String {
        self.service.log()
    }
}
