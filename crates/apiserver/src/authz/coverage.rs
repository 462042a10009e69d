//! Whether rules allow at least as much as other rules: users cannot grant rights that they do not have (upstream:
//! `component-helpers/auth/rbac/validation.Covers`).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use k8s_openapi::api::rbac::v1::PolicyRule;
use object::quote;

/// How many single permissions a rule may stand for when it is compared with rules that cover it only together. Four
/// lists multiply, so a small object could otherwise cause unlimited work.
const PERMISSIONS_MAX: usize = 1 << 14;

/// A rule with more permissions than are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// The permissions of the wanted rules beyond the owned ones, one per rule; empty if they are covered.
///
/// # Errors
/// [`TooLarge`] for a rule that no single owned rule covers and that stands for too many permissions.
pub fn missing(owned: &[PolicyRule], wanted: &[PolicyRule]) -> Result<Vec<PolicyRule>, TooLarge> {
    let mut missing = Vec::new();
    for rule in wanted {
        if owned.iter().any(|own| covers_whole(own, rule)) {
            continue;
        }
        let count = |values: &Option<Vec<String>>| values.as_ref().map_or(0, Vec::len);
        let resources = count(&rule.api_groups)
            .saturating_mul(count(&rule.resources))
            .saturating_mul(count(&rule.resource_names).max(1));
        let permissions = resources.saturating_add(count(&rule.non_resource_urls));
        if permissions.saturating_mul(rule.verbs.len()) > PERMISSIONS_MAX {
            return Err(TooLarge);
        }
        let mut permissions = permissions_of(rule);
        permissions.retain(|one| !owned.iter().any(|own| covers_one(own, one)));
        missing.extend(permissions.iter().map(PolicyRule::from));
    }
    Ok(missing)
}

/// One permission: a verb on a path, or on a resource with or without a name.
enum Permission<'a> {
    Path { verb: &'a str, path: &'a str },
    Resource { verb: &'a str, group: &'a str, resource: &'a str, name: Option<&'a str> },
}

impl From<&Permission<'_>> for PolicyRule {
    fn from(permission: &Permission<'_>) -> PolicyRule {
        let one = |text: &str| Some(vec![text.to_owned()]);
        match permission {
            Permission::Path { verb, path } => PolicyRule {
                verbs: vec![(*verb).to_owned()],
                non_resource_urls: one(path),
                ..PolicyRule::default()
            },
            Permission::Resource { verb, group, resource, name } => PolicyRule {
                verbs: vec![(*verb).to_owned()],
                api_groups: one(group),
                resources: one(resource),
                resource_names: name.and_then(one),
                non_resource_urls: None,
            },
        }
    }
}

fn list(values: &Option<Vec<String>>) -> &[String] {
    values.as_deref().unwrap_or_default()
}

fn permissions_of(rule: &PolicyRule) -> Vec<Permission<'_>> {
    let names = match list(&rule.resource_names) {
        [] => vec![None],
        names => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let mut all = Vec::new();
    for group in list(&rule.api_groups) {
        for resource in list(&rule.resources) {
            for verb in &rule.verbs {
                all.extend(names.iter().map(|name| Permission::Resource {
                    verb,
                    group,
                    resource,
                    name: *name,
                }));
            }
        }
    }
    for path in list(&rule.non_resource_urls) {
        all.extend(rule.verbs.iter().map(|verb| Permission::Path { verb, path }));
    }
    all
}

fn covers_one(own: &PolicyRule, wanted: &Permission<'_>) -> bool {
    match *wanted {
        Permission::Path { verb, path } => {
            // A rule with names applies only to resources.
            has(&own.verbs, verb)
                && list(&own.resource_names).is_empty()
                && list(&own.non_resource_urls).iter().any(|pattern| covers_path(pattern, path))
        }
        Permission::Resource { verb, group, resource, name } => {
            let names = list(&own.resource_names);
            has(&own.verbs, verb)
                && has(list(&own.api_groups), group)
                && covers_resource(|one| list(&own.resources).iter().any(|item| item == one), resource)
                && (names.is_empty() || name.is_some_and(|name| names.iter().any(|own| own == name)))
        }
    }
}

/// Whether one rule covers another in every list, in time that grows with the lists only.
fn covers_whole(own: &PolicyRule, wanted: &PolicyRule) -> bool {
    let set = |values: &[String]| -> HashSet<String> { values.iter().cloned().collect() };
    let has_all = |own: &[String], wanted: &[String]| {
        let own = set(own);
        own.contains("*") || wanted.iter().all(|one| own.contains(one))
    };
    let resources = set(list(&own.resources));
    let (own_names, names) = (list(&own.resource_names), list(&wanted.resource_names));
    let (patterns, paths) = (list(&own.non_resource_urls), list(&wanted.non_resource_urls));
    has_all(&own.verbs, &wanted.verbs)
        && has_all(list(&own.api_groups), list(&wanted.api_groups))
        && list(&wanted.resources).iter().all(|one| covers_resource(|own| resources.contains(own), one))
        && (own_names.is_empty() || (!names.is_empty() && has_all_literally(own_names, names)))
        && patterns.len().saturating_mul(paths.len()) <= PERMISSIONS_MAX
        && paths.iter().all(|path| patterns.iter().any(|pattern| covers_path(pattern, path)))
}

/// `*` is an ordinary name here.
fn has_all_literally(own: &[String], wanted: &[String]) -> bool {
    let own: HashSet<&str> = own.iter().map(String::as_str).collect();
    wanted.iter().all(|one| own.contains(one.as_str()))
}

fn has(values: &[String], wanted: &str) -> bool {
    values.iter().any(|value| value == "*" || value == wanted)
}

/// Whether owned resources cover one: all do, the same does, and `*/PART` covers that part of every resource.
fn covers_resource(owns: impl Fn(&str) -> bool, wanted: &str) -> bool {
    owns("*") || owns(wanted) || wanted.split_once('/').is_some_and(|(_, part)| owns(&format!("*/{part}")))
}

fn covers_path(pattern: &str, path: &str) -> bool {
    pattern == path || (pattern.ends_with('*') && path.starts_with(pattern.trim_end_matches('*')))
}

/// Permissions as upstream lists them, one line each: those of one resource or object together.
pub fn describe(permissions: &[PolicyRule]) -> String {
    let mut lines: BTreeSet<String> = BTreeSet::new();
    let mut verbs: BTreeMap<(String, String, Option<String>), Vec<String>> = BTreeMap::new();
    for rule in permissions {
        let first = |values: &Option<Vec<String>>| list(values).first().cloned();
        match (first(&rule.api_groups), first(&rule.resources)) {
            (Some(group), Some(resource)) => {
                let key = (group, resource, first(&rule.resource_names));
                verbs.entry(key).or_default().extend(rule.verbs.iter().cloned());
            }
            _ => {
                lines.insert(describe_one(rule));
            }
        }
    }
    for ((group, resource, name), verbs) in verbs {
        lines.insert(describe_one(&PolicyRule {
            verbs,
            api_groups: Some(vec![group]),
            resources: Some(vec![resource]),
            resource_names: name.map(|name| vec![name]),
            non_resource_urls: None,
        }));
    }
    lines.into_iter().collect::<Vec<_>>().join("\n")
}

fn describe_one(rule: &PolicyRule) -> String {
    let lists = [
        ("APIGroups", list(&rule.api_groups)),
        ("Resources", list(&rule.resources)),
        ("NonResourceURLs", list(&rule.non_resource_urls)),
        ("ResourceNames", list(&rule.resource_names)),
        ("Verbs", &rule.verbs),
    ];
    let parts = lists.into_iter().filter(|(_, values)| !values.is_empty());
    let parts = parts.map(|(name, values)| format!("{name}:{}", quote_all(values)));
    format!("{{{}}}", parts.collect::<Vec<_>>().join(", "))
}

/// A list as Go prints it with `%q`.
pub fn quote_all(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| quote(value)).collect();
    format!("[{}]", quoted.join(" "))
}
