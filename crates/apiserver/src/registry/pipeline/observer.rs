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
    /// Guards look at what is asked.
    Rights,
    /// The manager of the fields is settled.
    ManagedFields,
    /// Admission plugins change what is asked.
    Mutation,
    /// The kind's strategy makes the new state.
    Strategy,
    /// Hooks take what the object needs besides itself.
    Hooks,
    /// Guards look at the final state.
    Guards,
    /// The final state is validated.
    Validation,
    /// Admission plugins judge the final state.
    ValidatingAdmission,
    /// The store takes it.
    Store,
    /// Hooks keep what they took ...
    Commit,
    /// ... or give it back.
    Undo,
}

/// A write at a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage<'a> {
    /// The stage.
    pub stage: Stage,
    /// What the write does.
    pub operation: Operation,
    /// The resource.
    pub resource: GroupResource<'a>,
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// Whether nothing is to be stored.
    pub dry_run: bool,
}

/// Is told which stage each write has reached.
pub trait StageObserver: Send + Sync + 'static {
    /// A write comes to a stage.
    fn passes(&self, passage: &Passage<'_>);
}

impl Registry {
    /// Tells the observer, if there is one.
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
