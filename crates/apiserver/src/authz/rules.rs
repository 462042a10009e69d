//! What a rule allows.

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

/// Whether a rule allows a verb on a path that is no resource.
pub fn allows_path(rule: &PolicyRule, verb: &str, path: &str) -> bool {
    let paths = rule.non_resource_urls.as_deref().unwrap_or_default();
    names(&rule.verbs, verb)
        && paths.iter().any(|pattern| {
            pattern == ALL
                || pattern == path
                || pattern.strip_suffix(ALL).is_some_and(|start| path.starts_with(start))
        })
}

/// Whether `owned` rules together allow everything that `wanted` allows. Who grants more than that escalates
/// (upstream: `rbac/validation.Covers`).
pub fn covers(owned: &[PolicyRule], wanted: &PolicyRule) -> bool {
    let one = |value: &str| Some(vec![value.to_owned()]);
    let list = |values: &Option<Vec<String>>| values.clone().unwrap_or_default();
    for verb in &wanted.verbs {
        for group in list(&wanted.api_groups) {
            for resource in list(&wanted.resources) {
                let mut object_names = list(&wanted.resource_names);
                if object_names.is_empty() {
                    object_names.push(String::new());
                }
                for name in object_names {
                    let single = PolicyRule {
                        api_groups: one(&group),
                        resources: one(&resource),
                        resource_names: (!name.is_empty()).then(|| vec![name.clone()]),
                        verbs: vec![verb.clone()],
                        non_resource_urls: None,
                    };
                    if !owned.iter().any(|rule| covers_single(rule, &single)) {
                        return false;
                    }
                }
            }
        }
        for path in list(&wanted.non_resource_urls) {
            if !owned.iter().any(|rule| allows_path(rule, verb, &path)) {
                return false;
            }
        }
    }
    true
}

/// Whether a rule allows what a rule of one verb, group, resource and name does.
fn covers_single(rule: &PolicyRule, single: &PolicyRule) -> bool {
    let first =
        |values: &Option<Vec<String>>| values.as_deref().and_then(|v| v.first().cloned()).unwrap_or_default();
    let resource = first(&single.resources);
    let (resource, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
    let own_names = rule.resource_names.as_deref().unwrap_or_default();
    let wanted_name = first(&single.resource_names);
    names(&rule.verbs, &single.verbs[0])
        && rule.api_groups.as_deref().is_some_and(|groups| names(groups, &first(&single.api_groups)))
        && rule.resources.as_deref().is_some_and(|resources| names_resource(resources, resource, subresource))
        && (own_names.is_empty() || own_names.contains(&wanted_name))
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
