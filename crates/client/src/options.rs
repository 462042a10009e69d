//! Options of requests.

use serde::Serialize;
use serde_json::Value;

use crate::{ClientError, ContentType, Request, Target, Verb};

/// Selects objects of a collection, and the size of pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ListOptions {
    /// Selects by labels; empty selects all.
    pub label_selector: String,
    /// Selects by fields that the kind registers; empty selects all.
    pub field_selector: String,
    /// The maximum number of objects per page; 0 means all.
    pub limit: u32,
    /// The token of the previous page.
    pub continue_token: String,
    /// Empty for the newest state, `0` for any state that the server has, otherwise at least this version.
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
        // With a limit and no rule of matching, a version would mean exactly this one.
        let matching = if self.resource_version.is_empty() { "" } else { "NotOlderThan" };
        request
            .query("labelSelector", &*self.label_selector)
            .query("fieldSelector", &*self.field_selector)
            .query("limit", limit)
            .query("continue", &*self.continue_token)
            .query("resourceVersion", &*self.resource_version)
            .query("resourceVersionMatch", matching)
    }
}

/// Where a watch starts and what it selects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// Selects by labels; empty selects all.
    pub label_selector: String,
    /// Selects by fields that the kind registers; empty selects all.
    pub field_selector: String,
    /// Events after this version. Empty starts with the existing objects as `Added`.
    pub resource_version: String,
    /// The number of seconds after which the server ends the watch; 0 leaves it to the server.
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

/// What happens to the objects that a deleted object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// They stay, without an owner.
    Orphan,
    /// The owner is deleted at once, the dependents afterwards.
    Background,
    /// The dependents are deleted first; the owner waits for those that block it.
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
    /// Seconds until it is deleted by force; `None` leaves it to the object.
    pub grace_period_seconds: Option<i64>,
    /// What happens to its dependents; `None` is the kind's default.
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
    pub(crate) fn body(&self) -> object::Value {
        let mut body = object::value!({"kind": "DeleteOptions", "apiVersion": "v1"});
        if let Some(seconds) = self.grace_period_seconds {
            body.set("gracePeriodSeconds", seconds);
        }
        if let Some(propagation) = self.propagation {
            body.set("propagationPolicy", propagation.as_str());
        }
        for (name, value) in [("uid", &self.uid), ("resourceVersion", &self.resource_version)] {
            if let Some(value) = value {
                body.set_path(&["preconditions", name], value.as_str().into());
            }
        }
        body
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
        /// The manager that owns the fields.
        field_manager: String,
        /// Takes over fields of other managers.
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
    ///
    /// # Errors
    /// [`ClientError::Decode`] if the patch is not JSON.
    pub fn request(&self, target: Target) -> Result<Request, ClientError> {
        let request = Request::new(Verb::Patch, target);
        let (content_type, value) = match self {
            Patch::Json(value) => (ContentType::JsonPatch, value),
            Patch::Merge(value) => (ContentType::MergePatch, value),
            Patch::Strategic(value) => (ContentType::StrategicMergePatch, value),
            Patch::Apply { object, .. } => (ContentType::ApplyPatch, object),
        };
        let body = object::to_value(value).map_err(|error| ClientError::decode("the patch", error))?;
        let request = request.body(content_type, body);
        Ok(match self {
            Patch::Apply { field_manager, force, .. } => {
                request.query("fieldManager", field_manager).query("force", force.to_string())
            }
            _ => request,
        })
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;

    #[test]
    fn delete_options_say_only_what_is_set() {
        assert_eq!(DeleteOptions::default().body(), value!({"kind": "DeleteOptions", "apiVersion": "v1"}));
        let options = DeleteOptions {
            grace_period_seconds: Some(0),
            propagation: Some(Propagation::Foreground),
            ..DeleteOptions::of_uid("u")
        };
        assert_eq!(
            options.body(),
            value!({
                "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
                "propagationPolicy": "Foreground", "preconditions": {"uid": "u"},
            })
        );
    }
}
