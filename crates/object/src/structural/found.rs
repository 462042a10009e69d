//! What a validation finds.

use crate::Value;
use crate::field::{Error, Errors, Path};

/// Upstream's path of errors that belong to no field.
pub(super) const NOWHERE: Path<'static> = Path::root("<nil>");

/// What was found in a value.
#[derive(Default)]
pub(super) struct Found {
    pub(super) errors: Errors,
    /// How many rules applied: of several alternatives, the one that fits best is reported.
    pub(super) matches: usize,
}

impl Found {
    pub(super) fn add(&mut self, other: Found) {
        self.errors.append(other.errors);
        self.matches += other.matches;
    }

    pub(super) fn invalid(&mut self, path: &Path<'_>, value: impl Into<Value>, should: &str) {
        self.errors.push_with(|| Error::invalid(path, value, format!("{path} in body should {should}")));
    }

    pub(super) fn nowhere(&mut self, detail: impl Into<String>) {
        self.errors.push_with(|| Error::invalid(&NOWHERE, "", detail));
    }

    pub(super) fn wrong_type(&mut self, expected: &str, found: &str, path: &Path<'_>) {
        self.errors.push_with(|| {
            Error::type_invalid(path, found, format!("{path} in body must be of type {expected}: {found:?}"))
        });
    }
}
