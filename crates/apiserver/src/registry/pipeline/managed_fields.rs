//! Who manages which fields (`metadata.managedFields`, KEP-555).
//!
//! Every write passes here before admission: its manager takes the fields that it changes. A configuration that is applied
//! has its managers already, because what becomes of the object depends on them ([`ways::patch`](crate::registry::ways)).

use clock::Clock;
use managedfields::{Managers, Write};
use object::{Value, value};

use crate::admission::{Operation, Warnings};
use crate::catalogue::LiveCatalogue;
use crate::registry::managers::{self, Managed};
use crate::registry::write::{Effect, ManagerOperation, WriteRequest};

/// The manager of a client that does not tell its name.
const UNKNOWN: &str = "unknown";

/// The name of a manager; one that is not told is unknown.
pub(in crate::registry) fn named(manager: &str) -> &str {
    if manager.is_empty() { UNKNOWN } else { manager }
}

/// Determines the managers of the new state.
pub(super) async fn settle(write: &mut WriteRequest<'_>, catalogue: &LiveCatalogue, clock: &Clock) {
    if !is_managed(write) {
        return;
    }
    let (endpoint, call) = (write.endpoint, write.call);
    let managed = Managed::at(endpoint, call.subresource, catalogue);
    let scope = match write.request {
        // The form has no other fields.
        Some(_) => std::borrow::Cow::Owned(managedfields::Scope::Whole),
        None => managers::scope(endpoint, write.part),
    };
    let now = clock.now_seconds().to_string();
    let by = Write {
        manager: named(&call.options.field_manager),
        api_version: &managed.api_version,
        subresource: call.subresource,
        now: &now,
        scope: &scope,
    };
    let (kind, name) = (&*endpoint.def.kind, write.name);
    let (object, old) = write.seen_mut();
    let before = if old.is_null() { managed.zero() } else { Value::Null };
    let live = if old.is_null() { &before } else { old };
    let known = known(object, live, call.subresource);
    remove(object);
    object::decode::complete(object, managed.ty);
    match managedfields::update(managed.versions.as_ref(), live, object, known, &by).await {
        Ok(managers) => {
            if !managers::write(&managers, object) {
                // As upstream: an object that would be too large with its managers is kept without them.
                remove(object);
            }
        }
        Err(why) => {
            tracing::warn!(kind, name, %why, "the managers of fields stay as they were");
            set(object, live.at("metadata.managedFields"));
        }
    }
}

/// Whether the managers of a new state are to be determined.
fn is_managed(write: &WriteRequest<'_>) -> bool {
    let is_stored = !matches!(write.effect, Effect::Act(_)) && write.operation != Operation::Delete;
    let has_fields = write.request.as_ref().is_none_or(|request| request.form.is_managed());
    is_stored && has_fields && write.manages == ManagerOperation::Update
}

/// The managers before a write: those that the client sends, unless it knows none, and those of the current object
/// otherwise. A list of one empty entry says that nobody manages anything.
fn known(object: &Value, live: &Value, subresource: &str) -> Managers {
    let sent = object.at("metadata.managedFields");
    if subresource.is_empty() && !sent.is_empty() {
        if let [only] = sent.as_list().unwrap_or_default()
            && only.is_empty()
        {
            return Managers::default();
        }
        if let Ok(managers) = Managers::of(object) {
            return managers;
        }
    }
    Managers::of(live).unwrap_or_default()
}

fn remove(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}

fn set(object: &mut Value, managers: &Value) {
    match managers {
        Value::Null => remove(object),
        managers => object.entry("metadata").set("managedFields", managers.clone()),
    }
}

/// Undoes a change of an admission plugin that leaves the managers in a state that cannot be read. `before` are those
/// before admission.
pub(super) fn check(object: &mut Value, before: &Value, warnings: &Warnings) {
    if object.at("metadata.managedFields") == before {
        return;
    }
    if let Err(why) = Managers::of(object) {
        warnings.add(format!(
            ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating \
             admission controller; please fix your requests: {why}"
        ));
        set(object, before);
    }
}

/// Keeps the times of an object's managers if nothing else has changed, so that such a write changes nothing.
pub(super) fn keep_times(object: &mut Value, old: &Value) {
    let (new, before) = (object.at("metadata.managedFields"), old.at("metadata.managedFields"));
    if new == before || !is_same_but_times(new, before) {
        return;
    }
    let new = new.clone();
    set(object, before);
    if object != old {
        set(object, &new);
    }
}

fn is_same_but_times(a: &Value, b: &Value) -> bool {
    let untimed = |entry: &Value| {
        let mut entry = entry.clone();
        entry.set("time", value!(null));
        entry
    };
    let (a, b) = (a.as_list().unwrap_or_default(), b.as_list().unwrap_or_default());
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| untimed(a) == untimed(b))
}
