//! The store behind a server that can be killed: once its gate is shut, nothing from that server reaches the store any
//! more, as if its process were gone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use store::{
    LeaseId, RangeRequest, RangeResponse, Revision, Store, StoreError, WatchRequest, WatchStream, Write,
    WriteOutcome,
};
use tokio_util::sync::CancellationToken;

use crate::faults::Faults;

/// One server's way to the store.
pub(crate) struct Gate {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) faults: Faults,
    /// Cancelled when the server ends.
    pub(crate) shut: CancellationToken,
}

impl Gate {
    fn check(&self) -> Result<(), StoreError> {
        if self.shut.is_cancelled() { Err(StoreError::Closed) } else { Ok(()) }
    }

    async fn pause(&self, pause: Duration) {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

#[async_trait]
impl Store for Gate {
    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, StoreError> {
        self.check()?;
        self.store.range(request).await
    }

    async fn write(&self, write: Write) -> Result<WriteOutcome, StoreError> {
        let (before, after) = self.faults.write_pauses();
        self.pause(before).await;
        self.check()?;
        let outcome = self.store.write(write).await;
        self.pause(after).await;
        self.check()?;
        outcome
    }

    async fn watch(&self, request: WatchRequest) -> Result<WatchStream, StoreError> {
        self.check()?;
        let events = self.store.watch(request).await?;
        let closed = futures::stream::once(async { Err(StoreError::Closed) });
        Ok(Box::pin(events.take_until(self.shut.clone().cancelled_owned()).chain(closed)))
    }

    async fn request_progress(&self) -> Result<(), StoreError> {
        self.check()?;
        self.store.request_progress().await
    }

    async fn current_revision(&self) -> Result<Revision, StoreError> {
        self.check()?;
        self.store.current_revision().await
    }

    async fn compact(&self, revision: Revision) -> Result<(), StoreError> {
        self.check()?;
        self.store.compact(revision).await
    }

    async fn grant_lease(&self, ttl: Duration) -> Result<LeaseId, StoreError> {
        self.check()?;
        self.store.grant_lease(ttl).await
    }

    async fn keep_lease_alive(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.check()?;
        self.store.keep_lease_alive(lease).await
    }

    async fn revoke_lease(&self, lease: LeaseId) -> Result<(), StoreError> {
        self.check()?;
        self.store.revoke_lease(lease).await
    }

    async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.check()?;
        self.store.backup(path).await
    }
}
