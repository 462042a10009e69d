//! What webhooks and policies are about.

use std::collections::HashSet;

use object::field::Errors;
use object::names;

use super::{MATCH_POLICIES, check_choice};
use crate::validation::field::Field;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
/// Those of requests that can be changed.
const MUTABLE_OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];

/// Checks what a policy or binding is about, if it says so.
pub(in crate::validation) fn validate_match_resources(errors: &mut Errors, resources: &Field<'_, '_>) {
    if !resources.is_set() {
        return;
    }
    check_choice(errors, &resources.child("matchPolicy"), &MATCH_POLICIES);
    for name in ["namespaceSelector", "objectSelector"] {
        let selector = resources.child(name);
        match selector.is_set() {
            true => errors.append(selector.selector().validate(&selector.path, false)),
            false => selector.required(errors, ""),
        }
    }
    for name in ["resourceRules", "excludeResourceRules"] {
        resources.child(name).items().for_each(|rule| validate_named_rule(errors, &rule));
    }
}

/// Checks that a mutating policy or binding is only about requests that can be changed. As upstream, the path does not
/// say which rule is wrong.
pub(in crate::validation) fn validate_mutable(errors: &mut Errors, resources: &Field<'_, '_>) {
    let rules = resources.child("resourceRules");
    let path = rules.path.child("operations");
    for operation in rules.value.items().flat_map(|rule| rule.get("operations").items()) {
        let operation = operation.as_str().unwrap_or_default();
        if !MUTABLE_OPERATIONS.contains(&operation) {
            errors.not_supported(&path, operation, &MUTABLE_OPERATIONS);
        }
    }
}

fn validate_named_rule(errors: &mut Errors, rule: &Field<'_, '_>) {
    let mut seen = HashSet::new();
    for name in rule.child("resourceNames").items() {
        name.check(errors, names::is_path_segment_name);
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
    }
    validate_rule(errors, rule);
}

fn has_wildcard(list: &Field<'_, '_>) -> bool {
    list.len() > 1 && list.value.items().any(|item| item.as_str() == Some("*"))
}

/// Checks a rule with its operations.
pub(in crate::validation) fn validate_rule(errors: &mut Errors, rule: &Field<'_, '_>) {
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
