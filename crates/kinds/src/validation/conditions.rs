//! Conditions of the common form (`k8s.io/apimachinery/pkg/apis/meta/v1/validation`).

use std::collections::HashSet;

use object::field::Errors;
use object::names;

use super::field::{Field, NEGATIVE};

/// How long a reason may be.
const REASON_BYTES_MAX: usize = 1024;
/// How long a message may be.
const MESSAGE_BYTES_MAX: usize = 32 << 10;

/// Checks a list of `metav1.Condition`s.
pub(super) fn validate_conditions(errors: &mut Errors, conditions: &Field<'_, '_>) {
    let mut seen = HashSet::new();
    for condition in conditions.items() {
        let kind = condition.child("type");
        if !seen.insert(kind.text()) {
            kind.duplicate(errors);
        }
        validate_condition(errors, &condition);
    }
}

fn validate_condition(errors: &mut Errors, condition: &Field<'_, '_>) {
    let kind = condition.child("type");
    if kind.is_empty() {
        kind.required(errors, "must be set");
    } else {
        kind.check(errors, names::is_qualified_name);
    }
    let status = condition.child("status");
    if !["False", "True", "Unknown"].contains(&status.text()) {
        status.not_supported(errors, &["False", "True", "Unknown"]);
    }
    let generation = condition.child("observedGeneration");
    if generation.number() < 0 {
        generation.invalid(errors, NEGATIVE);
    }
    let time = condition.child("lastTransitionTime");
    if time.is_empty() {
        time.required(errors, "must be set");
    }
    let reason = condition.child("reason");
    if reason.is_empty() {
        reason.required(errors, "must be set");
    } else {
        if reason.text().len() > REASON_BYTES_MAX {
            errors.push(object::field::Error::too_long(&reason.path, REASON_BYTES_MAX));
        }
        reason.check(errors, names::is_valid_condition_reason);
    }
    let message = condition.child("message");
    if message.text().len() > MESSAGE_BYTES_MAX {
        errors.push(object::field::Error::too_long(&message.path, MESSAGE_BYTES_MAX));
    }
}
