//! The revisioned key-value store under the API server.
//!
//! [`Store`] is the boundary: ranges at a revision, compare-and-write, watches from a revision, leases and compaction,
//! with etcd's semantics, so that an etcd cluster can be used through the same trait. A store is used as `Arc<dyn
//! Store>`; only the `apiserver` crate talks to one.
//!
//! - [`Embedded`] is the default backend: the keyspace in memory, a log on disk (see [`embedded`]).
//! - `suite` (feature `suite`) holds the tests that every backend must pass.
//!
//! Keys and values are opaque bytes here: this crate must not know objects, kinds or HTTP.

mod damage;
mod disk;
pub mod embedded;
mod error;
mod log;
mod mark;
mod metrics;
mod request;
#[cfg(feature = "suite")]
pub mod suite;
mod value;

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;

pub use bytes::Bytes;
pub use damage::{Damage, DamagedRecord};
pub use disk::LogError;
pub use embedded::{Embedded, OpenError, Options, restore};
pub use error::StoreError;
pub use metrics::Metrics;
pub use request::{
    Expect, KeyRange, RangeContent, RangeRequest, RangeResponse, WatchRequest, Write, WriteOp, WriteOutcome,
};
pub use texts::Text;
pub use value::{Event, KeyValue, LeaseId, Revision, WatchBatch};

/// The items of a watch: batches in revision order, or one error, after which the stream ends.
///
/// [`StoreError::Compacted`] means that the watcher's next event is no longer kept (it asked too late, or reads too
/// slowly): it must list again. A watch never blocks writers and has no queue.
pub type WatchStream = BoxStream<'static, Result<WatchBatch, StoreError>>;

/// A revisioned key-value store.
///
/// Every successful write gets the next [`Revision`] of the whole store. Reads are linearizable: a range
/// that starts after a write returned sees that write.
///
/// It promises only what etcd provides, and callers must not rely on more: several keys may change at one revision,
/// events contain the previous version only on request, a count takes time, and two answers share no memory.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Reads a range of keys in key order, now or at a past revision. A range of unknown size is read in pages
    /// ([`RangeRequest::limit`]) at one revision: a remote store refuses answers that are too large.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] or [`StoreError::FutureRevision`] for a revision outside the kept history.
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError>;

    /// Puts or deletes one key if its precondition holds; returns once the write is durable.
    ///
    /// A failed precondition is not an error but [`WriteOutcome::Conflict`]. Deleting an absent key (if the
    /// precondition allows it) changes nothing and creates no revision.
    ///
    /// # Errors
    /// [`StoreError::LeaseNotFound`] if the named lease does not exist; [`StoreError::Full`] if there is no space, and
    /// the write is not a deletion and does not lead to one ([`Write::makes_space`]).
    async fn write(&self, write: Write) -> Result<WriteOutcome, StoreError>;

    /// Watches a range of keys; see [`WatchStream`].
    ///
    /// # Errors
    /// [`StoreError::Compacted`] or [`StoreError::FutureRevision`] if [`WatchRequest::from`] is outside the
    /// kept history.
    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError>;

    /// Asks every open watch with [`WatchRequest::progress`] for a progress batch at or after the revision
    /// that is current now.
    async fn request_progress(&self) -> Result<(), StoreError>;

    /// The revision of the last write.
    async fn current_revision(&self) -> Result<Revision, StoreError>;

    /// Drops history before `revision`: reads at it and watches strictly after it still work.
    ///
    /// # Errors
    /// [`StoreError::Compacted`] if that much is compacted already, [`StoreError::FutureRevision`].
    async fn compact(&self, revision: Revision) -> Result<(), StoreError>;

    /// Creates a lease that expires `ttl` after the last keep-alive (to whole seconds, at least one). Keys written
    /// under it are deleted with it.
    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError>;

    /// Starts the lease's time to live again.
    ///
    /// # Errors
    /// [`StoreError::LeaseNotFound`] if it expired or was revoked.
    async fn keep_lease_alive(&self, lease: LeaseId) -> Result<(), StoreError>;

    /// Ends a lease and deletes its keys.
    ///
    /// # Errors
    /// [`StoreError::LeaseNotFound`] if it expired or was revoked.
    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError>;

    /// Whether the store has no space left and accepts only writes that make space.
    fn is_full(&self) -> bool {
        false
    }

    /// How many bytes the store has of its disk, if it has one and knows.
    fn size_bytes(&self) -> Option<u64> {
        None
    }

    /// Writes a consistent copy of the current keyspace to `path`, which must not exist, while the store continues
    /// serving.
    async fn backup(&self, path: &Path) -> Result<(), StoreError>;
}
