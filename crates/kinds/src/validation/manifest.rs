//! Configurations of admission that a server reads from files (KEP-5793).

use object::Value;
use object::field::{Errors, Path};

use super::metadata::validate_metadata;
use super::mutating_admission_policy::validate_mutating_admission_policy_in_file;
use super::mutating_admission_policy_binding::validate_mutating_admission_policy_binding_update;
use super::validating_admission_policy::validate_validating_admission_policy_in_file;
use super::validating_admission_policy_binding::validate_validating_admission_policy_binding_update;
use super::webhook::validate_webhook_configuration_in_file;
use crate::NameRule;

/// Checks a webhook configuration, policy or binding from a file, with its metadata. The rules are those of the API, except
/// that the name may be one that the API reserves for files.
pub fn validate_admission_manifest(object: &Value) -> Errors {
    let path = Path::root("metadata");
    let mut errors = validate_metadata(object.get("metadata"), false, NameRule::Subdomain, &path);
    errors.append(match object.str_at("kind") {
        "ValidatingAdmissionPolicy" => validate_validating_admission_policy_in_file(object),
        "MutatingAdmissionPolicy" => validate_mutating_admission_policy_in_file(object),
        "ValidatingAdmissionPolicyBinding" => {
            validate_validating_admission_policy_binding_update(object, &Value::Null)
        }
        "MutatingAdmissionPolicyBinding" => {
            validate_mutating_admission_policy_binding_update(object, &Value::Null)
        }
        _ => validate_webhook_configuration_in_file(object),
    });
    errors
}
