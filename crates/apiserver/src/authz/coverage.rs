//! Whether rules allow at least as much as other rules: users cannot grant rights that they do not have (upstream:
//! `component-helpers/auth/rbac/validation.Covers`).

use std::collections::{BTreeMap, BTreeSet, HashSet};

use k8s_openapi::api::rbac::v1::PolicyRule;
use object::quote;

/// How many single permissions rules may stand for that are compared with rules that cover them only together. Four lists
/// multiply, so a small object could otherwise cause unlimited work.
const PERMISSIONS_MAX: usize = 1 << 14;
/// How often rules or permissions may be compared with an owned rule.
const STEPS_MAX: usize = 1 << 24;
/// How many bytes of missing permissions are listed: more would not help anybody, and may be far more than the rules.
const LISTED_BYTES_MAX: usize = 64 << 10;

/// Rules with more permissions than are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

/// The permissions of the wanted rules beyond the owned ones, one per rule; empty if they are covered. If there are very
/// many, only the first.
///
/// # Errors
/// [`TooLarge`] for rules that no single owned rule covers and that stand for too many permissions.
pub fn missing(owned: &[PolicyRule], wanted: &[PolicyRule]) -> Result<Vec<PolicyRule>, TooLarge> {
    let owned: Vec<Owned<'_>> = owned.iter().map(Owned::new).collect();
    let comparable = STEPS_MAX / owned.len().max(1);
    if wanted.len() > comparable {
        return Err(TooLarge);
    }
    let (mut left, mut bytes, mut missing) = (PERMISSIONS_MAX.min(comparable), 0, Vec::new());
    for rule in wanted {
        if owned.iter().any(|own| own.covers_whole(rule)) {
            continue;
        }
        left = left.checked_sub(count(rule)).ok_or(TooLarge)?;
        for permission in permissions_of(rule) {
            if bytes > LISTED_BYTES_MAX {
                return Ok(missing);
            }
            if !owned.iter().any(|own| own.covers_one(&permission)) {
                bytes += permission.bytes();
                missing.push(PolicyRule::from(&permission));
            }
        }
    }
    Ok(missing)
}

/// How many single permissions a rule stands for.
fn count(rule: &PolicyRule) -> usize {
    let count = |values: &Option<Vec<String>>| list(values).len();
    let resources = count(&rule.api_groups)
        .saturating_mul(count(&rule.resources))
        .saturating_mul(count(&rule.resource_names).max(1));
    resources.saturating_add(count(&rule.non_resource_urls)).saturating_mul(rule.verbs.len())
}

/// One permission: a verb on a path, or on a resource with or without a name.
enum Permission<'a> {
    Path { verb: &'a str, path: &'a str },
    Resource { verb: &'a str, group: &'a str, resource: &'a str, name: Option<&'a str> },
}

impl Permission<'_> {
    fn bytes(&self) -> usize {
        match self {
            Permission::Path { verb, path } => verb.len() + path.len(),
            Permission::Resource { verb, group, resource, name } => {
                verb.len() + group.len() + resource.len() + name.map_or(0, str::len)
            }
        }
    }
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

/// An owned rule, made for many comparisons.
struct Owned<'a> {
    verbs: HashSet<&'a str>,
    groups: HashSet<&'a str>,
    resources: HashSet<&'a str>,
    /// Empty for all. `*` is an ordinary name here.
    names: HashSet<&'a str>,
    patterns: &'a [String],
}

impl<'a> Owned<'a> {
    fn new(rule: &'a PolicyRule) -> Owned<'a> {
        let set = |values: &'a [String]| values.iter().map(String::as_str).collect();
        Owned {
            verbs: set(&rule.verbs),
            groups: set(list(&rule.api_groups)),
            resources: set(list(&rule.resources)),
            names: set(list(&rule.resource_names)),
            patterns: list(&rule.non_resource_urls),
        }
    }

    fn covers_one(&self, wanted: &Permission<'_>) -> bool {
        match *wanted {
            Permission::Path { verb, path } => {
                // A rule with names applies only to resources.
                has(&self.verbs, verb)
                    && self.names.is_empty()
                    && self.patterns.iter().any(|pattern| covers_path(pattern, path))
            }
            Permission::Resource { verb, group, resource, name } => {
                has(&self.verbs, verb)
                    && has(&self.groups, group)
                    && self.covers_resource(resource)
                    && (self.names.is_empty() || name.is_some_and(|name| self.names.contains(name)))
            }
        }
    }

    /// Whether this rule covers another in every list, in time that grows with the lists of the other only.
    fn covers_whole(&self, wanted: &PolicyRule) -> bool {
        let (names, paths) = (list(&wanted.resource_names), list(&wanted.non_resource_urls));
        wanted.verbs.iter().all(|verb| has(&self.verbs, verb))
            && list(&wanted.api_groups).iter().all(|group| has(&self.groups, group))
            && list(&wanted.resources).iter().all(|resource| self.covers_resource(resource))
            && (self.names.is_empty()
                || (!names.is_empty() && names.iter().all(|name| self.names.contains(name.as_str()))))
            && self.patterns.len().saturating_mul(paths.len()) <= PERMISSIONS_MAX
            && paths.iter().all(|path| self.patterns.iter().any(|pattern| covers_path(pattern, path)))
    }

    /// Whether the owned resources cover one: all do, the same does, and `*/PART` covers that part of every resource.
    fn covers_resource(&self, wanted: &str) -> bool {
        let of_part = |part: &str| self.resources.contains(format!("*/{part}").as_str());
        has(&self.resources, wanted) || wanted.split_once('/').is_some_and(|(_, part)| of_part(part))
    }
}

fn has(values: &HashSet<&str>, wanted: &str) -> bool {
    values.contains("*") || values.contains(wanted)
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
