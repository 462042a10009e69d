//! A Status for answers without one.

use super::{Cause, Reason, Status, qualified};
use crate::text::quote;

/// The known facts about an answer whose body is not a Status.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// The HTTP status code.
    pub code: u16,
    /// The HTTP method.
    pub method: &'a str,
    /// The API group of the resource asked for.
    pub group: &'a str,
    /// The resource asked for; empty if it was none.
    pub resource: &'a str,
    /// The name of the object asked for, if any.
    pub name: &'a str,
    /// The body.
    pub body: &'a str,
    /// The `Retry-After` header, or 0.
    pub retry_after_seconds: i32,
    /// Whether the body was expected to be a Status but is not.
    pub unexpected: bool,
}

impl Status {
    /// Makes a Status of an answer that carries none, by its code.
    pub fn generic_server_response(response: &Response<'_>) -> Status {
        let (reason, mut message) = reason_and_message(response);
        let Response { code, group, resource, name, .. } = *response;
        if !(group.is_empty() && resource.is_empty()) {
            let verb = response.method.to_lowercase();
            let target = qualified(group, resource);
            message = match name {
                "" => format!("{message} ({verb} {target})"),
                name => format!("{message} ({verb} {target} {name})"),
            };
        }
        let mut details = Status::about(group, resource, name);
        details.retry_after_seconds = response.retry_after_seconds;
        if response.unexpected {
            let reason = "UnexpectedServerResponse".into();
            details.causes.push(Cause { reason, message: response.body.into(), field: String::new() });
        }
        Status { code, ..Status::with(reason, message, details) }
    }
}

fn reason_and_message(response: &Response<'_>) -> (Reason, String) {
    let body = response.body;
    let (reason, message) = match response.code {
        409 if response.method == "POST" => (Reason::AlreadyExists, "the server reported a conflict"),
        409 => (Reason::Conflict, "the server reported a conflict"),
        404 => (Reason::NotFound, "the server could not find the requested resource"),
        400 => (Reason::BadRequest, "the server rejected our request for an unknown reason"),
        401 => (Reason::Unauthorized, "the server has asked for the client to provide credentials"),
        403 => (Reason::Forbidden, body),
        406 if body.is_empty() || body == "unknown" => (
            Reason::NotAcceptable,
            "the server was unable to respond with a content type that the client supports",
        ),
        406 => (Reason::NotAcceptable, body),
        415 => (Reason::UnsupportedMediaType, body),
        405 => (Reason::MethodNotAllowed, "the server does not allow this method on the requested resource"),
        422 => (Reason::Invalid, "the server rejected our request due to an error in our request"),
        503 => (Reason::ServiceUnavailable, "the server is currently unable to handle the request"),
        504 => (
            Reason::Timeout,
            "the server was unable to return a response in the time allotted, but may still be processing the \
             request",
        ),
        429 => (
            Reason::TooManyRequests,
            "the server has received too many requests and has asked us to try again later",
        ),
        500.. => {
            let body = quote(body);
            let message =
                format!("an error on the server ({body}) has prevented the request from succeeding");
            return (Reason::InternalError, message);
        }
        code => {
            let message = format!(
                "the server responded with the status code {code} but did not return more information"
            );
            return (Reason::Unknown, message);
        }
    };
    (reason, message.into())
}
