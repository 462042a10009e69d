//! Options of requests.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{ClientError, ContentType, Request, Target, Verb};

/// Which objects of a collection, and how many at once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ListOptions {
    /// Selects by labels; empty selects all.
    pub label_selector: String,
    /// Selects by fields that the kind registers; empty selects all.
    pub field_selector: String,
    /// At most so many objects a page; 0 is all.
    pub limit: u32,
    /// The token of the page before.
    pub continue_token: String,
    /// Empty for the newest state, `0` for whatever the server has at hand, else at least this version.
    pub resource_version: String,
}

impl ListOptions {
    /// Selects by labels.
    pub fn labels(selector: impl Into<String>) -> ListOptions {
        ListOptions { label_selector: selector.into(), ..ListOptions::default() }
    }

    /// Selects by fields.
    pub fn fields(selector: impl Into<String>) -> ListOptions {
        ListOptions { field_selector: selector.into(), ..ListOptions::default() }
    }

    pub(crate) fn apply(&self, request: Request) -> Request {
        let limit = if self.limit == 0 { String::new() } else { self.limit.to_string() };
        request
            .query("labelSelector", &*self.label_selector)
            .query("fieldSelector", &*self.field_selector)
            .query("limit", limit)
            .query("continue", &*self.continue_token)
            .query("resourceVersion", &*self.resource_version)
    }
}

/// Where a watch starts and what it selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// Selects by labels; empty selects all.
    pub label_selector: String,
    /// Selects by fields that the kind registers; empty selects all.
    pub field_selector: String,
    /// Events after this version. Empty starts with the present objects as `Added`.
    pub resource_version: String,
    /// The server ends the watch after so many seconds; 0 leaves it to the server.
    pub timeout_seconds: u64,
}

impl WatchOptions {
    pub(crate) fn apply(&self, request: Request) -> Request {
        let timeout =
            if self.timeout_seconds == 0 { String::new() } else { self.timeout_seconds.to_string() };
        request
            .query("labelSelector", &*self.label_selector)
            .query("fieldSelector", &*self.field_selector)
            .query("resourceVersion", &*self.resource_version)
            .query("timeoutSeconds", timeout)
            .query("allowWatchBookmarks", "true")
    }
}

/// What becomes of the objects that a deleted object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They stay, without an owner.
    Orphan,
    /// The owner goes at once, they go afterwards.
    Background,
    /// They go first; the owner waits for those that block it.
    Foreground,
}

impl Propagation {
    fn as_str(self) -> &'static str {
        match self {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        }
    }
}

/// How an object is to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    /// Seconds until it is taken away by force; `None` leaves it to the object.
    pub grace_period_seconds: Option<i64>,
    /// What becomes of its dependents; `None` is the kind's default.
    pub propagation: Option<Propagation>,
    /// Only if the object has this UID.
    pub uid: Option<String>,
    /// Only if the object is still at this version.
    pub resource_version: Option<String>,
}

impl DeleteOptions {
    /// Deletes the object only if it is still the one with this UID.
    pub fn of_uid(uid: impl Into<String>) -> DeleteOptions {
        DeleteOptions { uid: Some(uid.into()), ..DeleteOptions::default() }
    }

    /// The body of the request: `meta/v1 DeleteOptions`.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut body = Map::new();
        body.insert("kind".into(), "DeleteOptions".into());
        body.insert("apiVersion".into(), "v1".into());
        if let Some(seconds) = self.grace_period_seconds {
            body.insert("gracePeriodSeconds".into(), seconds.into());
        }
        if let Some(propagation) = self.propagation {
            body.insert("propagationPolicy".into(), propagation.as_str().into());
        }
        let mut preconditions = Map::new();
        for (name, value) in [("uid", &self.uid), ("resourceVersion", &self.resource_version)] {
            if let Some(value) = value {
                preconditions.insert(name.into(), value.as_str().into());
            }
        }
        if !preconditions.is_empty() {
            body.insert("preconditions".into(), Value::Object(preconditions));
        }
        json!(body).to_string().into_bytes()
    }
}

/// A change of parts of an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Patch {
    /// Operations (RFC 6902).
    Json(Value),
    /// A partial object: maps merge, lists are replaced, null removes (RFC 7386).
    Merge(Value),
    /// A partial object whose lists merge by the keys of the API definition; built-in kinds only.
    Strategic(Value),
    /// Server-side apply: the fields that the manager wants to own.
    Apply {
        /// A partial object with `apiVersion` and `kind`.
        object: Value,
        /// Who owns the fields.
        field_manager: String,
        /// Takes fields away from other managers.
        force: bool,
    },
}

impl Patch {
    /// Server-side apply of a typed object, without force.
    pub fn apply(object: &impl Serialize, field_manager: &str) -> Result<Patch, ClientError> {
        let object = serde_json::to_value(object)
            .map_err(|error| ClientError::decode("the object to apply", error))?;
        Ok(Patch::Apply { object, field_manager: field_manager.to_owned(), force: false })
    }

    /// The request that makes this change.
    pub fn request(&self, target: Target) -> Request {
        let request = Request::new(Verb::Patch, target);
        let (content_type, value) = match self {
            Patch::Json(value) => (ContentType::JsonPatch, value),
            Patch::Merge(value) => (ContentType::MergePatch, value),
            Patch::Strategic(value) => (ContentType::StrategicMergePatch, value),
            Patch::Apply { object, .. } => (ContentType::ApplyPatch, object),
        };
        let request = request.body(content_type, value.to_string().into_bytes());
        match self {
            Patch::Apply { field_manager, force, .. } => {
                request.query("fieldManager", field_manager).query("force", force.to_string())
            }
            _ => request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delete_options_say_only_what_is_set() {
        let body: Value = serde_json::from_slice(&DeleteOptions::default().body()).unwrap();
        assert_eq!(body, json!({"kind": "DeleteOptions", "apiVersion": "v1"}));
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            propagation: Some(Propagation::Foreground),
            ..DeleteOptions::of_uid("u")
        };
        let body: Value = serde_json::from_slice(&options.body()).unwrap();
        assert_eq!(
            body,
            json!({
                "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
                "propagationPolicy": "Foreground", "preconditions": {"uid": "u"},
            })
        );
    }
}
