//! Why a request does not pass a webhook, in upstream's words (`plugin/webhook/errors`, `util/webhook/error.go`).

use object::{Cause, Details, Reason, Status, Value, quote};

use crate::admission::Attributes;

/// The codes with which a refusal may be answered. Others, such as 200, would look like a success.
const REFUSALS: std::ops::Range<i64> = 400..600;

/// A webhook that gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Why.
    pub(super) why: String,
    /// The status code that belongs to it, for metrics.
    pub(super) code: u16,
    /// Whether the text contains parts of an answer, which may contain anything: it is not logged.
    pub(super) is_quoted: bool,
}

impl Failure {
    /// It was not called.
    pub(super) fn before_call(why: impl Into<String>, code: u16) -> Failure {
        Failure { why: why.into(), code, is_quoted: false }
    }

    /// The call failed.
    pub(super) fn of_call(why: impl std::fmt::Display) -> Failure {
        Failure { why: format!("failed to call webhook: {why}"), code: 503, is_quoted: false }
    }

    /// It answered something else than it was asked.
    pub(super) fn of_answer(why: impl std::fmt::Display) -> Failure {
        Failure { why: format!("received invalid webhook response: {why}"), code: 503, is_quoted: true }
    }

    /// The answer to the client where the webhook must not be missed.
    pub(super) fn status(&self, webhook: &str) -> Status {
        Status::internal_error(format!("failed calling webhook {}: {}", quote(webhook), self.why))
    }
}

/// Why a request does not pass a webhook.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The webhook could not be asked.
    Failed(Failure),
    /// It has refused.
    Refused(Status),
    /// Its answer cannot be carried out, whatever its failure policy says.
    Unfit(Status),
}

impl Trouble {
    /// For requests that must not have effects, where the webhook has some.
    pub(super) fn dry_run_unsupported(webhook: &str) -> Trouble {
        let why = format!("admission webhook {} does not support dry run", quote(webhook));
        Trouble::Unfit(Status::bad_request(why))
    }
}

/// A webhook's refusal as the client sees it; `result` is the webhook's status, or null.
pub(super) fn refusal(what: &Attributes<'_>, webhook: &str, result: &Value) -> Status {
    let code = match result.get("code").as_i64() {
        Some(code) if REFUSALS.contains(&code) => u16::try_from(code).unwrap_or(403),
        _ => 403,
    };
    let is_fault = code == 500;
    let denied = format!("admission webhook {} denied the request", quote(webhook));
    let why = match (result.str_at("message"), result.str_at("reason")) {
        ("", "") => format!("{denied} without explanation"),
        ("", text) | (text, _) => format!("{denied}: {text}"),
    };
    let name = if what.name.is_empty() { "Unknown" } else { what.name };
    let details = details(result).unwrap_or_else(|| match is_fault {
        true => {
            Details { causes: vec![Cause { message: why.clone(), ..Cause::default() }], ..Details::default() }
        }
        false => Details {
            name: name.to_owned(),
            group: what.resource.group.to_owned(),
            kind: what.resource.plural.to_owned(),
            ..Details::default()
        },
    });
    let prefix = match (is_fault, what.resource.group) {
        (true, _) => "Internal error occurred".to_owned(),
        (false, "") => format!("{} {} is forbidden", what.resource.plural, quote(name)),
        (false, group) => format!("{}.{group} {} is forbidden", what.resource.plural, quote(name)),
    };
    let reason = match result.str_at("reason") {
        "" if is_fault => Reason::InternalError,
        "" => Reason::Forbidden,
        text => Reason::from(text),
    };
    Status { code, details: Some(Box::new(details)), ..Status::failure(reason, format!("{prefix}: {why}")) }
}

/// The details of a status that need not say what it is.
fn details(result: &Value) -> Option<Details> {
    let mut status = object::value!({"kind": "Status", "apiVersion": "v1"});
    status.set("details", result.get("details").clone());
    Status::from_value(&status)?.details.filter(|_| !result.get("details").is_null()).map(|details| *details)
}
