//! What can go wrong at the boundary.

use std::error::Error;

/// Why an image could not be pulled, as far as a caller treats the cases differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullErrorKind {
    /// The reference cannot be parsed (the node agent's `InvalidImageName`).
    InvalidName,
    /// The registry does not have it.
    NotFound,
    /// The registry wants other credentials.
    Unauthorized,
    /// The registry cannot be reached or fails.
    RegistryUnavailable,
    /// The registry asks to slow down.
    TooManyRequests,
    /// The image has nothing for this machine's platform.
    NoMatchingPlatform,
    /// What came does not match its digest, cannot be read or breaks a bound.
    Corrupt,
    /// This machine failed: disk, permissions, mounts.
    Local,
}

/// An error of [`RuntimeService`](super::RuntimeService) or [`ImageService`](super::ImageService).
/// The variants are the gRPC codes that CRI engines use.
#[derive(Debug, thiserror::Error)]
pub enum CriError {
    /// There is no such sandbox, container or image.
    #[error("{kind} {id:?} not found")]
    NotFound {
        /// `sandbox`, `container` or `image`.
        kind: &'static str,
        /// What was asked for.
        id: String,
    },
    /// The name is taken.
    #[error("{kind} {name:?} already exists")]
    AlreadyExists {
        /// `sandbox` or `container`.
        kind: &'static str,
        /// The name that is taken.
        name: String,
    },
    /// The request makes no sense.
    #[error("{0}")]
    InvalidArgument(String),
    /// The request makes no sense in the present state, such as exec in an ended container.
    #[error("{0}")]
    FailedPrecondition(String),
    /// The operation took longer than it was allowed to.
    #[error("{0}")]
    DeadlineExceeded(String),
    /// The engine cannot be reached, or does not support this.
    #[error("{0}")]
    Unavailable(String),
    /// An image could not be pulled.
    #[error("{message}")]
    ImagePull {
        /// How callers should treat it.
        kind: PullErrorKind,
        /// A sentence for people, with the image's name.
        message: String,
    },
    /// Everything else.
    #[error("{context}")]
    Internal {
        /// What was being done.
        context: String,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl CriError {
    /// An [`CriError::Internal`] from what was being done and why it failed (an error or a text).
    pub fn internal(context: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> CriError {
        CriError::Internal { context: context.into(), source: source.into() }
    }

    /// The container does not exist.
    pub fn container_not_found(id: impl Into<String>) -> CriError {
        CriError::NotFound { kind: "container", id: id.into() }
    }

    /// The sandbox does not exist.
    pub fn sandbox_not_found(id: impl Into<String>) -> CriError {
        CriError::NotFound { kind: "sandbox", id: id.into() }
    }

    /// Whether this is [`CriError::NotFound`].
    pub fn is_not_found(&self) -> bool {
        matches!(self, CriError::NotFound { .. })
    }

    /// The message with all its causes, as an event or a status should show it.
    pub fn full_message(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
