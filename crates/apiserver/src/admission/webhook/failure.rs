//! Why a request does not pass a webhook, in upstream's words (`plugin/webhook/errors`, `util/webhook/error.go`).

use object::{Reason, Status, Value, quote, value};

use super::client::CallError;

/// The codes with which a refusal may be answered: all those of HTTP that no client takes for a success.
const REFUSALS: std::ops::RangeInclusive<u16> = 400..=999;
/// The code of a refusal that has none of these.
const REFUSAL: u16 = 400;

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

impl From<CallError> for Failure {
    fn from(error: CallError) -> Failure {
        let CallError { why, code, is_quoted, is_call } = error;
        match is_call {
            true => Failure { code, is_quoted, ..Failure::of_call(why) },
            false => Failure { why, code, is_quoted },
        }
    }
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

/// A webhook's refusal as the client sees it: its own status, which is null or any object, with a message that names it.
pub(super) fn refusal(webhook: &str, result: &Value) -> Status {
    let denied = format!("admission webhook {} denied the request", quote(webhook));
    let message = match (result.str_at("message"), result.str_at("reason")) {
        ("", "") => format!("{denied} without explanation"),
        ("", text) | (text, _) => format!("{denied}: {text}"),
    };
    // Inside of a review, a status need not say what it is.
    let mut result = result.as_map().map_or_else(|| value!({}), |_| result.clone());
    result.set("kind", "Status");
    result.set("apiVersion", "v1");
    let own = Status::from_value(&result).unwrap_or_else(|| Status::failure(Reason::Unknown, ""));
    let code = if REFUSALS.contains(&own.code) { own.code } else { REFUSAL };
    Status { code, message, success: false, ..own }
}
