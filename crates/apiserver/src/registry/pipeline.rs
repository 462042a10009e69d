//! The one path of every write: fixed stages in a fixed order, whatever the verb and the kind.
//!
//! The [`ways`](super::ways) produce a [`WriteRequest`] (from a body, a patch, a scale, a binding, an eviction, a
//! deletion); from there on all of them use this function. A stage knows the facts of the request and the object, but
//! never which way it came. Rules of single kinds are in strategies, guards and hooks.

use object::{Details, Status};

use super::access::Server;
use super::metadata::Identity;
use super::write::{Effect, WriteRequest};
use super::{Answer, AnswerBody, Endpoint, Registry};
use crate::admission::Operation;

mod deletion;
mod managed_fields;
mod observer;
mod persist;
mod prepare;
#[cfg(test)]
mod tests;
mod validate;

pub(super) use managed_fields::named;
pub use observer::{Passage, Stage, StageObserver};
use persist::Stored;

impl Registry {
    /// Takes a write through all stages. Returns the answer, or `None` if the object has changed since it was read;
    /// nothing has happened then.
    ///
    /// # Errors
    /// The refusal of a stage; what hooks had taken is given back.
    pub(super) async fn run(&self, write: WriteRequest<'_>) -> Result<Option<Answer>, Status> {
        let call = write.call;
        let server = Server::new(self, write.dry_run()).until(call.deadline);
        let done = self.take_through(write, &server).await;
        call.warn(server.warnings().take());
        done
    }

    async fn take_through(
        &self,
        mut write: WriteRequest<'_>,
        server: &Server<'_>,
    ) -> Result<Option<Answer>, Status> {
        self.pass(Stage::Arrival, &write);
        prepare::arrive(&mut write, &self.clock)?;
        self.pass(Stage::Rights, &write);
        self.guards.check_request(&write).await?;
        self.pass(Stage::ManagedFields, &write);
        managed_fields::settle(&mut write, &self.catalogue, &self.clock).await;
        self.pass(Stage::Mutation, &write);
        self.mutate(&mut write, server).await?;
        self.pass(Stage::Strategy, &write);
        prepare::prepare(&mut write, &self.clock)?;
        self.pass(Stage::Hooks, &write);
        let begun = self.hooks.begin(&mut write, server).await?;
        let stored = self.conclude(&mut write, server).await;
        let is_stored = matches!(stored, Ok(Some(_))) && !write.dry_run();
        self.pass(if is_stored { Stage::Commit } else { Stage::Undo }, &write);
        begun.end(is_stored, server).await;
        server.takings().end(is_stored, server, server).await;
        match stored? {
            Some(stored) => self.answer(&write, stored).await.map(Some),
            None => Ok(None),
        }
    }

    /// Lets admission plugins change the request.
    async fn mutate(&self, write: &mut WriteRequest<'_>, server: &Server<'_>) -> Result<(), Status> {
        let what = write.attributes(server);
        let identity = matches!(write.effect, Effect::Insert).then(|| Identity::of(&write.object));
        let (object, old) = write.seen_mut();
        // The program's own plugins leave the managers alone.
        let managers = self.admission.unsettles(&what).then(|| object.at("metadata.managedFields").clone());
        self.admission.admit(&what, object, old).await?;
        if let Some(managers) = managers {
            managed_fields::check(object, &managers, server.warnings());
        }
        identity.map_or(Ok(()), |identity| prepare::identify(write, identity))
    }

    /// The stages after the last change to the object: they check its final state, and then it is stored.
    async fn conclude(
        &self,
        write: &mut WriteRequest<'_>,
        server: &Server<'_>,
    ) -> Result<Option<Stored>, Status> {
        self.pass(Stage::Guards, write);
        self.guards.check_state(write, server).await?;
        self.pass(Stage::Validation, write);
        validate::validate(write, server.warnings(), &self.aside, &self.clock).await?;
        self.pass(Stage::ValidatingAdmission, write);
        let (object, old) = write.seen();
        self.admission.validate(&write.attributes(server), object, old).await?;
        self.pass(Stage::Store, write);
        self.persist(write).await
    }

    /// The response to a completed write.
    async fn answer(&self, write: &WriteRequest<'_>, stored: Stored) -> Result<Answer, Status> {
        let endpoint = write.endpoint;
        let body = match stored {
            Stored::Answered(answer) => return Ok(*answer),
            Stored::Version(version) => AnswerBody::Version(endpoint.present(&version).await?),
            Stored::Value(object) => AnswerBody::Value(object),
            Stored::Gone(last) if endpoint.strategy.returns_deleted() => {
                AnswerBody::Version(endpoint.present(&last).await?)
            }
            Stored::Gone(last) => AnswerBody::Status(Box::new(success(endpoint, &last))),
        };
        match write.operation {
            Operation::Create if write.request.is_none() => Ok(Answer::created(body)),
            _ => Ok(Answer::ok(body)),
        }
    }
}

fn success(endpoint: &Endpoint, last: &object::Versioned) -> Status {
    Status::success(Some(Details {
        name: last.name().to_owned(),
        group: endpoint.def.group.to_string(),
        kind: endpoint.def.plural.to_string(),
        uid: last.uid().as_str().to_owned(),
        ..Details::default()
    }))
}
