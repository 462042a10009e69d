//! Configurations of admission webhooks (`pkg/apis/admissionregistration/validation`).
//!
//! One rule differs from upstream's: an expression of `matchConditions` is refused, because this server cannot evaluate
//! it yet. A webhook that is asked about everything, although its author has excluded something, or about nothing, would
//! be worse than one that is not accepted.

use std::collections::HashSet;

use object::field::{Error, Errors};
use object::{Value, names};

use super::field::{Field, same};

mod client;

const MUTATING: &str = "io.k8s.api.admissionregistration.v1.MutatingWebhookConfiguration";
const VALIDATING: &str = "io.k8s.api.admissionregistration.v1.ValidatingWebhookConfiguration";
/// The versions of reviews that this server sends.
const REVIEWS: [&str; 2] = ["v1", "v1beta1"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
/// Those that a new webhook may have.
const NO_SIDE_EFFECTS: &[&str] = &["None", "NoneOnDryRun"];
const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const CONDITIONS_MAX: usize = 64;
const SECONDS_MAX: i64 = 30;
/// The answer to every expression.
const NOT_COMPILED: &str = "compilation failed: this server does not evaluate CEL expressions yet";

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
    validate(&Field::root(configuration, MUTATING), &Lenience::default())
}

/// Checks a change of a MutatingWebhookConfiguration, except its metadata.
pub fn validate_mutating_webhook_configuration_update(configuration: &Value, old: &Value) -> Errors {
    let lenience = Lenience::of(&Field::root(old, MUTATING), configuration);
    validate(&Field::root(configuration, MUTATING), &lenience)
}

/// Checks a ValidatingWebhookConfiguration, except its metadata.
pub fn validate_validating_webhook_configuration(configuration: &Value) -> Errors {
    validate(&Field::root(configuration, VALIDATING), &Lenience::default())
}

/// Checks a change of a ValidatingWebhookConfiguration, except its metadata.
pub fn validate_validating_webhook_configuration_update(configuration: &Value, old: &Value) -> Errors {
    let lenience = Lenience::of(&Field::root(old, VALIDATING), configuration);
    validate(&Field::root(configuration, VALIDATING), &lenience)
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
    hook.child("rules").items().for_each(|rule| validate_rule(errors, &rule));
    hook.child("failurePolicy").check_known(errors, &["Fail", "Ignore"]);
    hook.child("matchPolicy").check_known(errors, &["Equivalent", "Exact"]);
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
        hook.child("reinvocationPolicy").check_known(errors, &["IfNeeded", "Never"]);
    }
    client::validate(errors, &hook.child("clientConfig"));
    if !lenience.conditions {
        validate_conditions(errors, &hook.child("matchConditions"));
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

fn has_wildcard(list: &Field<'_, '_>) -> bool {
    list.len() > 1 && list.value.items().any(|item| item.as_str() == Some("*"))
}

fn validate_rule(errors: &mut Errors, rule: &Field<'_, '_>) {
    let alone = |what: &str| format!("if '*' is present, must not specify other {what}");
    let lists = [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")];
    for (member, what) in lists {
        let list = rule.child(member);
        list.check_present(errors);
        if has_wildcard(&list) {
            list.invalid(errors, alone(what));
        }
        for item in list.items() {
            match member {
                "operations" => item.check_known(errors, &OPERATIONS),
                "apiVersions" => item.check_present(errors),
                // The core group has no name.
                _ => {}
            }
        }
    }
    validate_resources(errors, &rule.child("resources"));
    rule.child("scope").check_known(errors, &["*", "Cluster", "Namespaced"]);
}

fn validate_resources(errors: &mut Errors, resources: &Field<'_, '_>) {
    resources.check_present(errors);
    // `x/*` and `*/x`, as far as they come before others that they contain.
    let (mut with_every_part, mut of_every_resource) = (HashSet::new(), HashSet::new());
    let mut is_without_part = false;
    for resource in resources.items() {
        let text = resource.text();
        if text.is_empty() {
            resource.required(errors, "");
            continue;
        }
        let Some((name, part)) = text.split_once('/') else {
            is_without_part = text != "*";
            continue;
        };
        if with_every_part.contains(name) {
            resource.invalid(errors, format!("if '{name}/*' is present, must not specify {text}"));
        }
        if of_every_resource.contains(part) {
            resource.invalid(errors, format!("if '*/{part}' is present, must not specify {text}"));
        }
        if part == "*" {
            with_every_part.insert(name);
        }
        if name == "*" {
            of_every_resource.insert(part);
        }
    }
    let has = |wanted: &str| resources.value.items().any(|item| item.as_str() == Some(wanted));
    if resources.len() > 1 && has("*/*") {
        resources.invalid(errors, "if '*/*' is present, must not specify other resources");
    }
    if has("*") && is_without_part {
        let why = "if '*' is present, must not specify other resources without subresources";
        resources.invalid(errors, why);
    }
}

fn validate_conditions(errors: &mut Errors, conditions: &Field<'_, '_>) {
    if conditions.len() > CONDITIONS_MAX {
        errors.push(Error::too_many(&conditions.path, conditions.len(), CONDITIONS_MAX));
    }
    let mut seen = HashSet::new();
    for condition in conditions.items() {
        let (name, expression) = (condition.child("name"), condition.child("expression"));
        match expression.text().trim() {
            "" => expression.required(errors, ""),
            text => errors.invalid(&expression.path, text, NOT_COMPILED),
        }
        name.check_required(errors, names::is_qualified_name);
        if !name.is_empty() && !seen.insert(name.text()) {
            name.duplicate(errors);
        }
    }
}
