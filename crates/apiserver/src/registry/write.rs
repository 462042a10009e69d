//! A write on its way through the pipeline: the input of every stage.

use async_trait::async_trait;
use clock::Clock;
use object::{Status, Value, Versioned};
use schema::GroupResource;

use super::access::Server;
use super::{Answer, Call, Endpoint, Registry};
use crate::admission::{Attributes, GroupVersionKind, GroupVersionResource, Operation, Options};
use crate::options::DeleteOptions;

/// No object.
pub(super) static NULL: Value = Value::Null;

/// A write. The way that made it describes the request; the stages determine the rest.
pub(crate) struct WriteRequest<'a> {
    /// The resource.
    pub endpoint: &'a Endpoint,
    /// The user, the options, and the parts of the path.
    pub call: &'a Call<'a>,
    /// The name of the object; the path of a creation has none.
    pub name: &'a str,
    /// The operation that admission sees.
    pub operation: Operation,
    /// The part of the object that is written.
    pub part: Part,
    /// What becomes of the object.
    pub effect: Effect<'a>,
    /// The new state. Where the request is in another kind, it is null until that has been admitted.
    pub object: Value,
    /// The current state; null if there is none.
    pub old: &'a Value,
    /// The request, where it is in another kind than the object.
    pub request: Option<Request<'a>>,
    /// How the manager takes over the fields.
    pub manages: ManagerOperation,
    /// Whether an update creates the object, because it does not exist.
    pub creates_by_update: bool,
    /// The store's action. The strategy decides.
    pub fate: Fate,
}

/// How a manager takes over fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagerOperation {
    /// By writing them.
    Update,
    /// By applying them: it gives up those that it no longer names.
    Apply,
}

/// Which part of an object a path writes.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// All but `status`.
    Main,
    /// `status` and metadata.
    Status,
    /// The fields at and below these places. The function restores all others from the old object.
    Only(fn(&mut Value, &Value), &'static [&'static [&'static str]]),
}

/// What becomes of the object.
#[derive(Clone, Copy)]
pub(crate) enum Effect<'a> {
    /// It is made.
    Insert,
    /// It takes the place of this version.
    Replace(&'a Versioned),
    /// This version goes, or begins to.
    Remove(&'a Versioned, &'a DeleteOptions),
    /// The object is a question or a command; objects of its kind are not stored.
    Act(&'a dyn Action),
}

/// What the store is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It keeps the new state.
    Kept,
    /// It forgets the object.
    Gone,
    /// Nothing: an earlier deletion continues.
    Unchanged,
}

/// A request in another kind than the object that it changes.
pub(crate) struct Request<'a> {
    /// The kind.
    pub form: &'a dyn Form,
    /// The request.
    pub asked: Value,
    /// The current state in the same form; null if the form has none.
    pub old: Value,
}

/// Another kind by which a part of an object is changed, such as `Scale` or `Binding`.
pub(crate) trait Form: Send + Sync {
    /// How the object shows in this form; null if it does not.
    fn show(&self, object: &Value) -> Value;

    /// The new state that an admitted request makes of the current one.
    ///
    /// # Errors
    /// 409 or 422 for what cannot be.
    fn apply(&self, write: &WriteRequest<'_>, asked: &Value, clock: &Clock) -> Result<Value, Status>;

    /// Whether the fields of the form have managers, which it carries to the object.
    fn is_managed(&self) -> bool {
        false
    }

    /// Whether a change of the spec that comes in this form makes a new generation.
    fn counts_generation(&self) -> bool {
        true
    }
}

/// The action at the end of a request that stores no object of its own.
#[async_trait]
pub(crate) trait Action: Send + Sync {
    /// Checks the final request, which does not change any more.
    ///
    /// # Errors
    /// 400 or 422
    fn check(&self, _write: &WriteRequest<'_>) -> Result<(), Status> {
        Ok(())
    }

    /// Does it.
    ///
    /// # Errors
    /// The answer to the client.
    async fn act(&self, registry: &Registry, write: &WriteRequest<'_>) -> Result<Answer, Status>;
}

impl<'a> WriteRequest<'a> {
    /// A request whose object is an order or a question.
    pub(super) fn order(
        endpoint: &'a Endpoint,
        call: &'a Call<'a>,
        action: &'a dyn Action,
        object: Value,
    ) -> WriteRequest<'a> {
        WriteRequest {
            endpoint,
            call,
            name: call.name,
            operation: Operation::Create,
            part: Part::Main,
            effect: Effect::Act(action),
            object,
            old: &NULL,
            request: None,
            manages: ManagerOperation::Update,
            creates_by_update: false,
            fate: Fate::Unchanged,
        }
    }

    /// The resource, whatever its version.
    pub(super) fn resource(&self) -> GroupResource<'_> {
        self.endpoint.def.group_resource()
    }

    /// Whether the write is a deletion.
    pub(super) fn is_deletion(&self) -> bool {
        matches!(self.effect, Effect::Remove(..))
    }

    /// Nothing is to be stored.
    pub(super) fn dry_run(&self) -> bool {
        self.call.options.dry_run
    }

    /// The current state, if there is one.
    pub(super) fn old(&self) -> Option<&'a Value> {
        Some(self.old).filter(|old| !old.is_null())
    }

    /// New and current state as the client and admission see them.
    pub(super) fn seen(&self) -> (&Value, &Value) {
        match (&self.request, self.effect) {
            (Some(request), _) => (&request.asked, &request.old),
            // The remains of an object with a pending deletion are not part of any request.
            (None, Effect::Remove(..)) => (&NULL, self.old),
            (None, _) => (&self.object, self.old),
        }
    }

    /// As [`WriteRequest::seen`], to be changed.
    pub(super) fn seen_mut(&mut self) -> (&mut Value, &Value) {
        match &mut self.request {
            Some(request) => (&mut request.asked, &request.old),
            None => (&mut self.object, self.old),
        }
    }

    /// The attributes of the write for admission.
    pub(super) fn attributes(&self, server: &'a Server<'a>) -> Attributes<'a> {
        let (endpoint, call) = (self.endpoint, self.call);
        let options = match (self.effect, self.operation) {
            (Effect::Remove(_, options), _) => Options::Delete(options),
            (_, Operation::Create) => Options::Create(call.options),
            _ => Options::Update(call.options),
        };
        attributes(endpoint, call, self.name, self.operation, options, server)
    }

    /// The refusal of this write.
    pub(super) fn forbidden(&self, why: &str) -> Status {
        let def = &self.endpoint.def;
        Status::forbidden(&def.group, &def.plural, self.object.str_at("metadata.name"), why)
    }
}

/// The attributes of a request for admission.
pub(super) fn attributes<'a>(
    endpoint: &'a Endpoint,
    call: &Call<'a>,
    name: &'a str,
    operation: Operation,
    options: Options<'a>,
    server: &'a Server<'a>,
) -> Attributes<'a> {
    let def = &endpoint.def;
    let kind = match def.subresource(call.subresource) {
        Some(part) => GroupVersionKind { group: &part.group, version: &part.version, kind: &part.kind },
        None => GroupVersionKind { group: &def.group, version: &def.version, kind: &def.kind },
    };
    Attributes {
        operation,
        resource: GroupVersionResource { group: &def.group, version: &def.version, plural: &def.plural },
        subresource: call.subresource,
        kind,
        namespace: call.namespace,
        name,
        user: call.user,
        uid: call.uid,
        deadline: call.deadline,
        dry_run: call.options.dry_run,
        options,
        reader: server,
        writer: server,
        shapes: server,
        rounds: server.rounds(),
        warnings: server.warnings(),
        takings: server.takings(),
    }
}
