//! The kinds of `certificates.k8s.io`.

use clock::Clock;
use object::{Value, field};
use semantics::conditions;

use crate::simple::Simple;
use crate::strategy::{NameRule, Strategy, keep_metadata, keep_spec, restore};
use crate::table::{AGE, Column, NAME, Table, age, cells, human_duration, name, or};
use crate::{defaults, validation};

#[cfg(test)]
mod tests;

/// ClusterTrustBundle
pub(crate) static CLUSTER_TRUST_BUNDLES: Simple = Simple {
    updates_unconditionally: false,
    // The names of a signer's bundles contain the signer's name with colons.
    name_rule: NameRule::PathSegment,
    selectable: &["spec.signerName"],
    validate: validation::validate_cluster_trust_bundle,
    validate_update: Some(validation::validate_cluster_trust_bundle_update),
    table: Table {
        columns: &[NAME, SIGNER],
        row: |object, _| cells![name(object), or(object.str_at("spec.signerName"), "<none>")],
    },
    ..Simple::PLAIN
};

const SIGNER: Column = Column::text("SignerName", "Who signs.");

/// CertificateSigningRequest. The requester (`spec.username` and so on) is set where the user is known.
pub(crate) struct CertificateSigningRequests;

impl Strategy for CertificateSigningRequests {
    /// A request is never changed.
    fn prepare_update(&self, object: &mut Value, old: &Value) {
        restore(object, old, "spec");
        restore(object, old, "status");
    }

    /// Signers issue certificates; they do not approve.
    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_spec(object, old);
        for kind in ["Approved", "Denied"] {
            preserve_conditions(object, old, kind);
        }
    }

    fn set_times(&self, object: &mut Value, old: &Value, clock: &Clock) {
        set_condition_times(object, old, clock);
        let now = clock.now_seconds().to_string();
        for condition in conditions_mut(object) {
            condition.set_default("lastUpdateTime", now.as_str());
        }
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_certificate_signing_request(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_certificate_signing_request_update(object, old)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_certificate_signing_request_status_update(object, old)
    }

    /// `approval` is the only other part.
    fn validate_part_update(&self, _subresource: &str, object: &Value, old: &Value) -> field::Errors {
        validation::validate_certificate_signing_request_approval(object, old)
    }

    fn name_rule(&self) -> NameRule {
        NameRule::PathSegment
    }

    fn has_status(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("spec.signerName", object.str_at("spec.signerName").to_owned())]
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        &["spec.signerName"]
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                AGE,
                SIGNER,
                Column::text("Requestor", "Who asks."),
                Column::text("RequestedDuration", "How long the certificate is to be valid."),
                Column::text(
                    "Condition",
                    "Whether the request is approved, and whether it has a certificate.",
                ),
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let duration = object.at("spec.expirationSeconds").as_i64().map(human_duration);
        cells![
            name(object),
            age(object, clock),
            or(object.str_at("spec.signerName"), "<none>"),
            object.str_at("spec.username"),
            duration.as_deref().unwrap_or("<none>"),
            state(object),
        ]
    }
}

fn state(request: &Value) -> String {
    let has = |kind: &str| !conditions::of(request, kind).is_absent();
    let mut state = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    }
    .to_owned();
    if has("Failed") {
        state.push_str(",Failed");
    }
    if !request.at("status.certificate").is_empty() {
        state.push_str(",Issued");
    }
    state
}

/// PodCertificateRequest
pub(crate) struct PodCertificateRequests;

const REQUEST_FIELDS: &[&str] =
    &["spec.signerName", "spec.podName", "spec.serviceAccountName", "spec.nodeName"];

impl Strategy for PodCertificateRequests {
    fn default(&self, object: &mut Value) {
        defaults::default_pod_certificate_request(object);
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_pod_certificate_request(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_pod_certificate_request_update(object, old)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_pod_certificate_request_status_update(object, old)
    }

    fn validate_status_now(&self, object: &Value, old: &Value, clock: &Clock) -> field::Errors {
        validation::validate_pod_certificate_request_issue(object, old, clock.now_seconds())
    }

    fn prepare_status_update(&self, object: &mut Value, old: &Value) {
        keep_spec(object, old);
        keep_metadata(object, old);
    }

    fn has_status(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn updates_unconditionally(&self) -> bool {
        false
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        REQUEST_FIELDS.iter().map(|path| (*path, object.str_at(path).to_owned())).collect()
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        REQUEST_FIELDS
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("PodName", "The pod that the certificate is for."),
                Column::text("ServiceAccountName", "The pod's service account."),
                Column::text("NodeName", "The pod's node."),
                SIGNER,
                Column::text("State", "Pending, Issued, Denied or Failed."),
            ]
        }
    }

    fn row(&self, object: &Value, _clock: &Clock) -> Vec<Value> {
        let conditions = object.at("status.conditions").items().map(|condition| condition.str_at("type"));
        let last = conditions.rev().find(|kind| matches!(*kind, "Issued" | "Denied" | "Failed"));
        let text = |path: &str| object.str_at(path);
        cells![
            name(object),
            text("spec.podName"),
            text("spec.serviceAccountName"),
            text("spec.nodeName"),
            text("spec.signerName"),
            last.unwrap_or("Pending"),
        ]
    }
}

fn conditions_mut(object: &mut Value) -> impl Iterator<Item = &mut Value> {
    object.at_mut("status.conditions").into_iter().flat_map(Value::items_mut)
}

/// Keeps the conditions of a type unchanged, if their number is the same as before; validation refuses another number.
fn preserve_conditions(object: &mut Value, old: &Value, kind: &str) {
    let is_kind = |condition: &&Value| condition.str_at("type") == kind;
    let kept: Vec<&Value> = old.at("status.conditions").items().filter(is_kind).collect();
    if object.at("status.conditions").items().filter(is_kind).count() != kept.len() {
        return;
    }
    let places = conditions_mut(object).filter(|condition| condition.str_at("type") == kind);
    for (place, condition) in places.zip(kept) {
        *place = condition.clone();
    }
}

/// Sets the time of conditions' last change: that of the same previous condition, or otherwise now.
fn set_condition_times(object: &mut Value, old: &Value, clock: &Clock) {
    let now = Value::from(clock.now_seconds().to_string());
    for condition in conditions_mut(object).filter(|c| c.get("lastTransitionTime").is_null()) {
        let same = |before: &&Value| {
            ["type", "status"].iter().all(|member| before.get(member) == condition.get(member))
                && !before.get("lastTransitionTime").is_null()
        };
        let before = old.at("status.conditions").items().find(same);
        let time = before.map_or(&now, |condition| condition.get("lastTransitionTime")).clone();
        condition.set("lastTransitionTime", time);
    }
}
