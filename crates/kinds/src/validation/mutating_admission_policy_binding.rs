//! Where policies that change objects are in force (`pkg/apis/admissionregistration/validation`).

use object::Value;
use object::field::Errors;

use super::admission;
use super::field::Field;

const BINDING: &str = "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding";

/// Checks a new MutatingAdmissionPolicyBinding; of its metadata, only that the name is not reserved.
pub fn validate_mutating_admission_policy_binding(binding: &Value) -> Errors {
    let mut errors = validate_mutating_admission_policy_binding_update(binding, &Value::Null);
    admission::validate_name(&mut errors, &Field::root(binding, BINDING));
    errors
}

/// Checks a change of a MutatingAdmissionPolicyBinding, except its metadata.
pub fn validate_mutating_admission_policy_binding_update(binding: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    let binding = Field::root(binding, BINDING);
    let spec = binding.child("spec");
    let (policy, resources) = (spec.child("policyName"), spec.child("matchResources"));
    policy.check_present(&mut errors);
    admission::validate_policy_name(&mut errors, &policy);
    admission::validate_param_ref(&mut errors, &spec.child("paramRef"));
    admission::validate_match_resources(&mut errors, &resources);
    admission::validate_mutable(&mut errors, &resources);
    errors
}
