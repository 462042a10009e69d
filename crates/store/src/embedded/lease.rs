//! The expiry of leases.
//!
//! A lease that is not kept alive expires at its deadline even after restarts, because the log records it. One that is
//! kept alive gets its full time again after a restart, because it could not be kept alive in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::engine::{Command, Request};
use super::writer::WeakWriter;
use crate::{LeaseId, StoreError};

/// How long an expiry waits when the writer's queue or the disk is full.
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
    /// Whether it was kept alive before.
    is_kept: bool,
}

impl Deadlines {
    /// Starts a lease's time.
    pub(super) fn add(&self, lease: LeaseId, ttl: Duration) {
        self.insert(lease, Deadline { ttl, at: Instant::now() + ttl, is_kept: false });
    }

    /// Continues a lease from before a restart; `left` is its remaining time, `None` if it is kept alive.
    pub(super) fn resume(&self, lease: LeaseId, ttl: Duration, left: Option<Duration>) {
        let at = Instant::now() + left.map_or(ttl, |left| left.min(ttl));
        self.insert(lease, Deadline { ttl, at, is_kept: left.is_none() });
    }

    fn insert(&self, lease: LeaseId, deadline: Deadline) {
        self.leases.lock().insert(lease, deadline);
        self.added.notify_one();
    }

    /// Starts a lease's time again; returns whether this is the first renewal.
    pub(super) fn renew(&self, lease: LeaseId) -> Result<bool, StoreError> {
        let mut leases = self.leases.lock();
        let deadline = leases.get_mut(&lease).ok_or(StoreError::LeaseNotFound(lease))?;
        deadline.at = Instant::now() + deadline.ttl;
        Ok(!std::mem::replace(&mut deadline.is_kept, true))
    }

    /// Forgets a lease.
    pub(super) fn remove(&self, lease: LeaseId) {
        self.leases.lock().remove(&lease);
    }

    /// Removes the leases that are due, and returns when the next one is.
    fn take_due(&self) -> (Vec<LeaseId>, Option<Instant>) {
        let now = Instant::now();
        let mut leases = self.leases.lock();
        let due = leases.extract_if(|_, deadline| deadline.at <= now).map(|(lease, _)| lease).collect();
        (due, leases.values().map(|deadline| deadline.at).min())
    }
}

/// Ends leases as they expire, until the writer is gone. Each is deleted in pieces, so that other writes can come in
/// between.
pub(super) async fn expire(deadlines: Arc<Deadlines>, writer: WeakWriter) {
    let mut expired = Vec::new();
    loop {
        let (due, mut next) = deadlines.take_due();
        expired.extend(due);
        while let Some(&lease) = expired.last() {
            match expire_piece(&writer, lease).await {
                Ok(()) => {}
                // The last piece is done, or it was revoked.
                Err(StoreError::LeaseNotFound(_)) => drop(expired.pop()),
                // Closed, or stopped by a failure that was reported: nothing expires any more.
                Err(StoreError::Closed | StoreError::Backend(_)) => return,
                Err(_) => {
                    next = Some(Instant::now() + RETRY);
                    break;
                }
            }
        }
        match next {
            Some(next) => tokio::select! {
                biased;
                () = tokio::time::sleep_until(next) => {}
                () = deadlines.added.notified() => {}
            },
            None => deadlines.added.notified().await,
        }
    }
}

/// Has a piece of a lease carried out; [`StoreError::LeaseNotFound`] after the last.
async fn expire_piece(writer: &WeakWriter, lease: LeaseId) -> Result<(), StoreError> {
    let (reply, answer) = oneshot::channel();
    if !writer.try_submit(Request { command: Command::ExpireLease(lease), reply })? {
        // The queue is full.
        tokio::time::sleep(RETRY).await;
        return Ok(());
    }
    answer.await.unwrap_or(Err(StoreError::Closed)).map(drop)
}
