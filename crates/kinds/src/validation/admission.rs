//! What webhooks and policies of admission have in common (`pkg/apis/admissionregistration/validation`).

use object::field::Errors;
use object::quote;

use super::field::Field;

mod condition;
mod expressions;
mod field_ref;
mod param;
mod rule;

pub(super) use condition::validate_conditions;
pub(super) use expressions::{Expressions, validate_variables};
pub(super) use field_ref::validate_field_ref;
pub(super) use param::{validate_param_kind, validate_param_ref};
pub(super) use rule::{validate_match_resources, validate_mutable, validate_rule};

pub(super) const FAILURE_POLICIES: [&str; 2] = ["Fail", "Ignore"];
pub(super) const MATCH_POLICIES: [&str; 2] = ["Equivalent", "Exact"];
pub(super) const REINVOCATION_POLICIES: [&str; 2] = ["IfNeeded", "Never"];
/// Names that end so are kept for what a server reads from files (KEP-5793).
pub const STATIC_SUFFIX: &str = ".static.k8s.io";

/// Checks that the name of a new webhook configuration, policy or binding is not kept for files.
pub(super) fn validate_name(errors: &mut Errors, object: &Field<'_, '_>) {
    let metadata = object.child("metadata");
    let name = metadata.child("name");
    if name.text().ends_with(STATIC_SUFFIX) {
        name.invalid(errors, reserved());
    }
}

/// The warnings about a change of a webhook configuration, policy or binding: its name.
pub(crate) fn admission_warnings(object: &object::Value, old: Option<&object::Value>) -> Vec<String> {
    let is_reserved = old.is_some() && object.str_at("metadata.name").ends_with(STATIC_SUFFIX);
    is_reserved.then(|| format!("metadata.name: {}", reserved())).into_iter().collect()
}

fn reserved() -> String {
    let suffix = quote(STATIC_SUFFIX);
    format!(
        "names ending with {suffix} are reserved for static manifest-based configurations and cannot be managed via the API"
    )
}

/// Checks a text that must be there and be one of these; unlike [`Field::check_one_of`], the empty text is a wrong one.
pub(super) fn check_choice(errors: &mut Errors, choice: &Field<'_, '_>, known: &[&str]) {
    match choice.is_set() {
        true => choice.check_known(errors, known),
        false => choice.required(errors, ""),
    }
}

/// Checks what the specs of both kinds of policies begin with: what happens on failure, parameters, what it is about.
pub(super) fn validate_policy(errors: &mut Errors, spec: &Field<'_, '_>) {
    check_choice(errors, &spec.child("failurePolicy"), &FAILURE_POLICIES);
    validate_param_kind(errors, &spec.child("paramKind"));
    let constraints = spec.child("matchConstraints");
    if !constraints.is_set() {
        return constraints.required(errors, "");
    }
    validate_match_resources(errors, &constraints);
    // The rules say which types the expressions are about.
    constraints.child("resourceRules").check_present(errors);
}

/// Checks the name of a binding's policy, which must be there for more than that ([`Field::required`] comes last).
pub(super) fn validate_policy_name(errors: &mut Errors, name: &Field<'_, '_>) {
    name.check_set(errors, |name| crate::NameRule::Subdomain.check(name, false));
}

/// What makes the match conditions of a policy mean something else: whether a change leaves it alone.
pub(super) fn keeps_conditions(spec: &Field<'_, '_>, old: &Field<'_, '_>) -> bool {
    let keeps = |name: &str| super::same(spec.value.get(name), old.value.get(name));
    keeps("paramKind") && keeps("matchConditions")
}
