//! Admission policies: rules and changes in CEL, as objects of the API.
//!
//! A policy says what it is for, which conditions must hold, and what it validates or changes; a binding puts it in force,
//! for some requests, with parameters. Both are read from the cache at each request: a request without a binding costs one
//! look at an empty map. Expressions are compiled once for each version of a policy.
//!
//! Differences from upstream: annotations for the audit log are evaluated but dropped, because there is none.

use object::{Reason, Status};

use super::Attributes;

mod apply;
mod definition;
mod installed;
mod mutating;
mod params;
mod request;
mod validating;

pub use mutating::MutatingPolicies;
pub use validating::ValidatingPolicies;

/// The refusal of a request by a policy.
fn refusal(what: &Attributes<'_>, message: &str, reason: Reason, code: u16) -> Status {
    let mut status = what.forbidden(message);
    status.reason = reason;
    status.code = code;
    status
}
