//! Where policies that refuse requests are in force (`pkg/apis/admissionregistration/validation`).

use std::collections::HashSet;

use object::Value;
use object::field::Errors;

use super::admission;
use super::field::Field;

const BINDING: &str = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding";
const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
const DENY_AND_WARN: &str = "must not contain both Deny and Warn (repeating the same validation failure information in \
                             the API response and headers serves no purpose)";

/// Checks a new ValidatingAdmissionPolicyBinding; of its metadata, only that the name is not reserved.
pub fn validate_validating_admission_policy_binding(binding: &Value) -> Errors {
    let mut errors = validate_validating_admission_policy_binding_update(binding, &Value::Null);
    admission::validate_name(&mut errors, &Field::root(binding, BINDING));
    errors
}

/// Checks a change of a ValidatingAdmissionPolicyBinding, except its metadata.
pub fn validate_validating_admission_policy_binding_update(binding: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    let binding = Field::root(binding, BINDING);
    let spec = binding.child("spec");
    let (policy, actions) = (spec.child("policyName"), spec.child("validationActions"));
    admission::validate_policy_name(&mut errors, &policy);
    admission::validate_param_ref(&mut errors, &spec.child("paramRef"));
    admission::validate_match_resources(&mut errors, &spec.child("matchResources"));
    validate_actions(&mut errors, &actions);
    // Upstream declares both required in the types, which is checked after everything else.
    policy.check_present(&mut errors);
    actions.check_present(&mut errors);
    errors
}

fn validate_actions(errors: &mut Errors, actions: &Field<'_, '_>) {
    let mut seen = HashSet::new();
    for action in actions.items() {
        action.check_known(errors, &ACTIONS);
        if !seen.insert(action.text()) {
            action.duplicate(errors);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        actions.invalid(errors, DENY_AND_WARN);
    }
}
