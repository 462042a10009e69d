//! Errors of test hosts.

use std::fmt;
use std::process::ExitStatus;
use std::time::Duration;

/// Errors of a test host, or of a program on it.
#[derive(thiserror::Error)]
pub enum TestbedError {
    /// The machine refused something that the host needs.
    #[error("cannot {task}")]
    Io {
        /// The step that failed.
        task: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The namespaces could not be set up (they take root).
    #[error("cannot set up a test host: {0}")]
    Setup(String),
    /// All numbers of the network's hosts were given away.
    #[error("the network has no address left for one more host")]
    Full,
    /// There is no host with this name.
    #[error("there is no node {name}: the nodes are {known}")]
    NoHost {
        /// The requested name.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The caller that waited for a cluster has given up.
    #[error("stopped before the cluster was ready")]
    Stopped,
    /// A network namespace could not be entered.
    #[error(transparent)]
    Namespace(#[from] hostnet::NetNsError),
    /// The network's packet rules could not be changed.
    #[error(transparent)]
    Rules(#[from] hostnet::nft::NftError),
    /// A command failed.
    #[error("{command}: {status}\n{output}")]
    Failed {
        /// The command with its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// Its output, from both streams.
        output: String,
    },
    /// A program that should run has ended.
    #[error("{program} exited by itself; its last output:\n{words}")]
    Ended {
        /// The program.
        program: String,
        /// The end of its log.
        words: String,
    },
    /// Something did not happen in time.
    #[error("{what}: not within {limit:?}; last state: {last}")]
    Late {
        /// The expected condition.
        what: String,
        /// For how long.
        limit: Duration,
        /// The last observed state.
        last: String,
    },
}

/// The whole chain in readable form: a test shows the errors of its test host in no other form.
impl fmt::Debug for TestbedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&causes::chain(self))
    }
}

/// Turns an error of the system into ours.
pub(crate) fn cannot(task: impl Into<String>) -> impl FnOnce(std::io::Error) -> TestbedError {
    let task = task.into();
    move |source| TestbedError::Io { task, source }
}
