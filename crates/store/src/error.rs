//! Errors of a store.

use std::error::Error;

use crate::{LeaseId, Revision};

/// Why a store could not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The history that the request needs was compacted; for a watch: the watcher must list again.
    #[error("revision {requested} was compacted, the oldest kept is {oldest}")]
    Compacted {
        /// The revision asked for.
        requested: Revision,
        /// The oldest revision that can be read.
        oldest: Revision,
    },
    /// The request names a revision that does not exist yet.
    #[error("revision {requested} is in the future, the current one is {current}")]
    FutureRevision {
        /// The revision asked for.
        requested: Revision,
        /// The store's current revision.
        current: Revision,
    },
    /// The lease does not exist: it was never granted, it expired or it was revoked.
    #[error("lease {0} not found")]
    LeaseNotFound(LeaseId),
    /// The value is larger than one may be; nothing was changed.
    #[error("the value is larger than {bytes_max} bytes")]
    TooLarge {
        /// The largest size in bytes.
        bytes_max: usize,
    },
    /// The disk is full, and the write does not make space; nothing was changed.
    #[error("there is no space left on the disk that holds the cluster's state")]
    Full,
    /// The store is shut down, or stopped after a failed sync; whether a write that was in progress took
    /// effect is unknown.
    #[error("the store is closed")]
    Closed,
    /// The backup could not be written.
    #[error("cannot write the backup")]
    Backup(#[source] Box<dyn Error + Send + Sync>),
    /// The backend failed or cannot be reached; whether a write took effect is unknown.
    #[error("the storage backend failed")]
    Backend(#[source] Box<dyn Error + Send + Sync>),
}
