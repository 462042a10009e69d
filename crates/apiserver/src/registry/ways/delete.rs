//! Deleting objects.

use object::{Status, Versioned};

use super::super::write::{Effect, Fate, ManagerOperation, NULL, Part, WriteRequest};
use super::super::{Answer, AnswerBody, Call, Endpoint, Registry};
use super::TRIES;
use crate::admission::Operation;
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
