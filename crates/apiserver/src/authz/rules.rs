//! Matching requests against the rules of roles.

use k8s_openapi::api::rbac::v1::PolicyRule;

const ALL: &str = "*";

/// Whether a rule allows a verb on a resource.
pub fn allows_resource(
    rule: &PolicyRule,
    verb: &str,
    group: &str,
    resource: &str,
    subresource: &str,
    name: &str,
) -> bool {
    names(&rule.verbs, verb)
        && rule.api_groups.as_deref().is_some_and(|groups| names(groups, group))
        && rule.resources.as_deref().is_some_and(|resources| names_resource(resources, resource, subresource))
        && rule.resource_names.as_deref().is_none_or(|list| list.is_empty() || list.iter().any(|n| n == name))
}

/// Whether a rule allows a verb on a non-resource path.
pub fn allows_path(rule: &PolicyRule, verb: &str, path: &str) -> bool {
    let paths = rule.non_resource_urls.as_deref().unwrap_or_default();
    names(&rule.verbs, verb)
        && paths.iter().any(|pattern| {
            pattern == ALL
                || pattern == path
                || pattern.strip_suffix(ALL).is_some_and(|start| path.starts_with(start))
        })
}

fn names(list: &[String], value: &str) -> bool {
    list.iter().any(|item| item == ALL || item == value)
}

fn names_resource(list: &[String], resource: &str, subresource: &str) -> bool {
    list.iter().any(|item| {
        if item == ALL {
            return true;
        }
        match item.split_once('/') {
            None => subresource.is_empty() && item == resource,
            Some((owner, sub)) => {
                !subresource.is_empty() && sub == subresource && (owner == ALL || owner == resource)
            }
        }
    })
}
