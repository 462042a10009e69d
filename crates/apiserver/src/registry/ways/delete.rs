//! Deleting objects.

use object::{Details, Status, Versioned, quote};
use store::{Expect, RangeRequest, Write, WriteOutcome};

use super::super::write::{Effect, Fate, ManagerOperation, NULL, Part, WriteRequest};
use super::super::{Answer, AnswerBody, Call, Endpoint, Registry};
use super::TRIES;
use crate::admission::Operation;
use crate::errors::from_store;
use crate::options::{DeleteOptions, Query, WriteOptions};

impl Registry {
    /// Deletes an object, or begins to where something must happen first.
    ///
    /// # Errors
    /// 404 if the object does not exist, 409 if a precondition does not hold.
    pub async fn delete(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        options: &DeleteOptions,
    ) -> Result<Answer, Status> {
        let collection = endpoint.stored("delete")?;
        let dry_run = call.options.dry_run || options.dry_run;
        if options.ignore_read_error {
            return self.delete_unreadable(endpoint, call, dry_run).await;
        }
        let write_options = WriteOptions { dry_run, ..WriteOptions::default() };
        let call = &Call { options: &write_options, ..*call };
        let options = &DeleteOptions { dry_run, ..options.clone() };
        for _ in 0..TRIES {
            let current = self.current(endpoint, collection, call.namespace, call.name).await?;
            check_preconditions(endpoint, &current, options)?;
            let write = WriteRequest {
                endpoint,
                call,
                name: call.name,
                operation: Operation::Delete,
                part: Part::Main,
                effect: Effect::Remove(&current, options),
                object: NULL.clone(),
                old: &endpoint.served_value(&current).await?,
                request: None,
                manages: ManagerOperation::Update,
                creates_by_update: false,
                fate: Fate::Kept,
            };
            if let Some(answer) = self.run(write).await? {
                return Ok(answer);
            }
        }
        Err(endpoint.conflict(call.name, object::MODIFIED))
    }

    /// Deletes an object that cannot be read. Nothing is known of it: there are no finalizers, no admission, and nobody who
    /// depends on it is asked. So it takes a right of its own.
    async fn delete_unreadable(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        dry_run: bool,
    ) -> Result<Answer, Status> {
        self.guards.check_unsafe_deletion(endpoint, call).await?;
        let (collection, store) = (endpoint.stored("delete")?, self.hub.store());
        let key = collection.store_key(call.namespace, call.name);
        let found = store.range(RangeRequest::exact(key.clone())).await.map_err(from_store)?;
        let kv = found.kvs.first().ok_or_else(|| endpoint.not_found(call.name))?;
        let is_readable = match collection.decode(kv) {
            // One that cannot be converted cannot be read either.
            Ok(version) => endpoint.served_value(&version).await.is_ok(),
            Err(_) => false,
        };
        if is_readable {
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: unsafe \
                 deletion is not allowed because the object is decodable from storage"
            );
            return Err(endpoint.conflict(call.name, &why));
        }
        if !dry_run {
            tracing::warn!(key = quote(&key), user = call.user.name, "deletes an object that cannot be read");
            let write = Write::delete(key, Expect::ModRevision(kv.mod_revision));
            let WriteOutcome::Committed { .. } = store.write(write).await.map_err(from_store)? else {
                return Err(endpoint.conflict(call.name, object::MODIFIED));
            };
        }
        let (name, kind) = (call.name.to_owned(), endpoint.def.kind.to_string());
        let gone = Status::success(Some(Details { name, kind, ..Details::default() }));
        Ok(Answer::ok(AnswerBody::Status(Box::new(gone))))
    }

    /// Deletes every object that a list with the same query would show.
    ///
    /// # Errors
    /// The first refusal; objects deleted before it stay deleted.
    pub async fn delete_collection(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        query: &Query,
        options: &DeleteOptions,
    ) -> Result<Answer, Status> {
        options.check_collection()?;
        let listing = self.select(endpoint, call, query).await?;
        for item in &listing.items {
            let call = Call { namespace: item.namespace(), name: item.name(), ..*call };
            match self.delete(endpoint, &call, options).await {
                Err(status) if status.code != 404 => return Err(status),
                _ => {}
            }
        }
        Ok(Answer::ok(AnswerBody::List(listing)))
    }
}

fn check_preconditions(
    endpoint: &Endpoint,
    current: &Versioned,
    options: &DeleteOptions,
) -> Result<(), Status> {
    let fail = |what: &str, wanted: &str, is: &str| {
        let why =
            format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {is}");
        Err(endpoint.conflict(current.name(), &why))
    };
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != current.uid().as_str()) {
        return fail("UID", uid, current.uid().as_str());
    }
    let version = current.resource_version().to_string();
    if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != version) {
        return fail("ResourceVersion", wanted, &version);
    }
    Ok(())
}
