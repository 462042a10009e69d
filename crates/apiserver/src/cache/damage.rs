//! Stored objects that cannot be read.
//!
//! They are in nobody's cache, and what would have shown them fails instead: a list without them would look as if they did
//! not exist. They go when they are written over or deleted.

use std::collections::BTreeMap;

use object::{Cause, Details, Reason, Status};
use parking_lot::Mutex;

use super::CacheError;

/// How many of them an answer names.
const CAUSES_MAX: usize = 100;
/// The reason of causes that the server did not expect.
const UNEXPECTED: &str = "UnexpectedServerResponse";

/// The objects of a collection that cannot be read, by their keys in the store, with the reason in upstream's words.
#[derive(Debug, Default)]
pub(crate) struct Damage(Mutex<BTreeMap<String, String>>);

impl Damage {
    /// Adds an object.
    pub(super) fn note(&self, key: &str, why: String) {
        self.0.lock().insert(key.to_owned(), why);
    }

    /// Removes an object.
    pub(super) fn forget(&self, key: &str) {
        self.0.lock().remove(key);
    }

    /// Removes all.
    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }

    /// Fails if there is one below a prefix of the keys.
    ///
    /// # Errors
    /// 500, naming the objects.
    pub(crate) fn check(&self, group: &str, plural: &str, prefix: &str) -> Result<(), Status> {
        let all = self.0.lock();
        let found: Vec<(&String, &String)> =
            all.iter().filter(|(key, _)| key.starts_with(prefix)).take(CAUSES_MAX).collect();
        let Some((_, first)) = found.first() else { return Ok(()) };
        let resource = if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") };
        let mut message = format!("failed to read one or more {resource} from the storage: {first}");
        if found.len() > 1 {
            message = format!("{message} (and {} more)", found.len() - 1);
        }
        let cause = |(key, why): &(&String, &String)| Cause {
            reason: UNEXPECTED.to_owned(),
            message: (*why).clone(),
            field: (*key).clone(),
        };
        let mut causes: Vec<Cause> = found.iter().map(cause).collect();
        if causes.len() == CAUSES_MAX {
            let message = "too many errors, the list is truncated".to_owned();
            causes.push(Cause { reason: "FieldValueTooMany".to_owned(), message, ..Cause::default() });
        }
        let details = Details {
            name: "list".to_owned(),
            group: group.to_owned(),
            kind: plural.to_owned(),
            causes,
            ..Details::default()
        };
        Err(Status { details: Some(Box::new(details)), ..Status::failure(Reason::StorageReadError, message) })
    }
}

/// What upstream says of an object that cannot be read.
pub(crate) fn told(error: &CacheError) -> String {
    let CacheError::Corrupt { key, revision, source } = error else { return causes::chain(error) };
    let why = causes::chain(source);
    format!(
        "StorageError: corrupt object, Code: 7, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: object not \
         decodable revision={revision}: {why}"
    )
}
