//! The health of the components of this process, as the API server shows it.

use std::sync::Arc;

use apiserver::components::Component;
use async_trait::async_trait;
use controllers::Health;
use scheduler::Mailbox;

/// The controllers, which must run.
pub struct Controllers(pub Health);

#[async_trait]
impl Component for Controllers {
    async fn health(&self) -> Result<(), String> {
        self.0.check()
    }
}

/// The scheduler, which must read its letters. The API server waits for a limited time only.
pub struct Scheduler(pub Arc<Mailbox>);

#[async_trait]
impl Component for Scheduler {
    async fn health(&self) -> Result<(), String> {
        self.0.emptied().await;
        Ok(())
    }
}
