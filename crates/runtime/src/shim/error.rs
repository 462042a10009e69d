//! Why a container or process could not be started.

use std::io;

use crate::images::user::UserError;

/// Made in the child that becomes the process; its text travels to the agent and into the pod's status.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    /// A step failed.
    #[error("{step}")]
    Step {
        /// The step that failed.
        step: String,
        /// The kernel's error.
        source: io::Error,
    },
    /// The program cannot be executed. The wording is the one that users of other engines know.
    #[error("exec: {program:?}: {reason}")]
    Program {
        /// As configured.
        program: String,
        /// Why.
        reason: String,
    },
    /// The user or group cannot be resolved.
    #[error(transparent)]
    User(#[from] UserError),
    /// A mount would lie below the container's `/proc`. The wording is the one that users of other engines know.
    #[error("{0:?} cannot be mounted because it is inside /proc")]
    InsideProc(String),
    /// A mount would take the place of the container's `/proc`.
    #[error("{0:?} cannot be mounted because it is not of type proc")]
    OverProc(String),
    /// The configuration makes no sense.
    #[error("{0}")]
    Invalid(String),
}

/// Adds the failed step to a system error.
pub(super) trait Context<T> {
    /// The step, as words that read well before the cause.
    fn step(self, step: impl FnOnce() -> String) -> Result<T, StartError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn step(self, step: impl FnOnce() -> String) -> Result<T, StartError> {
        self.map_err(|source| StartError::Step { step: step(), source: source.into() })
    }
}
