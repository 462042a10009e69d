//! Configurations of admission webhooks (`pkg/apis/admissionregistration/validation`).

use std::collections::HashSet;

use object::field::Errors;
use object::{Value, names};

use super::admission::{self, FAILURE_POLICIES, MATCH_POLICIES, REINVOCATION_POLICIES};
use super::field::{Field, same};

pub(super) mod client;

const MUTATING: &str = "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration";
const VALIDATING: &str = "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration";
/// The versions of reviews that this server sends.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
/// Those that a new webhook may have.
const NO_SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
const SECONDS_MAX: i64 = 30;

/// What a configuration may keep because the old one had it.
#[derive(Default)]
struct Lenience {
    side_effects: bool,
    reviews: bool,
    names: bool,
    label_values: bool,
    conditions: bool,
}

/// Checks a MutatingWebhookConfiguration, except its metadata.
pub fn validate_mutating_webhook_configuration(configuration: &Value) -> Errors {
    validate_new(&Field::root(configuration, MUTATING))
}

/// Checks a change of a MutatingWebhookConfiguration, except its metadata.
pub fn validate_mutating_webhook_configuration_update(configuration: &Value, old: &Value) -> Errors {
    let lenience = Lenience::of(&Field::root(old, MUTATING), configuration);
    validate(&Field::root(configuration, MUTATING), &lenience)
}

/// Checks a ValidatingWebhookConfiguration, except its metadata.
pub fn validate_validating_webhook_configuration(configuration: &Value) -> Errors {
    validate_new(&Field::root(configuration, VALIDATING))
}

/// Checks a change of a ValidatingWebhookConfiguration, except its metadata.
pub fn validate_validating_webhook_configuration_update(configuration: &Value, old: &Value) -> Errors {
    let lenience = Lenience::of(&Field::root(old, VALIDATING), configuration);
    validate(&Field::root(configuration, VALIDATING), &lenience)
}

/// Checks a webhook configuration of either kind that does not come by the API, except its metadata.
pub(super) fn validate_webhook_configuration_in_file(configuration: &Value) -> Errors {
    let ty =
        if configuration.str_at("kind") == "MutatingWebhookConfiguration" { MUTATING } else { VALIDATING };
    validate(&Field::root(configuration, ty), &Lenience::default())
}

impl Lenience {
    /// What a change of `old` to `new` may keep.
    fn of(old: &Field<'_, '_>, new: &Value) -> Lenience {
        let hooks = old.child("webhooks");
        let mut lenience = Lenience::default();
        let mut seen = HashSet::new();
        for hook in hooks.items() {
            let versions = hook.child("admissionReviewVersions");
            lenience.side_effects |= !NO_SIDE_EFFECTS.contains(&hook.child("sideEffects").text());
            lenience.reviews |= !versions.is_empty() && !accepts_reviews(&versions);
            lenience.names |= !seen.insert(hook.child("name").text());
            lenience.label_values |= ["namespaceSelector", "objectSelector"].iter().any(|name| {
                let selector = hook.child(name);
                !selector.selector().validate(&selector.path, false).is_empty()
            });
        }
        let (before, after) = (old.value.get("webhooks"), new.get("webhooks"));
        let conditions = |hook: &Value| hook.get("matchConditions").clone();
        lenience.conditions = before.items().len() == after.items().len()
            && before.items().zip(after.items()).all(|(a, b)| same(&conditions(a), &conditions(b)));
        lenience
    }
}

fn validate_new(configuration: &Field<'_, '_>) -> Errors {
    let mut errors = validate(configuration, &Lenience::default());
    admission::validate_name(&mut errors, configuration);
    errors
}

fn validate(configuration: &Field<'_, '_>, lenience: &Lenience) -> Errors {
    let mut errors = Errors::new();
    let mut seen = HashSet::new();
    for hook in configuration.child("webhooks").items() {
        validate_hook(&mut errors, &hook, lenience);
        validate_reviews(&mut errors, &hook.child("admissionReviewVersions"), lenience);
        let name = hook.child("name");
        if !lenience.names && !name.is_empty() && !seen.insert(name.text()) {
            name.duplicate(&mut errors);
        }
    }
    errors
}

fn validate_hook(errors: &mut Errors, hook: &Field<'_, '_>, lenience: &Lenience) {
    validate_name(errors, &hook.child("name"));
    hook.child("rules").items().for_each(|rule| admission::validate_rule(errors, &rule));
    hook.child("failurePolicy").check_known(errors, &FAILURE_POLICIES);
    hook.child("matchPolicy").check_known(errors, &MATCH_POLICIES);
    let effects = hook.child("sideEffects");
    let allowed = if lenience.side_effects { &SIDE_EFFECTS } else { NO_SIDE_EFFECTS };
    match effects.is_set() {
        true => effects.check_known(errors, allowed),
        false => effects.required(errors, &format!("must specify one of {}", allowed.join(", "))),
    }
    let timeout = hook.child("timeoutSeconds");
    if timeout.is_set() && !(1..=SECONDS_MAX).contains(&timeout.number()) {
        timeout.invalid(errors, "the timeout value must be between 1 and 30 seconds");
    }
    for name in ["namespaceSelector", "objectSelector"] {
        let selector = hook.child(name);
        errors.append(selector.selector().validate(&selector.path, lenience.label_values));
    }
    // Only mutating webhooks have it.
    if !hook.value.get("reinvocationPolicy").is_null() {
        hook.child("reinvocationPolicy").check_known(errors, &REINVOCATION_POLICIES);
    }
    client::validate(errors, &hook.child("clientConfig"));
    if !lenience.conditions {
        admission::validate_conditions(errors, &hook.child("matchConditions"), false);
    }
}

/// The name of a webhook: a domain with at least three parts.
fn validate_name(errors: &mut Errors, name: &Field<'_, '_>) {
    let wrong = names::is_dns1123_subdomain(name.text());
    if name.is_empty() {
        name.required(errors, "");
    } else if !wrong.is_empty() {
        name.invalid(errors, wrong.join(","));
    } else if name.text().split('.').count() < 3 {
        name.invalid(errors, "should be a domain with at least three segments separated by dots");
    }
}

fn accepts_reviews(versions: &Field<'_, '_>) -> bool {
    versions.value.items().any(|version| version.as_str().is_some_and(|version| REVIEWS.contains(&version)))
}

fn validate_reviews(errors: &mut Errors, versions: &Field<'_, '_>, lenience: &Lenience) {
    let known = REVIEWS.join(", ");
    if versions.is_empty() {
        return versions.required(errors, &format!("must specify one of {known}"));
    }
    let mut seen = HashSet::new();
    for version in versions.items() {
        match seen.insert(version.text()) {
            true => version.check(errors, names::is_dns1035_label),
            false => version.invalid(errors, "duplicate version"),
        }
    }
    if !lenience.reviews && !accepts_reviews(versions) {
        versions.invalid(errors, format!("must include at least one of {known}"));
    }
}
