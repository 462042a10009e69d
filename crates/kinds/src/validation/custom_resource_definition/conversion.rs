//! The conversion between the versions of a custom resource.

use std::collections::HashSet;

use object::field::{Errors, Path};
use object::{Value, names};

/// The versions of ConversionReview that a server may speak.
const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];

pub(super) fn check(spec: &Value, path: &Path<'_>, errors: &mut Errors) {
    let conversion = spec.get("conversion");
    if conversion.is_null() {
        return;
    }
    let strategy = conversion.str_at("strategy");
    let webhook = conversion.get("webhook");
    let (at, versions_at) = (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    match strategy {
        "" => errors.required(&path.child("strategy"), ""),
        "Webhook" => {
            client_config(webhook.get("clientConfig"), &at, errors);
            review_versions(webhook.get("conversionReviewVersions"), &versions_at, errors);
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

fn client_config(config: &Value, path: &Path<'_>, errors: &mut Errors) {
    let (url, service) = (config.get("url"), config.get("service"));
    if config.is_null() {
        errors.required(path, "required when strategy is set to Webhook");
    } else if url.is_null() == service.is_null() {
        errors.required(path, "exactly one of url or service is required");
    } else if let Some(url) = url.as_str() {
        if !url.starts_with("https://") {
            let why = "'https' is the only allowed URL scheme; desired format: https://host[/path]";
            errors.invalid(&path.child("url"), url, why);
        }
    } else {
        let at = path.child("service");
        for (member, why) in
            [("name", "service name is required"), ("namespace", "service namespace is required")]
        {
            if service.str_at(member).is_empty() {
                errors.required(&at.child(member), why);
            }
        }
        let port = service.get("port").as_i64().unwrap_or(443);
        if !(1..=65535).contains(&port) {
            errors.invalid(
                &at.child("port"),
                port,
                "port is not valid: must be between 1 and 65535, inclusive",
            );
        }
    }
}

fn review_versions(versions: &Value, path: &Path<'_>, errors: &mut Errors) {
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
    if !REVIEW_VERSIONS.iter().any(|version| seen.contains(version)) {
        let why = format!("must include at least one of {}", REVIEW_VERSIONS.join(", "));
        errors.invalid(path, versions.clone(), why);
    }
}
