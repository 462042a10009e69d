//! The watch cache: every stored object in memory, with the recent changes.
//!
//! One watch of the store feeds all [`Collection`]s (invariant 6: an idle cluster is idle). A collection holds the
//! current objects in a persistent map, so that a list works on a snapshot that costs nothing, and a bounded log of
//! changes. Collections can be added and removed while the server runs ([`Hub::join`], [`Hub::remove`]). A watcher owns
//! only a position in that log and continues reading from there when it is woken, so a slow one neither blocks writers
//! nor grows a queue; if the log has moved past its position, it gets 410 and lists again.

mod change;
mod collection;
mod damage;
mod hub;
mod leases;
mod metrics;
mod snapshot;
mod spec;
#[cfg(test)]
mod tests;
mod watcher;

pub use change::{Change, ChangeKind};
pub use collection::Collection;
pub(crate) use collection::{LOG_CHANGES_MAX, OBJECT_BYTES_MAX};
pub(crate) use damage::{Damage, told};
pub use hub::Hub;
pub use leases::{Leases, adopt};
pub use metrics::{CacheMetrics, Meter};
pub use snapshot::Snapshot;
pub use spec::CollectionSpec;
pub use watcher::Watcher;

/// Why the cache cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The version is older than all kept versions.
    #[error("too old resource version: {requested} ({oldest})")]
    TooOld {
        /// The version asked for.
        requested: u64,
        /// The oldest version that a watch could start from.
        oldest: u64,
    },
    /// The version is newer than the store.
    #[error("Too large resource version: {requested}, current: {current}")]
    TooNew {
        /// The version asked for.
        requested: u64,
        /// The current version.
        current: u64,
    },
    /// The resource is not served any more: no change follows.
    #[error("the resource is no longer served")]
    Ended,
    /// The store's watch broke, and everything is being read again.
    #[error("storage is (re)initializing")]
    Warming {
        /// For how long.
        since: std::time::Duration,
    },
    /// The store failed.
    #[error("storage")]
    Store(#[from] store::StoreError),
    /// An object in the store cannot be read.
    #[error("stored object {key}")]
    Corrupt {
        /// Its key in the store.
        key: String,
        /// The revision of its last write.
        revision: u64,
        /// The error.
        source: ParseError,
    },
}

/// Why a stored value cannot be read as an object.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    /// It is not in the form in which this server stores objects.
    #[error("read it as JSON")]
    Json(#[from] object::VersionedError),
    /// It is not in the form in which upstream's server stores objects.
    #[error("read it as protobuf")]
    Protobuf(#[from] object::protobuf::DecodeError),
}
