//! Changing objects.

use object::{Status, Value, Versioned, field};
use store::{Expect, Write, WriteOutcome};

use super::guards::WriteRequest;
use super::part::Part;
use super::{Answer, AnswerBody, Call, Endpoint, Registry, metadata, service};
use crate::admission::Operation;
use crate::cache::Collection;
use crate::errors::from_store;

/// How often a change is made anew when another one came between, for clients that did not say on which
/// version it rests.
const TRIES: usize = 16;

impl Registry {
    /// Replaces an object (or its status).
    ///
    /// # Errors
    /// 404 where there is none, 409 where it changed since the client read it, 422 where it is not valid.
    pub async fn update(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        object: Value,
    ) -> Result<Answer, Status> {
        let part = Part::of(endpoint, call.subresource)?;
        check_name(call, &object)?;
        let replace = |_: &Value| check_version(endpoint, call, &object).map(|()| object.clone());
        let result = self.modify(endpoint, call, part, replace).await;
        match result {
            // Something else that is missing, such as the role of a binding, is not what the update makes.
            Err(status)
                if status == endpoint.not_found(call.name)
                    && endpoint.strategy.creates_on_update()
                    && call.subresource.is_empty() =>
            {
                self.create_by_update(endpoint, call, object).await
            }
            result => result,
        }
    }

    /// Changes an object by a function of its present state, again if somebody else was faster.
    pub(super) async fn modify(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        part: Part,
        mut change: impl FnMut(&Value) -> Result<Value, Status>,
    ) -> Result<Answer, Status> {
        let collection = endpoint.stored("update")?;
        for _ in 0..TRIES {
            let current = self.current(endpoint, collection, call.namespace, call.name).await?;
            let old = endpoint.served_value(&current).await?;
            let mut object = change(&old)?;
            let conditional = check_identity(endpoint, call, &object, &old)?;
            self.ready(endpoint, call, part, &mut object, &old).await?;
            let write =
                WriteRequest { endpoint, call, object: &object, old: Some(&old), creates_by_update: false };
            self.guards.check(&write).await?;
            // Before validation, which wants to see what was given out.
            let allocation = match part {
                Part::Main => self.services.allocate(endpoint, &mut object, Some(&old), call.dry_run).await?,
                Part::Status | Part::Only(_) => Default::default(),
            };
            let written = match self.check(endpoint, call, part, &object, &old).await {
                Ok(warnings) => {
                    let body = self.put(endpoint, collection, call, &current, object, &old).await;
                    body.map(|body| body.map(|body| Answer { warnings, ..Answer::ok(body) }))
                }
                Err(status) => Err(status),
            };
            match written {
                Ok(Some(answer)) if !call.dry_run => {
                    self.services.retire(allocation).await;
                    return Ok(answer);
                }
                written => {
                    self.services.release(allocation).await;
                    match written? {
                        Some(answer) => return Ok(answer),
                        None if conditional => break,
                        None => {}
                    }
                }
            }
        }
        Err(endpoint.conflict(call.name, object::MODIFIED))
    }

    /// Defaults and admits a changed object.
    async fn ready(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        part: Part,
        object: &mut Value,
        old: &Value,
    ) -> Result<(), Status> {
        let strategy = &endpoint.strategy;
        let what = call.attributes(Operation::Update, endpoint);
        metadata::settle_namespace(endpoint, call, object)?;
        strategy.default(object);
        self.admission.admit(&what, object).await?;
        strategy.default(object);
        metadata::carry_over(object, old);
        match part {
            Part::Main => {
                strategy.prepare_update(object, old);
                service::normalize(endpoint, object, Some(old));
            }
            Part::Status => strategy.prepare_status_update(object, old),
            Part::Only(restore) => restore(object, old),
        }
        strategy.set_times(object, old, &self.clock);
        if strategy.tracks_generation() {
            metadata::count_generation(object, old);
        }
        Ok(())
    }

    /// Validates a changed object; warnings come back.
    async fn check(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        part: Part,
        object: &Value,
        old: &Value,
    ) -> Result<Vec<String>, Status> {
        let strategy = &endpoint.strategy;
        let what = call.attributes(Operation::Update, endpoint);
        let mut errors = metadata::validate_update(endpoint, object, old);
        errors.append(match part {
            Part::Main => strategy.validate_update(object, old),
            Part::Only(_) => strategy.validate_part_update(call.subresource, object, old),
            Part::Status => strategy.validate_status_update(object, old),
        });
        if !errors.is_empty() {
            return Err(Status::invalid(&endpoint.def.group, &endpoint.def.kind, call.name, &errors));
        }
        self.admission.validate(&what, object, old).await?;
        Ok(strategy.warnings(object, Some(old)))
    }

    /// Writes a changed object, or removes it where this change was all that its deletion waited for; `None` where
    /// somebody else was faster.
    async fn put(
        &self,
        endpoint: &Endpoint,
        collection: &Collection,
        call: &Call<'_>,
        current: &Versioned,
        mut object: Value,
        old: &Value,
    ) -> Result<Option<AnswerBody>, Status> {
        let finished = is_finished(endpoint, &object, old);
        object.entry("metadata").set("resourceVersion", current.resource_version().to_string());
        if call.dry_run {
            return Ok(Some(AnswerBody::Value(object)));
        }
        let key = collection.store_key(call.namespace, call.name);
        let expect = Expect::ModRevision(store::Revision(current.resource_version()));
        if finished {
            let outcome = self.hub.store().write(Write::delete(key, expect)).await.map_err(from_store)?;
            return Ok(match outcome {
                WriteOutcome::Committed { .. } => {
                    self.services.deleted(endpoint, old).await;
                    Some(AnswerBody::Value(object))
                }
                WriteOutcome::Conflict { .. } => None,
            });
        }
        if object == *old {
            return Ok(Some(AnswerBody::Version(endpoint.present(current).await?)));
        }
        let stored = endpoint.stored_value(object).await?;
        let written = collection.write(self.hub.store().as_ref(), key, stored, expect).await;
        match written.map_err(from_store)? {
            Some(version) => Ok(Some(AnswerBody::Version(endpoint.present(&version).await?))),
            None => Ok(None),
        }
    }
}

/// Whether the change lets a deletion that waits come to its end.
fn is_finished(endpoint: &Endpoint, object: &Value, old: &Value) -> bool {
    !object.at("metadata.deletionTimestamp").is_null()
        && object.at("metadata.finalizers").is_empty()
        && !endpoint.strategy.blocks_deletion(object)
        && old.at("metadata.deletionGracePeriodSeconds").as_i64().unwrap_or(0) == 0
        // Objects that wait for an agent alone are removed by the agent's own deletion.
        && (!old.at("metadata.finalizers").is_empty() || endpoint.strategy.blocks_deletion(old))
}

/// Checks that the object has the name of the path.
fn check_name(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    match object.str_at("metadata.name") {
        "" => Err(Status::bad_request("name must be provided")),
        name if name != call.name => Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            call.name
        ))),
        _ => Ok(()),
    }
}

/// Checks that whoever replaces an object says which version, where the kind wants that. Patches need not: they
/// change the version that there is.
fn check_version(endpoint: &Endpoint, call: &Call<'_>, object: &Value) -> Result<(), Status> {
    let is_missing = matches!(object.str_at("metadata.resourceVersion"), "" | "0");
    if !is_missing || endpoint.strategy.updates_unconditionally() {
        return Ok(());
    }
    let root = field::Path::root("metadata");
    let error =
        field::Error::invalid(&root.child("resourceVersion"), 0i64, "must be specified for an update");
    Err(Status::invalid(&endpoint.def.group, &endpoint.def.kind, call.name, &error.into()))
}

/// Checks that the object is the one of the path, in the version that the client means; tells whether it means
/// one.
fn check_identity(endpoint: &Endpoint, call: &Call<'_>, object: &Value, old: &Value) -> Result<bool, Status> {
    check_name(call, object)?;
    let (uid, old_uid) = (object.str_at("metadata.uid"), old.str_at("metadata.uid"));
    if !uid.is_empty() && uid != old_uid {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {old_uid}");
        return Err(endpoint.conflict(call.name, &why));
    }
    match object.str_at("metadata.resourceVersion") {
        "" | "0" => Ok(false),
        version if version == old.str_at("metadata.resourceVersion") => Ok(true),
        version if version.parse::<u64>().is_err() => Err(Status::bad_request(format!(
            "metadata.resourceVersion: Invalid value: {version:?}: must be a resource version that this server gave out"
        ))),
        _ => Err(endpoint.conflict(call.name, object::MODIFIED)),
    }
}
