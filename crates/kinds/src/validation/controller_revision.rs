//! ControllerRevisions (`pkg/apis/apps/validation`).

use object::Value;
use object::field::Errors;

use super::field::Field;

const REVISION: &str = "io.k8s.api.apps.v1.ControllerRevision";

/// Checks a ControllerRevision, except its metadata.
pub fn validate_controller_revision(revision: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(revision, REVISION);
    let data = root.child("data");
    if !data.is_set() {
        data.required(&mut errors, "data is mandatory");
    }
    root.child("revision").check_not_negative(&mut errors);
    errors
}

/// Checks a change of a ControllerRevision, except its metadata: the recorded state stays, its number may grow.
pub fn validate_controller_revision_update(revision: &Value, old: &Value) -> Errors {
    let mut errors = validate_controller_revision(revision);
    Field::root(revision, REVISION).child("data").check_immutable(&mut errors, old.get("data"));
    errors
}
