//! Patches: changes to an object that a client sends instead of the object.
//!
//! | module | contents |
//! | --- | --- |
//! | [`json_patch`] | operations on paths (RFC 6902) |
//! | [`merge_patch`] | an object laid over the old one (RFC 7386) |
//! | [`strategic_merge`] | the same, with lists that merge by key according to the schema, and directives |
//!
//! Each takes the old tree and returns the new one; none knows the meaning of a kind. Behaviour and messages are those
//! of the libraries that upstream's server uses (`evanphx/json-patch` v4,
//! `k8s.io/apimachinery/pkg/util/strategicpatch`).

use crate::status::Response;
use crate::{Reason, Status};

mod json_patch;
mod merge;
mod strategic;

pub use json_patch::json_patch;
pub use merge::merge_patch;
pub use strategic::strategic_merge;

/// How many operations a JSON patch may have.
pub const JSON_PATCH_OPERATIONS_MAX: usize = 10_000;
/// How many bytes of JSON text the `copy` operations of a JSON patch may add.
pub const JSON_PATCH_COPY_BYTES_MAX: usize = 3 * 1024 * 1024;

/// How many members and items the operations of a JSON patch may search and move in all, so that many operations on large
/// lists and objects end in time.
pub const JSON_PATCH_STEPS_MAX: usize = 50_000_000;

/// Why a patch cannot be applied. The texts are part of the API.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The patch is malformed: the client's fault, whatever the object (400).
    #[error("{0}")]
    Malformed(String),
    /// The patch does not fit the object (422).
    #[error("{0}")]
    DoesNotApply(String),
    /// A JSON patch has more than [`JSON_PATCH_OPERATIONS_MAX`] operations (413).
    #[error("The allowed maximum operations in a JSON patch is {JSON_PATCH_OPERATIONS_MAX}, got {0}")]
    TooManyOperations(usize),
    /// The operations of a JSON patch search and move more than [`JSON_PATCH_STEPS_MAX`] members and items (413).
    #[error(
        "the JSON patch is too expensive: it searches and moves more than {JSON_PATCH_STEPS_MAX} members and items; replace whole lists and objects instead"
    )]
    TooExpensive,
    /// A strategic merge patch contradicts the schema (500, as upstream answers).
    #[error("{0}")]
    Schema(String),
}

impl Error {
    /// Whether a `test` of a JSON patch does not hold: the object is another one than the patch is for.
    pub fn is_failed_test(&self) -> bool {
        matches!(self, Error::DoesNotApply(message) if message.ends_with(json_patch::TEST_FAILED))
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Status {
        match error {
            Error::Malformed(message) => Status::bad_request(message),
            Error::TooManyOperations(_) | Error::TooExpensive => {
                Status::request_entity_too_large(&error.to_string())
            }
            Error::Schema(message) => Status::failure(Reason::Unknown, message),
            Error::DoesNotApply(message) => Status::generic_server_response(&Response {
                code: 422,
                method: "",
                group: "",
                resource: "",
                name: "",
                body: &message,
                retry_after_seconds: 0,
                unexpected: false,
            }),
        }
    }
}
