//! Hooks: additional resources of an object are allocated before it is stored, kept if it is stored, and released if it
//! is not.
//!
//! A hook begins after the strategy and before the final state is checked, so that guards and validation see its
//! allocations. From then on the write ends in one of two ways: the store has the object (commit), or nothing has
//! happened (undo), because the write was refused, another one came first, or it was a dry run.

use std::sync::Arc;

use async_trait::async_trait;
use object::Status;
use schema::GroupResource;

use super::access::Server;
use super::write::{Effect, WriteRequest};

mod certificates;
mod services;

pub(super) use certificates::Requesters;
pub(super) use services::Services;
pub use services::first_service_address;

/// Actions of a resource in addition to its writes.
#[async_trait]
pub(crate) trait Hook: Send + Sync + 'static {
    /// Whether the hook is for this resource.
    fn concerns(&self, resource: GroupResource<'_>) -> bool;

    /// Releases what a server that was killed has left behind. Called once, before the first write.
    async fn repair(&self, _server: &Server<'_>) {}

    /// May change the object and allocate what it needs; returns the allocations. On an error, the hook itself has
    /// already released them.
    ///
    /// # Errors
    /// Why the object cannot be.
    async fn begin(
        &self,
        write: &mut WriteRequest<'_>,
        server: &Server<'_>,
    ) -> Result<Option<Box<dyn Pending>>, Status>;
}

/// The work that a hook has begun. Neither commit nor undo can fail: errors are logged.
#[async_trait]
pub(crate) trait Pending: Send {
    /// The object is stored.
    async fn commit(self: Box<Self>, server: &Server<'_>);

    /// The object was not stored.
    async fn undo(self: Box<Self>, server: &Server<'_>);
}

/// The hooks, in their order.
#[derive(Default)]
pub(crate) struct Hooks(Vec<Arc<dyn Hook>>);

impl Hooks {
    /// These hooks.
    pub(super) fn new(hooks: Vec<Arc<dyn Hook>>) -> Hooks {
        Hooks(hooks)
    }

    /// Adds a hook behind the others.
    #[cfg(test)]
    pub(crate) fn add(&mut self, hook: Arc<dyn Hook>) {
        self.0.push(hook);
    }

    /// Lets all hooks release what a server that was killed has left behind.
    pub(super) async fn repair(&self, server: &Server<'_>) {
        for hook in &self.0 {
            hook.repair(server).await;
        }
    }

    /// Begins all hooks of a write. If one fails, those before it are undone.
    ///
    /// # Errors
    /// The hook's error.
    pub(super) async fn begin(
        &self,
        write: &mut WriteRequest<'_>,
        server: &Server<'_>,
    ) -> Result<Begun, Status> {
        let mut begun = Begun(Vec::new());
        if matches!(write.effect, Effect::Act(_)) {
            // There is no object that needs an allocation.
            return Ok(begun);
        }
        for hook in &self.0 {
            if !hook.concerns(write.resource()) {
                continue;
            }
            match hook.begin(write, server).await {
                Ok(pending) => begun.0.extend(pending),
                Err(status) => {
                    begun.end(false, server).await;
                    return Err(status);
                }
            }
        }
        Ok(begun)
    }
}

/// The work that all hooks of a write have begun.
#[must_use = "what has begun must come to an end"]
pub(super) struct Begun(Vec<Box<dyn Pending>>);

impl Drop for Begun {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            // Writes outlive their clients: only a server that stops drops one halfway.
            tracing::warn!("a write was abandoned: its allocations are not released");
        }
    }
}

impl Begun {
    /// Ends everything: commits in the order of the beginning, or undoes in reverse order.
    pub(super) async fn end(mut self, is_stored: bool, server: &Server<'_>) {
        if is_stored {
            self.0.reverse();
            while let Some(pending) = self.0.pop() {
                pending.commit(server).await;
            }
        } else {
            while let Some(pending) = self.0.pop() {
                pending.undo(server).await;
            }
        }
    }
}
