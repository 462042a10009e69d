//! FlowSchemas (`pkg/apis/flowcontrol/validation`).

use std::collections::HashSet;

use object::field::Errors;
use object::{Value, names, value};

use super::field::{Field, same};

const SCHEMA: &str = "io.k8s.api.flowcontrol.v1.FlowSchema";
const PRECEDENCE_MAX: i64 = 10_000;
/// The schema of the system's masters.
const EXEMPT: &str = "exempt";
/// Stands for all verbs, groups, resources, namespaces or paths.
const ALL: &str = "*";
const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// Checks a FlowSchema, except its metadata.
pub fn validate_flow_schema(schema: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(schema, SCHEMA);
    let (spec, name) = (root.child("spec"), schema.str_at("metadata.name"));
    validate_precedence(&mut errors, &spec.child("matchingPrecedence"), name);
    let method = spec.child("distinguisherMethod");
    let kind = method.child("type");
    if method.is_set() && !["ByNamespace", "ByUser"].contains(&kind.text()) {
        errors.not_supported(&kind.path, method.value.clone(), &["ByNamespace", "ByUser"]);
    }
    let level = spec.child("priorityLevelConfiguration");
    let level = level.child("name");
    match level.text() {
        "" => level.required(&mut errors, "must reference a priority level"),
        _ => level.check(&mut errors, names::is_dns1123_subdomain),
    }
    spec.child("rules").items().for_each(|rule| validate_rule(&mut errors, &rule));
    if mandatory(name).is_some_and(|fixed| !same(spec.value, &fixed)) {
        spec.invalid(&mut errors, format!("spec of '{name}' must equal the fixed value"));
    }
    validate_conditions(&mut errors, &root.child("status"));
    errors
}

fn validate_precedence(errors: &mut Errors, precedence: &Field<'_, '_>, schema: &str) {
    let (number, path) = (precedence.number(), &precedence.path);
    if number <= 0 {
        errors.invalid(path, number, "must be a positive value");
    }
    if number > PRECEDENCE_MAX {
        errors.invalid(path, number, format!("must not be greater than {PRECEDENCE_MAX}"));
    }
    if number == 1 && schema != EXEMPT {
        errors.invalid(path, number, "only the schema named 'exempt' may have matchingPrecedence 1");
    }
}

/// The spec that a schema of the system has in every cluster.
fn mandatory(name: &str) -> Option<Value> {
    let everything = |groups: &[&str]| {
        let subjects: Vec<Value> =
            groups.iter().map(|group| value!({"kind": "Group", "group": {"name": *group}})).collect();
        value!([{
            "subjects": subjects,
            "resourceRules": [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}
            ],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
        }])
    };
    match name {
        EXEMPT => Some(value!({
            "priorityLevelConfiguration": {"name": EXEMPT}, "matchingPrecedence": 1,
            "rules": (everything(&["system:masters"]))
        })),
        "catch-all" => Some(value!({
            "priorityLevelConfiguration": {"name": "catch-all"}, "matchingPrecedence": PRECEDENCE_MAX,
            "distinguisherMethod": {"type": "ByUser"},
            "rules": (everything(&["system:unauthenticated", "system:authenticated"]))
        })),
        _ => None,
    }
}

fn validate_rule(errors: &mut Errors, rule: &Field<'_, '_>) {
    let subjects = rule.child("subjects");
    subjects.check_present_with(errors, "subjects must contain at least one value");
    subjects.items().for_each(|subject| validate_subject(errors, &subject));
    let (resources, paths) = (rule.child("resourceRules"), rule.child("nonResourceRules"));
    if resources.is_empty() && paths.is_empty() {
        rule.required(errors, "at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    resources.items().for_each(|rule| validate_resource_rule(errors, &rule));
    for rule in paths.items() {
        validate_verbs(errors, &rule.child("verbs"));
        validate_paths(errors, &rule.child("nonResourceURLs"));
    }
}

/// Checks who makes the requests: the member that belongs to the kind, and no other one.
fn validate_subject(errors: &mut Errors, subject: &Field<'_, '_>) {
    const MEMBERS: [(&str, &str); 3] =
        [("serviceAccount", "ServiceAccount"), ("user", "User"), ("group", "Group")];
    let kind = subject.child("kind");
    let Some((own, _)) = MEMBERS.iter().find(|(_, of)| *of == kind.text()) else {
        return kind.not_supported(errors, &["Group", "ServiceAccount", "User"]);
    };
    let member = subject.child(own);
    let name = member.child("name");
    match member.is_set() {
        false => {
            member.required(errors, &format!("{own} is required when subject kind is '{}'", kind.text()))
        }
        true if *own == "serviceAccount" => {
            if name.text() != ALL {
                name.check_required(errors, names::is_dns1123_subdomain);
            }
            let namespace = member.child("namespace");
            match namespace.text() {
                "" => namespace.required(errors, "must specify namespace for service account"),
                _ => namespace.check(errors, names::is_dns1123_label),
            }
        }
        true => name.check_present(errors),
    }
    for (name, of) in MEMBERS.iter().filter(|(name, _)| name != own) {
        let other = subject.child(name);
        if other.is_set() {
            other.forbidden(errors, format!("{name} is forbidden when subject kind is not '{of}'"));
        }
    }
}

fn validate_resource_rule(errors: &mut Errors, rule: &Field<'_, '_>) {
    validate_verbs(errors, &rule.child("verbs"));
    for (name, missing, what) in
        [("apiGroups", "api group", "api groups"), ("resources", "resource", "resources")]
    {
        let list = rule.child(name);
        list.check_present_with(errors, &format!("resource rules must supply at least one {missing}"));
        validate_wildcard(errors, &list, what);
    }
    let namespaces = rule.child("namespaces");
    if namespaces.is_empty() && !rule.child("clusterScope").is_true() {
        let why = "resource rules that are not cluster scoped must supply at least one namespace";
        namespaces.required(errors, why);
    } else if has_all(&namespaces) {
        validate_wildcard(errors, &namespaces, "namespaces");
    } else {
        let form = "each member of this list must be '*' or a DNS-1123 label; ";
        for namespace in namespaces.items() {
            namespace.check(errors, |name| {
                names::is_dns1123_label(name).into_iter().map(|why| format!("{form}{why}")).collect()
            });
        }
    }
}

fn validate_verbs(errors: &mut Errors, verbs: &Field<'_, '_>) {
    if verbs.is_empty() {
        verbs.required(errors, "verbs must contain at least one value");
    } else if has_all(verbs) {
        validate_wildcard(errors, verbs, "verbs");
    } else if !verbs.items().all(|verb| VERBS.contains(&verb.text())) {
        errors.not_supported(&verbs.path, verbs.value.clone(), &VERBS);
    }
}

fn validate_paths(errors: &mut Errors, paths: &Field<'_, '_>) {
    if paths.is_empty() {
        paths.required(errors, "nonResourceURLs must contain at least one value");
    } else if has_all(paths) {
        validate_wildcard(errors, paths, "non-resource URLs");
    } else {
        for path in paths.items() {
            if let Some(why) = wrong_path(path.text()) {
                path.invalid(errors, why);
            }
        }
    }
}

/// What is wrong with a path, which may end in a wildcard.
fn wrong_path(path: &str) -> Option<&'static str> {
    match path {
        "" => Some("must not be empty"),
        "/" => None,
        path if !path.starts_with('/') => Some("must start with slash"),
        path if path.contains(' ') => Some("must not contain white-space"),
        path if path.contains("//") => Some("must not contain double slash"),
        path => match path.matches('*').count() {
            0 => None,
            1 if path.ends_with("/*") => None,
            _ => Some("wildcard can only do suffix matching"),
        },
    }
}

fn has_all(list: &Field<'_, '_>) -> bool {
    list.items().any(|item| item.text() == ALL)
}

/// The wildcard stands alone.
fn validate_wildcard(errors: &mut Errors, list: &Field<'_, '_>, what: &str) {
    if list.len() > 1 && has_all(list) {
        list.invalid(errors, format!("if '*' is present, must not specify other {what}"));
    }
}

/// Checks a change of a FlowSchema's status, except its metadata.
pub fn validate_flow_schema_status_update(schema: &Value, _old: &Value) -> Errors {
    let mut errors = Errors::new();
    validate_conditions(&mut errors, &Field::root(schema, SCHEMA).child("status"));
    errors
}

/// Checks the conditions of a status of flow control.
pub(super) fn validate_conditions(errors: &mut Errors, status: &Field<'_, '_>) {
    let mut seen = HashSet::new();
    for condition in status.child("conditions").items() {
        let kind = condition.child("type");
        if !seen.insert(kind.text()) {
            errors.push_with(|| object::field::Error::duplicate(&kind.path, kind.text()));
        }
        kind.check_present_with(errors, "must not be empty");
    }
}
