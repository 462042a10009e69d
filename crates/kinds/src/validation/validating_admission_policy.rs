//! Policies that refuse requests (`pkg/apis/admissionregistration/validation`).

use std::collections::HashSet;

use object::field::Errors;
use object::{Value, names};
use rules::admission::Returns;

use super::admission::{self, Expressions};
use super::conditions;
use super::field::Field;

const POLICY: &str = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicy";
/// The reasons of a refusal that a rule can give.
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const AUDIT_ANNOTATIONS_MAX: usize = 20;
/// Half of what a value may have: expressions that join texts are shorter than what they give.
const VALUE_EXPRESSION_BYTES_MAX: usize = 5 << 10;
const NOTHING: &str = "validations or auditAnnotations must contain at least one item";

/// Checks a new ValidatingAdmissionPolicy; of its metadata, only that the name is not reserved.
pub fn validate_validating_admission_policy(policy: &Value) -> Errors {
    let mut errors = validate_validating_admission_policy_in_file(policy);
    admission::validate_name(&mut errors, &Field::root(policy, POLICY));
    errors
}

/// Checks a ValidatingAdmissionPolicy that does not come by the API, except its metadata.
pub(super) fn validate_validating_admission_policy_in_file(policy: &Value) -> Errors {
    validate(&Field::root(policy, POLICY), false)
}

/// Checks a change of a ValidatingAdmissionPolicy, except its metadata.
pub fn validate_validating_admission_policy_update(policy: &Value, old: &Value) -> Errors {
    let (policy, old) = (Field::root(policy, POLICY), Field::root(old, POLICY));
    validate(&policy, admission::keeps_conditions(&policy.child("spec"), &old.child("spec")))
}

/// Checks a change of the status of a ValidatingAdmissionPolicy.
pub fn validate_validating_admission_policy_status_update(policy: &Value) -> Errors {
    let mut errors = Errors::new();
    let policy = Field::root(policy, POLICY);
    let status = policy.child("status");
    let checking = status.child("typeChecking");
    for warning in checking.child("expressionWarnings").items() {
        warning.child("warning").check_present(&mut errors);
        admission::validate_field_ref(&mut errors, &warning.child("fieldRef"));
    }
    conditions::validate_conditions(&mut errors, &status.child("conditions"));
    errors
}

fn validate(policy: &Field<'_, '_>, keeps_conditions: bool) -> Errors {
    let mut errors = Errors::new();
    let spec = policy.child("spec");
    admission::validate_policy(&mut errors, &spec);
    let has_params = spec.child("paramKind").is_set();
    if !keeps_conditions {
        admission::validate_conditions(&mut errors, &spec.child("matchConditions"), has_params);
    }
    let variables = spec.child("variables");
    let mut expressions = Expressions::new(has_params, !variables.is_empty());
    admission::validate_variables(&mut errors, &variables, &mut expressions);
    let (validations, annotations) = (spec.child("validations"), spec.child("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        validations.required(&mut errors, NOTHING);
        annotations.required(&mut errors, NOTHING);
    }
    let messages = expressions.without_authorizer();
    for validation in validations.items() {
        validate_validation(&mut errors, &validation, &expressions, &messages);
    }
    validate_annotations(&mut errors, &annotations, policy.value.str_at("metadata.name"), &expressions);
    errors
}

fn validate_validation(
    errors: &mut Errors,
    validation: &Field<'_, '_>,
    expressions: &Expressions,
    messages: &Expressions,
) {
    let expression = validation.child("expression");
    match expression.text().trim() {
        "" => expression.required(errors, "expression is not specified"),
        _ => expressions.check(errors, &expression, expression.text(), Returns::Bool),
    }
    // Errors are counted in columns of the whole text, which is why it is not trimmed.
    let message_expression = validation.child("messageExpression");
    let text = message_expression.text();
    if !text.trim().is_empty() {
        messages.check(errors, &message_expression, text, Returns::String);
    } else if !text.is_empty() {
        message_expression.invalid(errors, "must be non-empty if specified");
    }
    let message = validation.child("message");
    if message.text().trim().is_empty() {
        if !message.is_empty() {
            message.invalid(errors, "must be non-empty if specified");
        }
    } else if message.text().trim().contains(['\n', '\r']) {
        message.invalid(errors, "must not contain line breaks");
    }
    validation.child("reason").check_known(errors, &REASONS);
}

fn validate_annotations(
    errors: &mut Errors,
    annotations: &Field<'_, '_>,
    policy: &str,
    expressions: &Expressions,
) {
    if annotations.len() > AUDIT_ANNOTATIONS_MAX {
        annotations
            .invalid(errors, format!("must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations"));
    }
    let mut seen = HashSet::new();
    for (i, annotation) in annotations.items().enumerate() {
        let (key, value) = (annotation.child("key"), annotation.child("valueExpression"));
        match policy {
            "" => key.invalid(errors, "requires metadata.name be non-empty"),
            _ => {
                let full = format!("{policy}/{}", key.text());
                errors.invalid_each(&key.path, full.as_str(), names::is_qualified_name(&full));
            }
        }
        match value.text().trim() {
            "" => value.required(errors, "valueExpression is not specified"),
            text if text.len() > VALUE_EXPRESSION_BYTES_MAX => {
                let why = format!("must not exceed {VALUE_EXPRESSION_BYTES_MAX} bytes in length");
                value.required(errors, &why);
            }
            // Those over the limit need not be compiled to be refused.
            _ if i >= AUDIT_ANNOTATIONS_MAX => {}
            _ => expressions.check_trimmed(errors, &value, Returns::StringOrNull),
        }
        if !seen.insert(key.text()) {
            key.duplicate(errors);
        }
    }
}
