//! The one mapping of our errors to the Status of the API.

use std::time::Duration;

use object::{Reason, Status};
use store::StoreError;

use crate::cache::{CacheError, told};

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
        error @ CacheError::Warming { since } => {
            Status::too_many_requests(error.to_string(), warming_retry_seconds(since))
        }
        CacheError::Store(error) => from_store(error),
        CacheError::Ended => not_served(),
        error @ CacheError::Corrupt { .. } => Status::internal_error(told(&error)),
    }
}

/// When to ask a cache again that has been warming for some time: from one second to thirty, as upstream.
fn warming_retry_seconds(since: Duration) -> i32 {
    (0.06 * since.as_secs_f64()).exp().clamp(1.0, 30.0) as i32
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
        // Upstream passes on what etcd says.
        StoreError::TooLarge { .. } => Status::failure(Reason::Unknown, "etcdserver: request is too large"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_cache_warms_the_later_clients_ask_again() {
        for (since, expected) in [(0, 1), (11, 1), (12, 2), (30, 6), (60, 30), (100_000, 30)] {
            let status = from_cache(CacheError::Warming { since: Duration::from_secs(since) });
            assert_eq!((status.code(), status.retry_after_seconds()), (429, Some(expected)), "{since} s");
        }
    }
}
