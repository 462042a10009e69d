//! ResourceQuotas (`pkg/apis/core/validation/validation.go`).

use std::collections::{BTreeSet, HashSet};

use object::Value;
use object::field::{Error, Errors};

use super::field::{Field, IMMUTABLE};
use super::resources::{Owner, is_quota, validate_amount, validate_name};

const QUOTA: &str = "io.k8s.api.core.v1.ResourceQuota";
const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
/// Scopes that exclude each other.
const PAIRS: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

/// Checks a ResourceQuota, its metadata aside.
pub fn validate_resource_quota(quota: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(quota, QUOTA);
    validate_spec(&mut errors, &root.child("spec"));
    validate_status(&mut errors, &root.child("status"));
    errors
}

/// Checks a change of a ResourceQuota, its metadata aside.
pub fn validate_resource_quota_update(quota: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(quota, QUOTA);
    let spec = root.child("spec");
    validate_spec(&mut errors, &spec);
    let set = |quota: &Value| -> BTreeSet<String> {
        quota.at("spec.scopes").items().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    if set(quota) != set(old) {
        spec.child("scopes").invalid(&mut errors, IMMUTABLE);
    }
    errors
}

/// Checks a change of a ResourceQuota's status, its metadata aside.
pub fn validate_resource_quota_status_update(quota: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_status(&mut errors, &Field::root(quota, QUOTA).child("status"));
    errors
}

fn validate_status(errors: &mut Errors, status: &Field<'_, '_>) {
    for name in ["hard", "used"] {
        validate_amounts(errors, &status.child(name));
    }
}

fn validate_amounts(errors: &mut Errors, amounts: &Field<'_, '_>) {
    for (name, amount) in amounts.entries() {
        validate_name(errors, name, &amount, Owner::Quota);
        validate_amount(errors, name, &amount);
    }
}

fn validate_spec(errors: &mut Errors, spec: &Field<'_, '_>) {
    validate_amounts(errors, &spec.child("hard"));
    let hard = Hard::of(spec.value.get("hard"));
    let scopes = spec.child("scopes");
    let mut seen = HashSet::new();
    for scope in scopes.value.items().filter_map(Value::as_str) {
        if !is_scope(scope) {
            scopes.invalid(errors, "unsupported scope");
        }
        if !hard.takes(scope) {
            scopes.invalid(errors, "unsupported scope applied to resource");
        }
        seen.insert(scope);
    }
    validate_pairs(errors, &scopes, &seen);
    let selector = spec.child("scopeSelector");
    if selector.is_set() {
        validate_selector(errors, &selector, &hard, &scopes);
    }
}

fn validate_selector(errors: &mut Errors, selector: &Field<'_, '_>, hard: &Hard, scopes: &Field<'_, '_>) {
    // The paths of these errors lack the index upstream, too.
    let expressions = selector.child("matchExpressions");
    let mut seen = HashSet::new();
    for requirement in expressions.items() {
        let [name, operator, values] =
            ["scopeName", "operator", "values"].map(|name| requirement.value.get(name));
        let scope = name.as_str().unwrap_or_default();
        if !is_scope(scope) {
            errors.invalid(&expressions.path.child("scopeName"), scope, "unsupported scope");
        }
        if !hard.takes(scope) {
            let why = "unsupported scope applied to resource";
            errors.push_with(|| Error::invalid(&expressions.path, selector.value.clone(), why));
        }
        let operator_path = expressions.path.child("operator");
        let operator = operator.as_str().unwrap_or_default();
        if is_scope(scope)
            && !matches!(scope, "PriorityClass" | "VolumeAttributesClass")
            && operator != "Exists"
        {
            let why = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.invalid(&operator_path, operator, why);
        }
        let values_path = expressions.path.child("values");
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.required(&values_path, why);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.invalid(&values_path, values.clone(), why);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            _ => errors.invalid(&operator_path, operator, "not a valid selector operator"),
        }
        seen.insert(scope);
    }
    validate_pairs(errors, &scopes.named(expressions.path), &seen);
}

fn validate_pairs(errors: &mut Errors, scopes: &Field<'_, '_>, seen: &HashSet<&str>) {
    for _ in PAIRS.iter().filter(|pair| pair.iter().all(|scope| seen.contains(scope))) {
        scopes.invalid(errors, "conflicting scopes");
    }
}

fn is_scope(scope: &str) -> bool {
    SCOPES.contains(&scope)
}

/// What a quota limits, as far as it matters to scopes: each is asked of many.
struct Hard {
    /// The scopes that do not tell apart objects that use one of the resources.
    unfit: Vec<&'static str>,
}

impl Hard {
    fn of(hard: &Value) -> Hard {
        let names = || hard.entries().map(|(name, _)| name).filter(|name| is_quota(name));
        let unfit = SCOPES.into_iter().filter(|scope| names().any(|name| !applies(scope, name)));
        Hard { unfit: unfit.collect() }
    }

    fn takes(&self, scope: &str) -> bool {
        !self.unfit.contains(&scope)
    }
}

/// Whether a scope tells objects apart that use a resource.
fn applies(scope: &str, resource: &str) -> bool {
    let is_compute = matches!(
        resource,
        "cpu" | "memory" | "limits.cpu" | "limits.memory" | "requests.cpu" | "requests.memory"
    );
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => matches!(resource, "persistentvolumeclaims" | "requests.storage"),
        scope if is_scope(scope) => resource == "pods" || is_compute,
        _ => true,
    }
}
