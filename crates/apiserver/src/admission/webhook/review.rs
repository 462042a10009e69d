//! AdmissionReviews: the question to a webhook, and its answer (`plugin/webhook/request`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use object::{Value, json, quote, value};

use super::failure::Failure;
use super::version::Version;
use crate::admission::Shape;
use crate::admission::expression::{kind, resource, user_info};
use crate::admission::matching::Asked;

/// How many warnings of an answer are shown, and how long each may be, in characters.
const WARNINGS_MAX: usize = 64;
const WARNING_CHARACTERS_MAX: usize = 4096;

/// What a webhook has decided.
#[derive(Debug, PartialEq)]
pub(super) struct Verdict {
    pub(super) is_allowed: bool,
    /// The status of a refusal; null if there is none.
    pub(super) status: Value,
    /// The operations of the patch; null if there is none.
    pub(super) patch: Value,
    pub(super) warnings: Vec<String>,
}

/// The text of the question with this UID.
pub(super) fn question(
    version: Version,
    uid: &str,
    asked: &Asked<'_>,
    shape: &Shape,
    object: &Value,
    old: &Value,
) -> Bytes {
    let what = asked.what;
    let mut request = value!({
        "uid": uid,
        "kind": kind(shape),
        "resource": resource(shape),
        "requestKind": kind(&asked.own),
        "requestResource": resource(&asked.own),
        "operation": what.operation.name(),
        "userInfo": user_info(what.user),
        "object": object.clone(),
        "oldObject": old.clone(),
        "dryRun": what.dry_run,
        "options": what.options.to_value()
    });
    for (member, text) in [
        ("subResource", what.subresource),
        ("requestSubResource", what.subresource),
        ("name", what.name),
        ("namespace", asked.namespace),
    ] {
        if !text.is_empty() {
            request.set(member, text);
        }
    }
    json::to_bytes(&value!({
        "kind": "AdmissionReview", "apiVersion": version.api_version(), "request": request
    }))
}

/// Reads the answer to the question with this UID.
///
/// # Errors
/// In upstream's words, if it is not an answer to that question, or has what webhooks of its kind may not have.
pub(super) fn answer(
    version: Version,
    uid: &str,
    is_mutating: bool,
    text: &[u8],
) -> Result<Verdict, Failure> {
    let review = json::parse(text).map_err(|error| Failure {
        is_quoted: true,
        ..Failure::of_call(format!("cannot read the answer: {error}"))
    })?;
    let response = review.get("response");
    if response.as_map().is_none() {
        return Err(Failure::of_answer("webhook response was absent"));
    }
    if version == Version::V1 && response.str_at("uid") != uid {
        let given = quote(response.str_at("uid"));
        return Err(Failure::of_answer(format!("expected response.uid={}, got {given}", quote(uid))));
    }
    let (api_version, kind) = (review.str_at("apiVersion"), review.str_at("kind"));
    if api_version != version.api_version() || kind != "AdmissionReview" {
        let expected = version.api_version();
        return Err(Failure::of_answer(format!(
            "expected webhook response of {expected}, Kind=AdmissionReview, got {api_version}, Kind={kind}"
        )));
    }
    // `auditAnnotations` would go to the audit log; there is none yet.
    Ok(Verdict {
        is_allowed: response.get("allowed").as_bool() == Some(true),
        status: response.get("status").clone(),
        patch: patch(version, is_mutating, response)?,
        warnings: warnings(response),
    })
}

/// The operations of the patch, if the answer has one and may have one.
fn patch(version: Version, is_mutating: bool, response: &Value) -> Result<Value, Failure> {
    let (encoded, ty) = (response.str_at("patch"), response.get("patchType"));
    let refuse = |why: String| Err(Failure::of_answer(why));
    if !is_mutating {
        return match (encoded, ty) {
            ("", Value::Null) => Ok(Value::Null),
            ("", _) => refuse("validating webhook may not return response.patchType".to_owned()),
            _ => refuse("validating webhook may not return response.patch".to_owned()),
        };
    }
    // Patches had no type in the older version.
    match (encoded, ty, version) {
        ("", Value::Null, _) | ("", _, Version::V1Beta1) => return Ok(Value::Null),
        ("", ..) => return refuse("webhook returned response.patchType but not response.patch".to_owned()),
        (_, Value::Null, Version::V1) => {
            return refuse("webhook returned response.patch but not response.patchType".to_owned());
        }
        _ => {}
    }
    match ty.as_str() {
        None | Some("JSONPatch") => {}
        Some("") => return refuse("webhook returned invalid response.patchType of \"\"".to_owned()),
        Some(other) => {
            let why = format!("unsupported patch type {}", quote(other));
            return Err(Failure { is_quoted: true, ..Failure::before_call(why, 503) });
        }
    }
    let undecodable = |why: String| {
        let why = format!("received undecodable patch in webhook response: {why}");
        Failure { is_quoted: true, ..Failure::before_call(why, 503) }
    };
    let text = STANDARD.decode(encoded).map_err(|error| undecodable(error.to_string()))?;
    let operations = json::parse(&text).map_err(|error| undecodable(error.to_string()))?;
    match &operations {
        Value::List(list) if list.is_empty() => Ok(Value::Null),
        Value::Null | Value::List(_) => Ok(operations),
        _ => Err(undecodable("a JSON patch is a list".to_owned())),
    }
}

fn warnings(response: &Value) -> Vec<String> {
    let texts = response.get("warnings").items().filter_map(Value::as_str);
    let texts = texts.filter(|text| !text.is_empty()).take(WARNINGS_MAX);
    texts.map(|text| text.chars().take(WARNING_CHARACTERS_MAX).collect()).collect()
}
