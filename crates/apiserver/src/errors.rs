//! The one mapping of our errors to the Status of the API.

use object::{Reason, Status};
use store::StoreError;

use crate::cache::CacheError;

/// When to try again on a full disk. Clients that follow `Retry-After` do so ten times, so that a person does not wait
/// long for the message.
const FULL_RETRY_SECONDS: i32 = 1;

/// The answer to a client for an error of the cache.
pub fn from_cache(error: CacheError) -> Status {
    match error {
        CacheError::TooOld { requested, oldest } => {
            Status::resource_expired(format!("too old resource version: {requested} ({oldest})"))
        }
        CacheError::TooNew { requested, current } => Status::resource_version_too_large(requested, current),
        CacheError::Store(error) => from_store(error),
        CacheError::Ended => not_served(),
        error @ CacheError::Corrupt { .. } => internal(&error),
    }
}

/// 404 for a path at which no resource is served.
pub fn not_served() -> Status {
    Status::failure(Reason::NotFound, "the server could not find the requested resource")
}

/// The answer to a client for an error of the store.
pub fn from_store(error: StoreError) -> Status {
    match error {
        StoreError::Compacted { requested, oldest } => {
            Status::resource_expired(format!("too old resource version: {requested} ({oldest})"))
        }
        StoreError::FutureRevision { requested, current } => {
            Status::resource_version_too_large(requested.0, current.0)
        }
        StoreError::Full => Status::insufficient_storage(error.to_string(), FULL_RETRY_SECONDS),
        StoreError::Closed => Status::service_unavailable("the server is shutting down"),
        error => internal(&error),
    }
}

/// An internal error, with its causes in the log and only its first line in the answer.
pub fn internal(error: &(dyn std::error::Error + 'static)) -> Status {
    tracing::error!(error, "internal error");
    Status::internal_error(error)
}
