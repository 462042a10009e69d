//! Changing an existing object: the new state is computed from the current one, and again if another write came first.

use async_trait::async_trait;
use object::{Status, Value};

use super::super::write::{Action, Effect, Fate, Form, ManagerOperation, NULL, Part, Request, WriteRequest};
use super::super::{Answer, Call, Endpoint, Registry};
use super::TRIES;
use crate::admission::Operation;

/// Computes the new state from the current one, in the form that the client uses. It may be asked several times.
#[async_trait]
pub(crate) trait Make: Send {
    /// The new state.
    ///
    /// # Errors
    /// The answer to the client.
    async fn make(&mut self, old: &Value, change: &Change<'_>) -> Result<Value, Status>;

    /// How the manager takes over the fields. Who applies has determined their managers already.
    fn manages(&self) -> ManagerOperation {
        ManagerOperation::Update
    }
}

#[async_trait]
impl<F: FnMut(&Value) -> Result<Value, Status> + Send> Make for F {
    async fn make(&mut self, old: &Value, _change: &Change<'_>) -> Result<Value, Status> {
        self(old)
    }
}

/// How an object is changed.
#[derive(Clone, Copy)]
pub(crate) struct Change<'a> {
    /// The written part of the object.
    pub(super) part: Part,
    /// The kind of the request, if it is a different one.
    form: Option<&'a dyn Form>,
    /// The operation that admission sees.
    operation: Operation,
}

impl<'a> Change<'a> {
    /// Everything except `status`.
    pub(super) const MAIN: Change<'static> = Change::of(Part::Main);
    /// `status` and metadata.
    pub(super) const STATUS: Change<'static> = Change::of(Part::Status);

    const fn of(part: Part) -> Change<'static> {
        Change { part, form: None, operation: Operation::Update }
    }

    /// The fields at and below these places; the function restores all others.
    pub(super) const fn only(
        restore: fn(&mut Value, &Value),
        fields: &'static [&'static [&'static str]],
    ) -> Change<'static> {
        Change::of(Part::Only(restore, fields))
    }

    /// By a request of a different kind.
    pub(super) fn by(self, form: &'a dyn Form, operation: Operation) -> Change<'a> {
        Change { form: Some(form), operation, ..self }
    }
}

impl Registry {
    /// Changes an object.
    ///
    /// # Errors
    /// 404 if the object does not exist, 409 if it is not the version that the change is based on, and every refusal of
    /// the pipeline.
    pub(super) async fn modify(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        change: Change<'_>,
        make: &mut dyn Make,
    ) -> Result<Answer, Status> {
        let collection = endpoint.stored("update")?;
        for _ in 0..TRIES {
            let current = self.current(endpoint, collection, call.namespace, call.name).await?;
            let old = endpoint.served_value(&current).await?;
            let shown = change.form.map(|form| form.show(&old));
            let asked = make.make(shown.as_ref().unwrap_or(&old), &change).await?;
            if change.form.is_none() || !asked.str_at("metadata.name").is_empty() {
                check_name(call, &asked)?;
            }
            let rests_on_version = check_identity(endpoint, call, &asked, &old)?;
            let (object, request) = match change.form {
                Some(form) => {
                    let old = shown.unwrap_or_default();
                    (NULL.clone(), Some(Request { form, asked, old }))
                }
                None => (asked, None),
            };
            let write = WriteRequest {
                endpoint,
                call,
                name: call.name,
                operation: change.operation,
                part: change.part,
                effect: Effect::Replace(&current),
                object,
                old: &old,
                request,
                manages: make.manages(),
                creates_by_update: false,
                fate: Fate::Kept,
            };
            match self.run(write).await? {
                Some(answer) => return Ok(answer),
                None if rests_on_version => break,
                None => {}
            }
        }
        Err(endpoint.conflict(call.name, object::MODIFIED))
    }
}

impl Registry {
    /// Carries out a request that stores no object of its own.
    ///
    /// # Errors
    /// Every refusal of the pipeline, and the action's errors.
    pub(super) async fn act(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        action: &dyn Action,
        order: Value,
    ) -> Result<Answer, Status> {
        let answer = self.run(WriteRequest::order(endpoint, call, action, order)).await?;
        answer.ok_or_else(|| endpoint.conflict(call.name, object::MODIFIED))
    }
}

/// Checks that the object has the name of the path.
pub(super) fn check_name(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    match object.str_at("metadata.name") {
        "" => Err(Status::bad_request("name must be provided")),
        name if name != call.name => Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.name
        ))),
        _ => Ok(()),
    }
}

/// Checks that the object is the one of the path, in the version that the client means; returns whether it means one.
fn check_identity(endpoint: &Endpoint, call: &Call<'_>, object: &Value, old: &Value) -> Result<bool, Status> {
    let (uid, old_uid) = (object.str_at("metadata.uid"), old.str_at("metadata.uid"));
    if !uid.is_empty() && uid != old_uid {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {old_uid}");
        return Err(endpoint.conflict(call.name, &why));
    }
    match object.str_at("metadata.resourceVersion") {
        "" | "0" => Ok(false),
        version if version == old.str_at("metadata.resourceVersion") => Ok(true),
        version if version.parse::<u64>().is_err() => Err(Status::bad_request(format!(
            "metadata.resourceVersion: Invalid value: {version:?}: must be a resource version that this \
                server issued"
        ))),
        _ => Err(endpoint.conflict(call.name, object::MODIFIED)),
    }
}
