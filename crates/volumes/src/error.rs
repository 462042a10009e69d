//! Errors during the set-up of volumes.

use std::io;
use std::path::PathBuf;

/// An error of a volume. The texts appear in `FailedMount` events.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A ConfigMap or a Secret does not exist.
    #[error("{kind} {name:?} not found")]
    NotFound {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The server did not send a ConfigMap or a Secret in time.
    #[error("failed to sync {kind} cache: timed out waiting for the condition")]
    NotSynced {
        /// `configmap` or `secret`.
        kind: &'static str,
    },
    /// An item names a key that is not in the object.
    #[error("references non-existent {kind} key: {key}")]
    NoSuchKey {
        /// `config` or `secret`.
        kind: &'static str,
        /// The key.
        key: String,
    },
    /// A pod field cannot be read.
    #[error(transparent)]
    Downward(#[from] crate::downward::DownwardError),
    /// A service account token was refused.
    #[error("failed to fetch token")]
    Token(#[source] client::ClientError),
    /// The volume's settings cannot be used.
    #[error("{0}")]
    Invalid(String),
    /// The path on the host is not of the type that the volume requires.
    #[error("hostPath type check failed: {0}")]
    HostPathType(String),
    /// The control side has not attached the volume's device to this node.
    #[error("volume {0} is not attached to this node yet")]
    NotAttached(String),
    /// The step cannot be recorded, so it is not carried out.
    #[error("record the mounts in {path}")]
    Record {
        /// The directory of the record.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No plugin supports the volume's source.
    #[error("no volume plugin matched")]
    NoPlugin,
    /// The host's file system failed.
    #[error("{step} {path}")]
    Io {
        /// The step that failed.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl VolumeError {
    /// For `map_err`: the step and its path.
    pub(crate) fn io(step: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> VolumeError {
        let path = path.into();
        move |source| VolumeError::Io { step, path, source }
    }

    /// The message with all its causes.
    pub fn full_message(&self) -> String {
        causes::chain(self)
    }
}
