//! Validation of the final state.

use clock::Clock;
use object::field::Errors;
use object::{Status, Value};
use tokio::time::timeout_at;

use super::super::metadata;
use super::super::write::{Effect, Part, WriteRequest};
use crate::admission::Warnings;
use crate::aside::Aside;

/// What the rules of an object may cost on a thread that serves requests: about a millisecond.
const BRIEF: u64 = 10_000;

/// Validates the final state, and warns of what is valid all the same.
///
/// # Errors
/// 422 with everything that is wrong.
pub(super) async fn validate(
    write: &WriteRequest<'_>,
    warnings: &Warnings,
    aside: &Aside,
    clock: &Clock,
) -> Result<(), Status> {
    let (endpoint, object) = (write.endpoint, &write.object);
    let strategy = &endpoint.strategy;
    let old = match write.effect {
        Effect::Insert => None,
        Effect::Replace(_) => Some(write.old),
        // A deletion changes nothing that has rules.
        Effect::Remove(..) => return Ok(()),
        Effect::Act(action) => return action.check(write),
    };
    let takes_long = !matches!(write.part, Part::Status) && strategy.takes_long(object);
    let mut errors = match takes_long {
        true => in_time(write, aside.run(|| own_errors(write, old))).await?,
        false => own_errors(write, old),
    };
    let of_rules = match strategy.validate_rules(object, old, &errors, Some(BRIEF)) {
        Some(of_rules) => of_rules,
        None => {
            let whole = aside.run(|| strategy.validate_rules(object, old, &errors, None));
            in_time(write, whole).await?.unwrap_or_default()
        }
    };
    errors.append(of_rules);
    if let (true, Part::Status, Some(old)) = (errors.is_empty(), &write.part, old) {
        errors.append(strategy.validate_status_now(object, old, clock));
    }
    if !errors.is_empty() {
        return Err(Status::invalid(&endpoint.def.group, &endpoint.def.kind, write.name, &errors));
    }
    let tolerated = errors.tolerated().iter().map(ToString::to_string);
    tolerated.chain(strategy.warnings(object, write.old())).for_each(|warning| warnings.add(warning));
    Ok(())
}

/// Work that waits for its place no longer than the request has time.
async fn in_time<T>(write: &WriteRequest<'_>, work: impl Future<Output = T>) -> Result<T, Status> {
    let late = |_| Status::timeout("request did not complete within requested timeout", 0);
    timeout_at(write.call.deadline, work).await.map_err(late)
}

/// What is wrong with an object, apart from the rules of its definition.
fn own_errors(write: &WriteRequest<'_>, old: Option<&Value>) -> Errors {
    let (endpoint, object) = (write.endpoint, &write.object);
    let strategy = &endpoint.strategy;
    let Some(old) = old else {
        let mut errors = metadata::validate(endpoint, object);
        errors.append(strategy.validate(object));
        return errors;
    };
    let mut errors = metadata::validate_update(endpoint, object, old);
    errors.append(match write.part {
        Part::Main => strategy.validate_update(object, old),
        Part::Status => strategy.validate_status_update(object, old),
        Part::Only(..) => strategy.validate_part_update(write.call.subresource, object, old),
    });
    errors
}
