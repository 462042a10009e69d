//! Validation of the final state.

use object::Status;

use super::super::metadata;
use super::super::write::{Effect, Part, WriteRequest};
use crate::admission::Warnings;

/// Validates the final state, and warns of what is valid all the same.
///
/// # Errors
/// 422 with everything that is wrong.
pub(super) fn validate(write: &WriteRequest<'_>, warnings: &Warnings) -> Result<(), Status> {
    let (endpoint, object, old) = (write.endpoint, &write.object, write.old);
    let strategy = &endpoint.strategy;
    let errors = match (write.effect, write.part) {
        (Effect::Insert, _) => {
            let mut errors = metadata::validate(endpoint, object);
            errors.append(strategy.validate(object));
            errors
        }
        (Effect::Replace(_), part) => {
            let mut errors = metadata::validate_update(endpoint, object, old);
            errors.append(match part {
                Part::Main => strategy.validate_update(object, old),
                Part::Status => strategy.validate_status_update(object, old),
                Part::Only(..) => strategy.validate_part_update(write.call.subresource, object, old),
            });
            errors
        }
        // A deletion changes nothing that has rules.
        (Effect::Remove(..), _) => return Ok(()),
        (Effect::Act(action), _) => {
            return action.check(write);
        }
    };
    if !errors.is_empty() {
        return Err(Status::invalid(&endpoint.def.group, &endpoint.def.kind, write.name, &errors));
    }
    let tolerated = errors.tolerated().iter().map(ToString::to_string);
    tolerated.chain(strategy.warnings(object, write.old())).for_each(|warning| warnings.add(warning));
    Ok(())
}
