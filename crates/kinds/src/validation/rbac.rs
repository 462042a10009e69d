//! Roles and bindings (`pkg/apis/rbac/validation`).

use object::field::Errors;
use object::{Value, names};

use super::field::{Field, same};
use crate::NameRule;

const GROUP: &str = "rbac.authorization.k8s.io";
const ROLE: &str = "io.k8s.api.rbac.v1.Role";
const CLUSTER_ROLE: &str = "io.k8s.api.rbac.v1.ClusterRole";
const ROLE_BINDING: &str = "io.k8s.api.rbac.v1.RoleBinding";
const CLUSTER_ROLE_BINDING: &str = "io.k8s.api.rbac.v1.ClusterRoleBinding";

/// Checks a Role, except its metadata.
pub fn validate_role(role: &Value) -> Errors {
    validate_rules(&Field::root(role, ROLE), true)
}

/// Checks a ClusterRole, except its metadata.
pub fn validate_cluster_role(role: &Value) -> Errors {
    let root = Field::root(role, CLUSTER_ROLE);
    let mut errors = validate_rules(&root, false);
    let aggregation = root.child("aggregationRule");
    if aggregation.is_set() {
        let selectors = aggregation.child("clusterRoleSelectors");
        if selectors.is_empty() {
            selectors.required(
                &mut errors,
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            );
        }
        for selector in selectors.items() {
            errors.append(selector.selector().validate(&selector.path, false));
        }
    }
    errors
}

fn validate_rules(role: &Field<'_, '_>, namespaced: bool) -> Errors {
    let mut errors = Errors::new();
    role.child("rules").items().for_each(|rule| validate_rule(&mut errors, &rule, namespaced));
    errors
}

/// Checks a rule.
pub(super) fn validate_rule(errors: &mut Errors, rule: &Field<'_, '_>, namespaced: bool) {
    rule.child("verbs").check_present_with(errors, "verbs must contain at least one value");
    let (urls, groups) = (rule.child("nonResourceURLs"), rule.child("apiGroups"));
    let (resources, resource_names) = (rule.child("resources"), rule.child("resourceNames"));
    if !urls.is_empty() {
        if namespaced {
            urls.invalid(errors, "namespaced rules cannot apply to non-resource URLs");
        }
        if !(groups.is_empty() && resources.is_empty() && resource_names.is_empty()) {
            urls.invalid(errors, "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    groups.check_present_with(errors, "resource rules must supply at least one api group");
    resources.check_present_with(errors, "resource rules must supply at least one resource");
}

/// Checks a RoleBinding, except its metadata.
pub fn validate_role_binding(binding: &Value) -> Errors {
    validate_binding(&Field::root(binding, ROLE_BINDING), true)
}

/// Checks a ClusterRoleBinding, except its metadata.
pub fn validate_cluster_role_binding(binding: &Value) -> Errors {
    validate_binding(&Field::root(binding, CLUSTER_ROLE_BINDING), false)
}

/// Checks a change of a RoleBinding, except its metadata.
pub fn validate_role_binding_update(binding: &Value, old: &Value) -> Errors {
    let mut errors = validate_role_binding(binding);
    validate_role_stays(&mut errors, &Field::root(binding, ROLE_BINDING), old);
    errors
}

/// Checks a change of a ClusterRoleBinding, except its metadata.
pub fn validate_cluster_role_binding_update(binding: &Value, old: &Value) -> Errors {
    let mut errors = validate_cluster_role_binding(binding);
    validate_role_stays(&mut errors, &Field::root(binding, CLUSTER_ROLE_BINDING), old);
    errors
}

fn validate_role_stays(errors: &mut Errors, binding: &Field<'_, '_>, old: &Value) {
    let role = binding.child("roleRef");
    if !same(role.value, old.get("roleRef")) {
        role.invalid(errors, "cannot change roleRef");
    }
}

fn validate_binding(binding: &Field<'_, '_>, namespaced: bool) -> Errors {
    let mut errors = Errors::new();
    let role = binding.child("roleRef");
    let group = role.child("apiGroup");
    if group.text() != GROUP {
        group.not_supported(&mut errors, &[GROUP]);
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = role.child("kind");
    if !kinds.contains(&kind.text()) {
        kind.not_supported(&mut errors, kinds);
    }
    role.child("name").check_required(&mut errors, names::is_path_segment_name);
    binding.child("subjects").items().for_each(|subject| validate_subject(&mut errors, &subject, namespaced));
    errors
}

fn validate_subject(errors: &mut Errors, subject: &Field<'_, '_>, namespaced: bool) {
    let (kind, name, group) = (subject.child("kind"), subject.child("name"), subject.child("apiGroup"));
    name.check_present(errors);
    match kind.text() {
        "ServiceAccount" => {
            name.check_set(errors, |name| NameRule::Subdomain.check(name, false));
            if !group.is_empty() {
                group.not_supported(errors, &[""]);
            }
            if !namespaced {
                subject.child("namespace").check_present(errors);
            }
        }
        what @ ("User" | "Group") => {
            if name.is_empty() {
                errors.invalid(&name.path, "", format!("{} name cannot be empty", what.to_lowercase()));
            }
            if group.text() != GROUP {
                group.not_supported(errors, &[GROUP]);
            }
        }
        _ => kind.not_supported(errors, &["ServiceAccount", "User", "Group"]),
    }
}
