//! Deleting objects.

use object::{Details, Status, Value, Versioned};
use store::{Expect, Revision, Write, WriteOutcome};

use super::{Answer, AnswerBody, Call, Endpoint, Listing, Registry};
use crate::admission::Operation;
use crate::errors::from_store;
use crate::options::{DeleteOptions, Propagation, Query};

/// The finalizer of an object whose dependents are to lose their owner before it goes.
const ORPHAN: &str = "orphan";
/// The finalizer of an object whose dependents are to go before it.
const FOREGROUND: &str = "foregroundDeletion";
/// How often a deletion is tried again when the object changes meanwhile.
const TRIES: usize = 16;

/// What a deletion does next.
enum Step {
    /// The object stays for now, in this form.
    Mark(Value),
    /// The object goes.
    Remove,
    /// Nothing more is to be done: it waits already.
    Wait,
}

impl Registry {
    /// Deletes an object, or begins to where something must happen first.
    ///
    /// # Errors
    /// 404 where there is none, 409 where a precondition does not hold.
    pub async fn delete(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        options: &DeleteOptions,
    ) -> Result<Answer, Status> {
        let collection = endpoint.stored("delete")?;
        for _ in 0..TRIES {
            let current = self.current(endpoint, collection, call.namespace, call.name).await?;
            check_preconditions(endpoint, &current, options)?;
            let old = current.value();
            let what = call.attributes(Operation::Delete, endpoint);
            self.admission.validate(&what, &Value::Null, &old).await?;
            let dry_run = call.dry_run || options.dry_run;
            let expect = Expect::ModRevision(Revision(current.resource_version()));
            let key = collection.store_key(call.namespace, call.name);
            let store = self.hub.store();
            match self.step(endpoint, &old, options) {
                Step::Wait => return Ok(Answer::ok(AnswerBody::Version(endpoint.present(&current).await?))),
                Step::Remove if dry_run => return removed(endpoint, &current).await,
                Step::Mark(object) if dry_run => {
                    return Ok(Answer::ok(AnswerBody::Value(endpoint.present_value(object).await?)));
                }
                Step::Remove => {
                    let outcome = store.write(Write::delete(key, expect)).await.map_err(from_store)?;
                    if let WriteOutcome::Committed { .. } = outcome {
                        self.services.deleted(endpoint, &old).await;
                        return removed(endpoint, &current).await;
                    }
                }
                Step::Mark(object) => {
                    let written = collection.write(store.as_ref(), key, object, expect).await;
                    if let Some(version) = written.map_err(from_store)? {
                        return Ok(Answer::ok(AnswerBody::Version(endpoint.present(&version).await?)));
                    }
                }
            }
        }
        Err(endpoint.conflict(call.name, object::MODIFIED))
    }

    /// Deletes every object that a list with the same query would show.
    ///
    /// # Errors
    /// The first refusal; what was deleted before it stays deleted.
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
        Ok(Answer::ok(AnswerBody::List(Listing { continue_token: None, remaining: None, ..listing })))
    }

    fn step(&self, endpoint: &Endpoint, old: &Value, options: &DeleteOptions) -> Step {
        let strategy = &endpoint.strategy;
        let finalizers = finalizers_after(endpoint, old, options.propagation);
        let finalizers_changed =
            finalizers.as_slice() != old.at("metadata.finalizers").as_list().unwrap_or_default();
        let grace = strategy.deletion_grace_seconds(old, options.grace_period_seconds).unwrap_or(0);
        let is_held = !finalizers.is_empty() || strategy.blocks_deletion(old);
        let is_deleting = !old.at("metadata.deletionTimestamp").is_null();
        let remaining = old.at("metadata.deletionGracePeriodSeconds").as_i64().unwrap_or(0);
        if grace == 0 && !is_held {
            return Step::Remove;
        }
        // A second deletion can only shorten the first one's grace.
        if is_deleting && grace >= remaining && !finalizers_changed {
            return Step::Wait;
        }
        let mut object = old.clone();
        let metadata = object.entry("metadata");
        if finalizers.is_empty() {
            metadata.remove("finalizers");
        } else {
            metadata.set("finalizers", finalizers);
        }
        if !is_deleting || grace < remaining {
            let now = self.clock.now_seconds();
            let end = now.as_second().saturating_add(grace);
            let end = jiff::Timestamp::from_second(end).unwrap_or(now);
            metadata.set("deletionTimestamp", end.to_string());
            metadata.set("deletionGracePeriodSeconds", grace);
            if !is_deleting && !metadata.get("generation").is_null() {
                let generation = metadata.get("generation").as_i64().unwrap_or(0);
                metadata.set("generation", generation + 1);
            }
        }
        strategy.prepare_deletion(&mut object);
        Step::Mark(object)
    }
}

/// The finalizers that the deletion leaves, with those that its propagation policy asks for.
fn finalizers_after(endpoint: &Endpoint, old: &Value, policy: Option<Propagation>) -> Vec<Value> {
    let present = old.at("metadata.finalizers");
    let has = |name: &str| present.items().any(|f| f.as_str() == Some(name));
    let (orphan, foreground) = match policy {
        Some(Propagation::Orphan) => (true, false),
        Some(Propagation::Foreground) => (false, true),
        Some(Propagation::Background) => (false, false),
        None if has(ORPHAN) || has(FOREGROUND) => (has(ORPHAN), has(FOREGROUND)),
        None => (endpoint.strategy.orphans_by_default(), false),
    };
    let mut finalizers: Vec<Value> = present
        .items()
        .filter(|finalizer| {
            let name = finalizer.as_str().unwrap_or_default();
            (orphan || name != ORPHAN) && (foreground || name != FOREGROUND)
        })
        .cloned()
        .collect();
    for (wanted, name) in [(orphan, ORPHAN), (foreground, FOREGROUND)] {
        if wanted && !has(name) {
            finalizers.push(Value::from(name));
        }
    }
    finalizers
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

async fn removed(endpoint: &Endpoint, last: &Versioned) -> Result<Answer, Status> {
    if endpoint.strategy.returns_deleted() {
        return Ok(Answer::ok(AnswerBody::Version(endpoint.present(last).await?)));
    }
    let details = Details {
        name: last.name().to_owned(),
        group: endpoint.def.group.to_string(),
        kind: endpoint.def.plural.to_string(),
        uid: last.uid().as_str().to_owned(),
        ..Details::default()
    };
    Ok(Answer::ok(AnswerBody::Status(Box::new(Status::success(Some(details))))))
}
