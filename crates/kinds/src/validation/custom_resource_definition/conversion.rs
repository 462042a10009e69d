//! The conversion between the versions of a custom resource.

use std::collections::HashSet;

use object::field::{Errors, Path};
use object::{Value, names};
use semantics::conditions;

use crate::validation::field::Field;
use crate::validation::webhook::client;

/// The versions of ConversionReview that a server may speak.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const CLIENT: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.WebhookClientConfig";

/// Whether the certificates by which the conversion's webhook is recognized can be read, if it names any. If not, the
/// resource is not established.
pub fn can_be_trusted(definition: &Value) -> bool {
    client::read_bundle(definition.at("spec.conversion.webhook.clientConfig.caBundle")).is_ok()
}

/// Checks the conversion of a definition. `old` is its previous state, or null.
pub(super) fn check(definition: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    let conversion = definition.at("spec.conversion");
    if conversion.is_null() {
        return;
    }
    let strategy = conversion.str_at("strategy");
    let webhook = conversion.get("webhook");
    let (at, versions_at) = (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    match strategy {
        "" => errors.required(&path.child("strategy"), ""),
        "Webhook" => {
            client_config(webhook.get("clientConfig"), old, at, errors);
            review_versions(webhook.get("conversionReviewVersions"), old, &versions_at, errors);
        }
        other => {
            if other != "None" {
                errors.not_supported(&path.child("strategy"), other, &["None", "Webhook"]);
            }
            let why = "should not be set when strategy is not set to Webhook";
            if !webhook.get("clientConfig").is_null() {
                errors.forbidden(&at, why);
            }
            if !webhook.get("conversionReviewVersions").is_empty() {
                errors.forbidden(&versions_at, why);
            }
        }
    }
}

fn client_config(config: &Value, old: &Value, path: Path<'_>, errors: &mut Errors) {
    if config.is_null() {
        return errors.required(&path, "required when strategy is set to Webhook");
    }
    let config = Field::root(config, CLIENT).named(path);
    client::validate(errors, &config);
    // Until it is established, nobody relies on the definition; and it may keep what it had.
    if conditions::holds(old, "Established") && can_be_trusted(old) {
        client::validate_bundle(errors, &config.child("caBundle"));
    }
}

fn review_versions(versions: &Value, old: &Value, path: &Path<'_>, errors: &mut Errors) {
    if versions.is_empty() {
        return errors.required(path, "");
    }
    let mut seen = HashSet::new();
    for (index, version) in versions.items().filter_map(Value::as_str).enumerate() {
        if seen.insert(version) {
            errors.invalid_each(&path.index(index), version, names::is_dns1035_label(version));
        } else {
            errors.invalid(&path.index(index), version, "duplicate version");
        }
    }
    let before = old.at("spec.conversion.webhook.conversionReviewVersions");
    if !has_known(versions) && (before.is_empty() || has_known(before)) {
        let why = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.invalid(path, versions.clone(), why);
    }
}

fn has_known(versions: &Value) -> bool {
    versions.items().filter_map(Value::as_str).any(|version| REVIEW_VERSIONS.contains(&version))
}
