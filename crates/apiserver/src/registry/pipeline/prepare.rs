//! The changes that the generic path and the kind's strategy make to an object, before admission and after it.

use clock::Clock;
use object::{Status, Value, decode};

use super::super::metadata::{self, Identity};
use super::super::write::{Effect, Fate, Part, WriteRequest};
use super::deletion;

/// Sets the namespace, the identity and the defaults of an object from a client, so that all later stages see the
/// complete object.
pub(super) fn arrive(write: &mut WriteRequest<'_>, clock: &Clock) -> Result<(), Status> {
    let strategy = &write.endpoint.strategy;
    match write.effect {
        Effect::Insert => {
            metadata::settle_namespace(write.endpoint, write.call, &mut write.object)?;
            metadata::stamp(&mut write.object, clock, strategy.tracks_generation());
            strategy.default(&mut write.object);
        }
        Effect::Replace(_) if write.request.is_none() => {
            metadata::settle_namespace(write.endpoint, write.call, &mut write.object)?;
            strategy.default(&mut write.object);
        }
        // An object of another kind gets no defaults.
        Effect::Replace(_) | Effect::Remove(..) | Effect::Act(_) => {}
    }
    Ok(())
}

/// Restores the identity of a new object, whatever admission has made of it. Like in upstream, only the name may change,
/// unless the path names the object.
pub(super) fn identify(write: &mut WriteRequest<'_>, identity: Identity) -> Result<(), Status> {
    identity.restore(&mut write.object);
    metadata::settle_namespace(write.endpoint, write.call, &mut write.object)?;
    let name = write.object.str_at("metadata.name");
    if write.creates_by_update && name != write.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            write.name
        )));
    }
    Ok(())
}

/// Makes the new state from the admitted object.
pub(super) fn prepare(write: &mut WriteRequest<'_>, clock: &Clock) -> Result<(), Status> {
    if let Some(request) = &write.request {
        write.object = request.form.apply(write, &request.asked, clock)?;
    }
    let strategy = &write.endpoint.strategy;
    let (object, old) = (&mut write.object, write.old);
    match write.effect {
        Effect::Insert => {
            strategy.default(object);
            strategy.prepare_create(object);
            strategy.set_times(object, old, clock);
            decode::complete(object, &write.endpoint.def.ty);
        }
        Effect::Replace(_) => {
            strategy.default(object);
            metadata::carry_over(object, old);
            match write.part {
                Part::Main => strategy.prepare_update(object, old),
                Part::Status => strategy.prepare_status_update(object, old),
                Part::Only(restore, _) => restore(object, old),
            }
            strategy.set_times(object, old, clock);
            decode::complete(object, &write.endpoint.def.ty);
            let counts = write.request.as_ref().is_none_or(|request| request.form.counts_generation());
            if strategy.tracks_generation() && counts {
                metadata::count_generation(object, old);
            }
            if is_finished(write) {
                write.fate = Fate::Gone;
            }
        }
        Effect::Remove(_, options) => {
            (write.fate, write.object) = deletion::step(write.endpoint, old, options, clock);
        }
        Effect::Act(_) => {}
    }
    Ok(())
}

/// Whether the change completes a pending deletion.
fn is_finished(write: &WriteRequest<'_>) -> bool {
    let (object, old, strategy) = (&write.object, write.old, &write.endpoint.strategy);
    let waits =
        |object: &Value| !object.at("metadata.finalizers").is_empty() || strategy.blocks_deletion(object);
    !object.at("metadata.deletionTimestamp").is_null()
        && !waits(object)
        && old.at("metadata.deletionGracePeriodSeconds").as_i64().unwrap_or(0) == 0
        // Objects that wait for an agent alone are removed by the agent's own deletion.
        && waits(old)
}
