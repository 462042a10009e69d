//! `metav1.Status`: the one error form of the API.
//!
//! Codes, reasons and messages are those of `k8s.io/apimachinery/pkg/api/errors`; clients act on reason and code,
//! people and tests read the messages.
//!
//! ```
//! use object::{Reason, Status};
//! let status = Status::not_found("apps", "deployments", "web");
//! assert_eq!(status.to_string(), r#"deployments.apps "web" not found"#);
//! assert_eq!((status.code(), &status.reason), (404, &Reason::NotFound));
//! assert_eq!(Status::from_value(&status.to_value()).as_ref(), Some(&status));
//! ```

use std::fmt;

use crate::field::Errors;
use crate::text::quote;
use crate::{Map, Value};

mod reason;
mod response;
#[cfg(test)]
mod tests;

pub use reason::Reason;
pub use response::Response;

/// The message of [`Status::conflict`] where an update carries an old resource version.
pub const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// The outcome of a request: mostly an error, sometimes (deletes) success.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The HTTP status code.
    pub code: u16,
    /// Why; [`Reason::Unknown`] on success.
    pub reason: Reason,
    /// A message for people.
    pub message: String,
    /// For programs.
    pub details: Option<Box<Details>>,
    /// Whether this says `Success`.
    pub success: bool,
    /// The token with which an expired list can be continued inconsistently (`metadata.continue`).
    pub continue_token: Option<Box<str>>,
}

/// The object that a [`Status`] is about, and the errors. Unset strings are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// The object's name.
    pub name: String,
    /// Its API group.
    pub group: String,
    /// Its resource (`deployments`), or its kind where a validation failed.
    pub kind: String,
    /// Its UID.
    pub uid: String,
    /// The errors.
    pub causes: Vec<Cause>,
    /// After how many seconds the client should try again; 0 says nothing.
    pub retry_after_seconds: i32,
}

/// One thing that was wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// For programs, such as `FieldValueInvalid` or `FieldManagerConflict`.
    pub reason: String,
    /// A message for people.
    pub message: String,
    /// The path of the field, if it is one's fault.
    pub field: String,
}

impl Status {
    /// A failure with the reason's own code and without details.
    pub fn failure(reason: Reason, message: impl Into<String>) -> Status {
        let code = reason.code();
        Status { code, reason, message: message.into(), details: None, success: false, continue_token: None }
    }

    /// Success, as a delete answers it; `details` name the object that is gone.
    pub fn success(details: Option<Details>) -> Status {
        let details = details.map(Box::new);
        Status { code: 200, success: true, details, ..Status::failure(Reason::Unknown, "") }
    }

    fn about(group: &str, kind: &str, name: &str) -> Details {
        Details { name: name.into(), group: group.into(), kind: kind.into(), ..Details::default() }
    }

    fn with(reason: Reason, message: String, details: Details) -> Status {
        Status { details: Some(Box::new(details)), ..Status::failure(reason, message) }
    }

    /// 404: there is no such object.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Status {
        let message = format!("{} {} not found", qualified(group, resource), quote(name));
        Status::with(Reason::NotFound, message, Status::about(group, resource, name))
    }

    /// 409: there is such an object.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Status {
        let message = format!("{} {} already exists", qualified(group, resource), quote(name));
        Status::with(Reason::AlreadyExists, message, Status::about(group, resource, name))
    }

    /// 409: every name that was generated from `generateName` is taken.
    pub fn generate_name_conflict(
        group: &str,
        resource: &str,
        name: &str,
        retry_after_seconds: i32,
    ) -> Status {
        let message = format!(
            "{} {} already exists, the server was not able to generate a unique name for the object",
            qualified(group, resource),
            quote(name)
        );
        let details = Details { retry_after_seconds, ..Status::about(group, resource, name) };
        Status::with(Reason::AlreadyExists, message, details)
    }

    /// 409: the object is not in a state that allows the operation; see [`MODIFIED`].
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Status {
        let message =
            format!("Operation cannot be fulfilled on {} {}: {why}", qualified(group, resource), quote(name));
        Status::with(Reason::Conflict, message, Status::about(group, resource, name))
    }

    /// 409: other field managers own fields that an apply would change.
    pub fn apply_conflict(causes: Vec<Cause>, message: impl Into<String>) -> Status {
        Status::with(Reason::Conflict, message.into(), Details { causes, ..Details::default() })
    }

    /// 422: the object is not valid.
    pub fn invalid(group: &str, kind: &str, name: &str, errors: &Errors) -> Status {
        let mut message = format!("{} {} is invalid", qualified(group, kind), quote(name));
        if !errors.is_empty() {
            message.push_str(&format!(": {errors}"));
        }
        let cause = |error: &crate::field::Error| Cause {
            reason: error.kind.reason().into(),
            message: error.body(),
            field: error.path.clone(),
        };
        let omitted = crate::field::omitted_text(errors.omitted()).map(|message| Cause {
            reason: Reason::Invalid.as_str().into(),
            message,
            ..Cause::default()
        });
        let causes = errors.iter().map(cause).chain(omitted).collect();
        let details = Details { causes, ..Status::about(group, kind, name) };
        Status::with(Reason::Invalid, message, details)
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Status {
        Status::failure(Reason::BadRequest, message)
    }

    /// 401: authentication failed. An empty message becomes `not authorized`.
    pub fn unauthorized(message: impl Into<String>) -> Status {
        let message = Some(message.into()).filter(|m| !m.is_empty());
        Status::failure(Reason::Unauthorized, message.unwrap_or_else(|| "not authorized".into()))
    }

    /// 403: not allowed for this user, or for anyone. Group and resource are empty for non-resource paths, the name is
    /// empty for collections.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Status {
        let message = match (group.is_empty() && resource.is_empty(), name) {
            (true, _) => format!("forbidden: {why}"),
            (false, "") => format!("{} is forbidden: {why}", qualified(group, resource)),
            (false, name) => format!("{} {} is forbidden: {why}", qualified(group, resource), quote(name)),
        };
        Status::with(Reason::Forbidden, message, Status::about(group, resource, name))
    }

    /// 405: the resource has no such action (`create`, `delete`, `patch`, ...).
    pub fn method_not_supported(group: &str, resource: &str, action: &str) -> Status {
        let message =
            format!("{action} is not supported on resources of kind {}", quote(&qualified(group, resource)));
        Status::with(Reason::MethodNotAllowed, message, Status::about(group, resource, ""))
    }

    /// 405: the path has nothing for this method of HTTP, which is no action of the API (`OPTIONS`).
    pub fn method_not_allowed() -> Status {
        Status::failure(
            Reason::MethodNotAllowed,
            "the server does not allow this method on the requested resource",
        )
    }

    /// 406: none of the accepted media types can be served; `served` are those that can.
    pub fn not_acceptable(served: &[&str]) -> Status {
        let served = served.join(", ");
        let message = format!("only the following media types are accepted: {served}");
        Status::failure(Reason::NotAcceptable, message)
    }

    /// 406 for a view (`as=`) that the object cannot be shown in: `what` says what it is.
    pub fn not_acceptable_view(view: &str, what: &str) -> Status {
        Status::failure(
            Reason::NotAcceptable,
            format!("you requested {view}, but the requested object {what}"),
        )
    }

    /// 415: the body is of a media type that is not understood; `understood` are those that are.
    pub fn unsupported_media_type(understood: &[&str]) -> Status {
        let understood = understood.join(", ");
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {understood}"
        );
        Status::failure(Reason::UnsupportedMediaType, message)
    }

    /// 413: the body is too large.
    pub fn request_entity_too_large(what: &str) -> Status {
        Status::failure(Reason::RequestEntityTooLarge, format!("Request entity too large: {what}"))
    }

    /// 410 `Gone`: the resource is gone permanently.
    pub fn gone(message: impl Into<String>) -> Status {
        Status::failure(Reason::Gone, message)
    }

    /// 410 `Expired`: the revision asked for is compacted.
    pub fn resource_expired(message: impl Into<String>) -> Status {
        Status::failure(Reason::Expired, message)
    }

    /// 504: time ran out; the operation may still finish.
    pub fn timeout(what: &str, retry_after_seconds: i32) -> Status {
        let details = Details { retry_after_seconds, ..Details::default() };
        Status::with(Reason::Timeout, format!("Timeout: {what}"), details)
    }

    /// 504: the requested resource version is newer than this server's state, which did not catch up in time.
    pub fn resource_version_too_large(asked: u64, current: u64) -> Status {
        let message = format!("Too large resource version: {asked}, current: {current}");
        let mut status = Status::timeout(&message, 1);
        let cause = Cause {
            reason: "ResourceVersionTooLarge".into(),
            message: "Too large resource version".into(),
            field: String::new(),
        };
        status.details.get_or_insert_default().causes.push(cause);
        status
    }

    /// 500 `ServerTimeout`: a passing fault; trying again is safe.
    pub fn server_timeout(group: &str, resource: &str, operation: &str, retry_after_seconds: i32) -> Status {
        let message = format!(
            "The {operation} operation against {} could not be completed at this time, please try again.",
            qualified(group, resource)
        );
        let details = Details { retry_after_seconds, ..Status::about(group, resource, operation) };
        Status::with(Reason::ServerTimeout, message, details)
    }

    /// 429: try again later.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: i32) -> Status {
        let details = Details { retry_after_seconds, ..Details::default() };
        Status::with(Reason::TooManyRequests, message.into(), details)
    }

    /// 507: there is no space to store anything until some is freed. Upstream has no reason for it.
    pub fn insufficient_storage(message: impl Into<String>, retry_after_seconds: i32) -> Status {
        let details = Details { retry_after_seconds, ..Details::default() };
        Status {
            code: 507,
            ..Status::with(Reason::Other("InsufficientStorage".into()), message.into(), details)
        }
    }

    /// 500: the server is broken.
    pub fn internal_error(why: impl fmt::Display) -> Status {
        let why = why.to_string();
        let message = format!("Internal error occurred: {why}");
        let causes = vec![Cause { message: why, ..Cause::default() }];
        Status::with(Reason::InternalError, message, Details { causes, ..Details::default() })
    }

    /// 503: not now.
    pub fn service_unavailable(message: impl Into<String>) -> Status {
        Status::failure(Reason::ServiceUnavailable, message)
    }

    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// After how many seconds the client should try again, if the status says so (`Retry-After`).
    pub fn retry_after_seconds(&self) -> Option<i32> {
        self.details.as_ref().map(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0)
    }

    /// Whether some cause has this reason.
    pub fn has_cause(&self, reason: &str) -> bool {
        self.details.iter().flat_map(|details| &details.causes).any(|cause| cause.reason == reason)
    }

    /// The object as it goes over the wire (`kind: Status`, `apiVersion: v1`).
    pub fn to_value(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(token) = &self.continue_token {
            metadata.insert("continue", Value::String(token.clone()));
        }
        let mut out = Map::with_capacity(8);
        out.insert("kind", "Status".into());
        out.insert("apiVersion", "v1".into());
        out.insert("metadata", metadata.into());
        out.insert("status", if self.success { "Success" } else { "Failure" }.into());
        insert_text(&mut out, "message", &self.message);
        insert_text(&mut out, "reason", self.reason.as_str());
        if let Some(details) = &self.details {
            out.insert("details", details.to_value());
        }
        out.insert("code", Value::Int(self.code.into()));
        Value::Map(out)
    }

    /// Reads a Status; `None` if the object is of another kind.
    pub fn from_value(value: &Value) -> Option<Status> {
        let version = value.str_at("apiVersion");
        if value.str_at("kind") != "Status" || !matches!(version, "v1" | "meta.k8s.io/v1") {
            return None;
        }
        let code = value.get("code").as_i64().and_then(|code| u16::try_from(code).ok());
        Some(Status {
            code: code.unwrap_or_default(),
            reason: Reason::from(value.str_at("reason")),
            message: value.str_at("message").into(),
            details: value
                .get("details")
                .as_map()
                .map(|_| Box::new(Details::from_value(value.get("details")))),
            success: value.str_at("status") == "Success",
            continue_token: value.at("metadata.continue").as_str().map(Into::into),
        })
    }
}

impl Details {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        insert_text(&mut out, "name", &self.name);
        insert_text(&mut out, "group", &self.group);
        insert_text(&mut out, "kind", &self.kind);
        insert_text(&mut out, "uid", &self.uid);
        if !self.causes.is_empty() {
            out.insert("causes", Value::List(self.causes.iter().map(Cause::to_value).collect()));
        }
        if self.retry_after_seconds != 0 {
            out.insert("retryAfterSeconds", self.retry_after_seconds.into());
        }
        Value::Map(out)
    }

    fn from_value(value: &Value) -> Details {
        let seconds = value.get("retryAfterSeconds").as_i64().and_then(|n| i32::try_from(n).ok());
        Details {
            name: value.str_at("name").into(),
            group: value.str_at("group").into(),
            kind: value.str_at("kind").into(),
            uid: value.str_at("uid").into(),
            causes: value.get("causes").items().map(Cause::from_value).collect(),
            retry_after_seconds: seconds.unwrap_or_default(),
        }
    }
}

impl Cause {
    fn to_value(&self) -> Value {
        let mut out = Map::new();
        insert_text(&mut out, "reason", &self.reason);
        insert_text(&mut out, "message", &self.message);
        insert_text(&mut out, "field", &self.field);
        Value::Map(out)
    }

    fn from_value(value: &Value) -> Cause {
        let text = |key| value.str_at(key).to_owned();
        Cause { reason: text("reason"), message: text("message"), field: text("field") }
    }
}

fn insert_text(map: &mut Map, key: &'static str, text: &str) {
    if !text.is_empty() {
        map.insert(key, text.into());
    }
}

/// `deployments.apps`, or `pods` for the core group.
fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.into() } else { format!("{resource}.{group}") }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}
