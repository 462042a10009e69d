//! Errors of the image store.

use std::io;
use std::path::Path;

use crate::snapshot::SnapshotError;
use cri::{CriError, PullErrorKind};

/// An error of the image store.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The name cannot be parsed.
    #[error("couldn't parse image name {name:?}: {reason}")]
    InvalidName {
        /// The name as given.
        name: String,
        /// The reason.
        reason: String,
    },
    /// The image is not in the store.
    #[error("image {0:?} not found")]
    NotPresent(String),
    /// The image could not be pulled.
    #[error("failed to pull and unpack image {image:?}: {failure}")]
    Pull {
        /// The full name.
        image: String,
        /// Why.
        failure: PullFailure,
    },
    /// The image could not be pushed.
    #[error("failed to push image {image:?}: {failure}")]
    Push {
        /// The full name.
        image: String,
        /// Why.
        failure: PullFailure,
    },
    /// The archive could not be imported.
    #[error("failed to import the image archive: {0}")]
    Import(PullFailure),
    /// Layers or root file systems failed.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The store's own files failed.
    #[error("{context}")]
    Store {
        /// The step that failed.
        context: String,
        /// Why it failed.
        source: io::Error,
    },
}

/// Why a transfer failed: a kind to act on and a text to show. Cheap to clone, for all who wait for
/// the same pull.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PullFailure {
    /// How callers should handle it.
    pub kind: PullErrorKind,
    /// A human-readable text.
    pub reason: String,
}

impl PullFailure {
    pub(super) fn new(kind: PullErrorKind, reason: impl Into<String>) -> PullFailure {
        PullFailure { kind, reason: reason.into() }
    }

    pub(super) fn corrupt(reason: impl Into<String>) -> PullFailure {
        PullFailure::new(PullErrorKind::Corrupt, reason)
    }
}

impl From<ImageError> for PullFailure {
    fn from(error: ImageError) -> PullFailure {
        use SnapshotError::{DiffIdMismatch, InvalidLayer, TooManyLayers};
        match error {
            ImageError::Pull { failure, .. } | ImageError::Import(failure) => failure,
            ImageError::Snapshot(
                ref source @ (InvalidLayer { .. } | DiffIdMismatch { .. } | TooManyLayers(_)),
            ) => PullFailure::corrupt(format!("failed to extract layer: {}", causes::chain(source))),
            ImageError::InvalidName { .. } => PullFailure::new(PullErrorKind::InvalidName, error.to_string()),
            error => PullFailure::new(PullErrorKind::Local, causes::chain(&error)),
        }
    }
}

impl From<ImageError> for CriError {
    fn from(error: ImageError) -> CriError {
        match error {
            ImageError::InvalidName { .. } => {
                CriError::ImagePull { kind: PullErrorKind::InvalidName, message: error.to_string() }
            }
            ImageError::NotPresent(id) => CriError::NotFound { kind: "image", id },
            ImageError::Pull { ref failure, .. } => {
                CriError::ImagePull { kind: failure.kind, message: error.to_string() }
            }
            ImageError::Snapshot(SnapshotError::InvalidId(_)) => CriError::InvalidArgument(error.to_string()),
            ImageError::Snapshot(source) => CriError::internal("image layers", source),
            ImageError::Store { context, source } => CriError::internal(context, source),
            error @ (ImageError::Import(_) | ImageError::Push { .. }) => {
                CriError::internal("image store", error)
            }
        }
    }
}

/// An [`ImageError::Store`] with the step and its path.
pub(super) fn store_error<E: Into<io::Error>>(action: &str, path: &Path) -> impl FnOnce(E) -> ImageError {
    let context = format!("{action} {}", path.display());
    move |error| ImageError::Store { context, source: error.into() }
}
