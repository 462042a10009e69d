//! PodTemplates (`pkg/apis/core/validation/validation.go`).

use object::Value;
use object::field::Errors;

use super::field::Field;
use super::pod::validate_pod_template as validate_template;

const TEMPLATE: &str = "io.k8s.api.core.v1.PodTemplate";

/// Checks a PodTemplate, except its metadata. The template has the rules of those in workloads.
pub fn validate_pod_template(template: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_template(&mut errors, &Field::root(template, TEMPLATE).child("template"));
    errors
}
