//! The rules of `metadata`, which are the same for every kind.

use clock::Clock;
use object::field::Errors;
use object::{Status, Value, field};

use super::{Call, Endpoint};

/// How many random characters follow `generateName`.
pub const SUFFIX_LENGTH: usize = 5;
/// How long the fixed part of a generated name may be: 63 with its suffix, so that it stays a DNS label.
const GENERATE_NAME_MAX: usize = 63 - SUFFIX_LENGTH;

/// Sets the object's namespace to that of the path.
///
/// # Errors
/// 400 if the object names another.
pub fn settle_namespace(endpoint: &Endpoint, call: &Call<'_>, object: &mut Value) -> Result<(), Status> {
    if !endpoint.namespaced() {
        object.entry("metadata").remove("namespace");
        return Ok(());
    }
    let given = object.str_at("metadata.namespace");
    if given.is_empty() {
        object.entry("metadata").set("namespace", call.namespace);
    } else if given != call.namespace {
        return Err(Status::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request: expected {:?}, got {given:?}",
            call.namespace
        )));
    }
    Ok(())
}

/// What the server alone determines of a new object.
const SYSTEM_FIELDS: [&str; 7] = [
    "uid",
    "creationTimestamp",
    "generation",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "selfLink",
];

/// The identity of a new object while others may change it.
pub struct Identity([Value; SYSTEM_FIELDS.len()]);

impl Identity {
    /// The identity of an object that has been stamped.
    pub fn of(object: &Value) -> Identity {
        let metadata = object.get("metadata");
        Identity(SYSTEM_FIELDS.map(|field| metadata.get(field).clone()))
    }

    /// Gives the object its identity again.
    pub fn restore(self, object: &mut Value) {
        let metadata = object.entry("metadata");
        for (field, value) in SYSTEM_FIELDS.into_iter().zip(self.0) {
            if *metadata.get(field) == value {
                continue;
            }
            match value {
                Value::Null => {
                    metadata.remove(field);
                }
                value => metadata.set(field, value),
            }
        }
    }
}

/// Gives a new object its identity.
pub fn stamp(object: &mut Value, clock: &Clock, tracks_generation: bool) {
    let metadata = object.entry("metadata");
    for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
        metadata.remove(field);
    }
    metadata.set("uid", clock.uid());
    metadata.set("creationTimestamp", clock.now_seconds().to_string());
    if tracks_generation {
        metadata.set("generation", 1i64);
    } else {
        metadata.remove("generation");
    }
}

/// Completes `generateName`.
pub fn generate_name(object: &mut Value, clock: &Clock) {
    let metadata = object.entry("metadata");
    let prefix: String = metadata.str_at("generateName").chars().take(GENERATE_NAME_MAX).collect();
    metadata.set("name", format!("{prefix}{}", clock.name_suffix(SUFFIX_LENGTH)));
}

/// Carries over the fields that only the server sets, as upstream does: a change of some of them is ignored, such as that
/// of the time of creation in a manifest from another cluster. Validation refuses a change of the others.
pub fn carry_over(object: &mut Value, old: &Value) {
    let old = old.get("metadata");
    let metadata = object.entry("metadata");
    for field in ["generation", "selfLink"] {
        match old.get(field) {
            Value::Null => {
                metadata.remove(field);
            }
            value => metadata.set(field, value.clone()),
        }
    }
    for field in ["creationTimestamp", "deletionTimestamp"] {
        if !old.get(field).is_null() {
            metadata.set(field, old.get(field).clone());
        }
    }
    // A change without a version applies to the current version.
    for field in ["uid", "resourceVersion", "deletionGracePeriodSeconds"] {
        let is_missing = metadata.get(field).is_null() || metadata.get(field).as_str() == Some("");
        if is_missing && !old.get(field).is_null() {
            metadata.set(field, old.get(field).clone());
        }
    }
}

/// Raises the generation for a change of anything except metadata and status.
pub fn count_generation(object: &mut Value, old: &Value) {
    let content = |object: &Value| {
        let mut copy = object.clone();
        copy.remove("metadata");
        copy.remove("status");
        copy
    };
    if content(object) != content(old) {
        let generation = old.at("metadata.generation").as_i64().unwrap_or(0);
        object.entry("metadata").set("generation", generation + 1);
    }
}

/// Validates the metadata of a new object.
pub fn validate(endpoint: &Endpoint, object: &Value) -> Errors {
    let rule = endpoint.strategy.name_rule();
    let path = field::Path::root("metadata");
    let metadata = object.get("metadata");
    let mut errors = kinds::validation::validate_metadata(metadata, endpoint.namespaced(), rule, &path);
    errors.append(known_finalizers(endpoint, object));
    errors
}

/// Kinds of the core group accept custom finalizers only with a domain.
fn known_finalizers(endpoint: &Endpoint, object: &Value) -> Errors {
    if endpoint.def.group.is_empty() {
        kinds::validation::validate_core_finalizers(object.get("metadata"), &field::Path::root("metadata"))
    } else {
        Errors::new()
    }
}

/// Validates a change of metadata.
pub fn validate_update(endpoint: &Endpoint, object: &Value, old: &Value) -> Errors {
    let path = field::Path::root("metadata");
    let mut errors =
        kinds::validation::validate_metadata_update(object.get("metadata"), old.get("metadata"), &path);
    errors.append(known_finalizers(endpoint, object));
    errors
}
