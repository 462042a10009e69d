//! PodDisruptionBudgets (`pkg/apis/policy/validation`).

use object::Value;
use object::field::Errors;

use super::conditions::validate_conditions;
use super::field::Field;
use super::workload::{validate_at_most_all, validate_int_or_percent};

const BUDGET: &str = "io.k8s.api.policy.v1.PodDisruptionBudget";

/// Checks a PodDisruptionBudget, its metadata aside.
pub fn validate_pod_disruption_budget(budget: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(budget, BUDGET);
    let spec = root.child("spec");
    let (available, unavailable) = (spec.child("minAvailable"), spec.child("maxUnavailable"));
    if available.is_set() && unavailable.is_set() {
        spec.invalid(&mut errors, "minAvailable and maxUnavailable cannot be both set");
    }
    for amount in [available, unavailable].iter().filter(|amount| amount.is_set()) {
        validate_int_or_percent(&mut errors, amount);
        validate_at_most_all(&mut errors, amount);
    }
    let selector = spec.child("selector");
    errors.append(selector.selector().validate(&selector.path, false));
    spec.child("unhealthyPodEvictionPolicy").check_known(&mut errors, &["AlwaysAllow", "IfHealthyBudget"]);
    errors
}

/// Checks a change of a PodDisruptionBudget's status, its metadata aside.
pub fn validate_pod_disruption_budget_status_update(budget: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(budget, BUDGET);
    let status = root.child("status");
    validate_conditions(&mut errors, &status.child("conditions"));
    for name in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        status.child(name).check_not_negative(&mut errors);
    }
    errors
}
