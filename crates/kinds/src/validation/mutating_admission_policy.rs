//! Policies that change objects (`pkg/apis/admissionregistration/validation`).

use object::Value;
use object::field::Errors;
use rules::admission::Returns;

use super::admission::{self, Expressions, REINVOCATION_POLICIES};
use super::field::Field;

const POLICY: &str = "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy";
const PATCH_TYPES: [&str; 2] = ["ApplyConfiguration", "JSONPatch"];

/// Checks a new MutatingAdmissionPolicy; of its metadata, only that the name is not reserved.
pub fn validate_mutating_admission_policy(policy: &Value) -> Errors {
    let mut errors = validate_mutating_admission_policy_in_file(policy);
    admission::validate_name(&mut errors, &Field::root(policy, POLICY));
    errors
}

/// Checks a MutatingAdmissionPolicy that does not come by the API, except its metadata.
pub(super) fn validate_mutating_admission_policy_in_file(policy: &Value) -> Errors {
    validate(&Field::root(policy, POLICY), false)
}

/// Checks a change of a MutatingAdmissionPolicy, except its metadata.
pub fn validate_mutating_admission_policy_update(policy: &Value, old: &Value) -> Errors {
    let (policy, old) = (Field::root(policy, POLICY), Field::root(old, POLICY));
    validate(&policy, admission::keeps_conditions(&policy.child("spec"), &old.child("spec")))
}

fn validate(policy: &Field<'_, '_>, keeps_conditions: bool) -> Errors {
    let mut errors = Errors::new();
    let spec = policy.child("spec");
    admission::validate_policy(&mut errors, &spec);
    admission::validate_mutable(&mut errors, &spec.child("matchConstraints"));
    let has_params = spec.child("paramKind").is_set();
    if !keeps_conditions {
        admission::validate_conditions(&mut errors, &spec.child("matchConditions"), has_params);
    }
    let mut expressions = Expressions::new(has_params, true);
    admission::validate_variables(&mut errors, &spec.child("variables"), &mut expressions);
    let mutations = spec.child("mutations");
    mutations.check_present_with(&mut errors, "mutations must contain at least one item");
    let patches = expressions.with_patches();
    mutations.items().for_each(|mutation| validate_mutation(&mut errors, &mutation, &patches));
    spec.child("reinvocationPolicy").check_one_of(&mut errors, &REINVOCATION_POLICIES);
    errors
}

fn validate_mutation(errors: &mut Errors, mutation: &Field<'_, '_>, patches: &Expressions) {
    let patch_type = mutation.child("patchType");
    let (own, other, returns) = match patch_type.text() {
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch", Returns::Patch),
        "JSONPatch" => ("jsonPatch", "applyConfiguration", Returns::JsonPatch),
        _ => return patch_type.check_one_of(errors, &PATCH_TYPES),
    };
    let (own, unwanted) = (mutation.child(own), mutation.child(other));
    let name = patch_type.text();
    if own.is_set() {
        let expression = own.child("expression");
        match expression.text().trim() {
            "" => expression.required(errors, ""),
            text => patches.check(errors, &expression, text, returns),
        }
    } else {
        own.required(errors, &format!("must be specified when patchType is {name}"));
    }
    if unwanted.is_set() {
        let shown = format!("{{{other}}}");
        errors.invalid(&unwanted.path, shown, format!("must not be specified when patchType is {name}"));
    }
}
