//! The end of a write: the store takes the new state, on the condition that the current one has not changed.

use object::{Status, Value, Versioned};
use store::{Expect, RangeRequest, Revision, StoreError, Write, WriteOutcome};

use super::super::write::{Effect, Fate, WriteRequest};
use super::managed_fields;
use crate::cache::{Collection, OBJECT_BYTES_MAX};
use crate::errors::from_store;
use crate::registry::{Answer, Registry};

/// The result of a write.
pub(super) enum Stored {
    /// This version is in the store now.
    Version(Versioned),
    /// This object, in the form that is served, would be in the store now.
    Value(Value),
    /// The object is gone; this was its last version.
    Gone(Versioned),
    /// The request stored no object.
    Answered(Box<Answer>),
}

impl Registry {
    /// Carries out the write; `None` if the current state is no longer the one that it is based on.
    pub(super) async fn persist(&self, write: &mut WriteRequest<'_>) -> Result<Option<Stored>, Status> {
        match write.effect {
            Effect::Act(action) => Ok(Some(Stored::Answered(Box::new(action.act(self, write).await?)))),
            Effect::Insert => self.insert(write).await.map(Some),
            Effect::Replace(current) => match write.fate {
                Fate::Gone => self.finish(write, current).await,
                Fate::Kept | Fate::Unchanged => self.replace(write, current).await,
            },
            Effect::Remove(current, _) => match write.fate {
                Fate::Gone => self.remove(write, current).await,
                Fate::Kept => self.mark(write, current).await,
                Fate::Unchanged => Ok(Some(Stored::Version(current.clone()))),
            },
        }
    }

    async fn insert(&self, write: &mut WriteRequest<'_>) -> Result<Stored, Status> {
        let (endpoint, object) = (write.endpoint, write.object.take());
        let collection = endpoint.stored("create")?;
        // Admission may have changed it.
        let name = object.str_at("metadata.name").to_owned();
        let exists = || Status::already_exists(&endpoint.def.group, &endpoint.def.plural, &name);
        let key = collection.store_key(write.call.namespace, &name);
        if write.dry_run() {
            check_size(&object)?;
            let found = self.hub.store().range(RangeRequest::exact(key)).await.map_err(from_store)?;
            return if found.kvs.is_empty() { Ok(Stored::Value(object)) } else { Err(exists()) };
        }
        let object = endpoint.stored_value(object).await?;
        let written = collection.write(self.hub.store().as_ref(), key, object, Expect::Absent).await;
        written.map_err(from_store)?.map(Stored::Version).ok_or_else(exists)
    }

    async fn replace(
        &self,
        write: &mut WriteRequest<'_>,
        current: &Versioned,
    ) -> Result<Option<Stored>, Status> {
        let mut object = versioned(write, current);
        managed_fields::keep_times(&mut object, write.old);
        if write.dry_run() {
            check_size(&object)?;
            return Ok(Some(Stored::Value(object)));
        }
        // A change that changes nothing still brings an object into the form that is stored now: its version, and its schema.
        let stored = write.endpoint.stored("update")?.type_meta();
        let is_current = current.api_version() == &*stored.api_version && current.stored().is_some();
        if object == *write.old && is_current {
            return Ok(Some(Stored::Version(current.clone())));
        }
        let object = write.endpoint.stored_value(object).await?;
        self.overwrite(write, current, object).await
    }

    /// Removes an object whose deletion waited only for this change.
    async fn finish(
        &self,
        write: &mut WriteRequest<'_>,
        current: &Versioned,
    ) -> Result<Option<Stored>, Status> {
        let is_gone = write.dry_run() || self.forget(write, current).await?;
        Ok(is_gone.then(|| Stored::Value(versioned(write, current))))
    }

    async fn remove(&self, write: &WriteRequest<'_>, current: &Versioned) -> Result<Option<Stored>, Status> {
        let is_gone = write.dry_run() || self.forget(write, current).await?;
        Ok(is_gone.then(|| Stored::Gone(current.clone())))
    }

    /// Stores the state of an object whose deletion is pending.
    async fn mark(
        &self,
        write: &mut WriteRequest<'_>,
        current: &Versioned,
    ) -> Result<Option<Stored>, Status> {
        let object = write.object.take();
        if write.dry_run() {
            return Ok(Some(Stored::Value(object)));
        }
        let object = write.endpoint.stored_value(object).await?;
        self.overwrite(write, current, object).await
    }

    async fn overwrite(
        &self,
        write: &WriteRequest<'_>,
        current: &Versioned,
        object: Value,
    ) -> Result<Option<Stored>, Status> {
        let (collection, key, expect) = place(write, current)?;
        let written = collection.write(self.hub.store().as_ref(), key, object, expect).await;
        Ok(written.map_err(from_store)?.map(Stored::Version))
    }

    /// Removes an object from the store; returns whether it did.
    async fn forget(&self, write: &WriteRequest<'_>, current: &Versioned) -> Result<bool, Status> {
        let (_, key, expect) = place(write, current)?;
        let outcome = self.hub.store().write(Write::delete(key, expect)).await.map_err(from_store)?;
        Ok(matches!(outcome, WriteOutcome::Committed { .. }))
    }
}

/// Whether the store would take an object, apart from its other form if there is one.
fn check_size(object: &Value) -> Result<(), Status> {
    match object::json::check(object, OBJECT_BYTES_MAX) {
        Ok(true) => Ok(()),
        Ok(false) => Err(from_store(StoreError::TooLarge { bytes_max: OBJECT_BYTES_MAX })),
        Err(error) => Err(Status::internal_error(error)),
    }
}

/// The object's key, and the precondition.
fn place<'a>(
    write: &WriteRequest<'a>,
    current: &Versioned,
) -> Result<(&'a Collection, String, Expect), Status> {
    let collection = write.endpoint.stored("update")?;
    let key = collection.store_key(write.call.namespace, write.name);
    Ok((collection, key, Expect::ModRevision(Revision(current.resource_version()))))
}

/// The new state, with the version on which it is based.
fn versioned(write: &mut WriteRequest<'_>, current: &Versioned) -> Value {
    let mut object = write.object.take();
    object.entry("metadata").set("resourceVersion", current.resource_version().to_string());
    object
}
