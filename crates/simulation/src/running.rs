//! The server that is currently running.

use std::sync::Arc;

use apiserver::ApiServer;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// A server that runs.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) server: Arc<ApiServer>,
    /// Cancelled when it ends.
    pub(crate) up: CancellationToken,
}

/// The server that runs, if one does; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Current(Arc<Mutex<Option<Running>>>);

impl Current {
    pub(crate) fn get(&self) -> Option<Running> {
        self.0.lock().clone()
    }

    pub(crate) fn set(&self, running: Running) {
        *self.0.lock() = Some(running);
    }

    /// Stops the running server.
    pub(crate) fn end(&self) {
        if let Some(running) = self.0.lock().take() {
            running.up.cancel();
        }
    }
}
