//! Whether those whom the cluster's users have installed decide about requests.

use std::sync::atomic::{AtomicBool, Ordering};

/// Closed until the server has started. Its own initial objects depend neither on webhooks, which may run in this very
/// cluster and wait for it to start, nor on policies: one that refuses everything could not be removed from a server that
/// does not start.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicBool);

impl Gate {
    /// From now on they are asked.
    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether they are asked.
    pub(crate) fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
