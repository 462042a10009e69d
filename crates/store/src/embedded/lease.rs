//! When leases expire.
//!
//! Deadlines are kept here, not in the log: after a restart every lease has its full time again, since
//! nobody could keep it alive in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::engine::{Command, Request};
use super::writer::WeakWriter;
use crate::{LeaseId, StoreError};

/// How long an expiry waits when the writer's queue is full.
const RETRY: Duration = Duration::from_millis(100);

/// The deadlines of all leases.
#[derive(Default)]
pub(super) struct Deadlines {
    leases: Mutex<HashMap<LeaseId, Deadline>>,
    /// Wakes the expiry when a deadline may have become the earliest.
    added: Notify,
}

struct Deadline {
    ttl: Duration,
    at: Instant,
}

impl Deadlines {
    /// Starts a lease's time.
    pub(super) fn add(&self, lease: LeaseId, ttl: Duration) {
        self.leases.lock().insert(lease, Deadline { ttl, at: Instant::now() + ttl });
        self.added.notify_one();
    }

    /// Starts a lease's time again.
    pub(super) fn renew(&self, lease: LeaseId) -> Result<(), StoreError> {
        let mut leases = self.leases.lock();
        let deadline = leases.get_mut(&lease).ok_or(StoreError::LeaseNotFound(lease))?;
        deadline.at = Instant::now() + deadline.ttl;
        Ok(())
    }

    /// Forgets a lease.
    pub(super) fn remove(&self, lease: LeaseId) {
        self.leases.lock().remove(&lease);
    }

    /// Takes away the leases that are due, and tells when the next one is.
    fn take_due(&self) -> (Vec<LeaseId>, Option<Instant>) {
        let now = Instant::now();
        let mut leases = self.leases.lock();
        let due = leases.extract_if(|_, deadline| deadline.at <= now).map(|(lease, _)| lease).collect();
        (due, leases.values().map(|deadline| deadline.at).min())
    }
}

/// Revokes leases as they expire, until the writer is gone.
pub(super) async fn expire(deadlines: Arc<Deadlines>, writer: WeakWriter) {
    let mut expired = Vec::new();
    loop {
        let (due, mut next) = deadlines.take_due();
        expired.extend(due);
        while let Some(lease) = expired.pop() {
            let (reply, _) = oneshot::channel();
            match writer.try_submit(Request { command: Command::RevokeLease(lease), reply }) {
                Ok(true) => {}
                Ok(false) => {
                    expired.push(lease);
                    next = Some(Instant::now() + RETRY);
                    break;
                }
                // Closed, or stopped by a failure that was reported: nothing expires any more.
                Err(_) => return,
            }
        }
        match next {
            Some(next) => tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                () = deadlines.added.notified() => {}
            },
            None => deadlines.added.notified().await,
        }
    }
}
