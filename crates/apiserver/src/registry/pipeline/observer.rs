//! Observers of the stages that a write reaches.

use schema::GroupResource;

use crate::admission::Operation;
use crate::registry::Registry;
use crate::registry::write::WriteRequest;

/// A stage of the pipeline, in the order in which a write passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// The object gets its place, its identity and its defaults.
    Arrival,
    /// Guards check the request.
    Rights,
    /// The manager of the fields is determined.
    ManagedFields,
    /// Admission plugins change the request.
    Mutation,
    /// The kind's strategy makes the new state.
    Strategy,
    /// Hooks allocate the object's additional resources.
    Hooks,
    /// Guards check the final state.
    Guards,
    /// The final state is validated.
    Validation,
    /// Admission plugins check the final state.
    ValidatingAdmission,
    /// The store writes it.
    Store,
    /// Hooks keep their allocations ...
    Commit,
    /// ... or release them.
    Undo,
}

/// A write at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage<'a> {
    /// The stage.
    pub stage: Stage,
    /// The operation.
    pub operation: Operation,
    /// The resource.
    pub resource: GroupResource<'a>,
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// Whether this is a dry run.
    pub dry_run: bool,
}

/// Observes the stage that each write has reached.
pub trait StageObserver: Send + Sync + 'static {
    /// A write reaches a stage.
    fn passes(&self, passage: &Passage<'_>);
}

impl Registry {
    /// Notifies the observer, if there is one.
    pub(super) fn pass(&self, stage: Stage, write: &WriteRequest<'_>) {
        let Some(observer) = &self.observer else { return };
        observer.passes(&Passage {
            stage,
            operation: write.operation,
            resource: write.resource(),
            subresource: write.call.subresource,
            dry_run: write.dry_run(),
        });
    }
}
