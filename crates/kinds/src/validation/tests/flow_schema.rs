use super::*;
use crate::defaults::default_flow_schema;
use crate::validation::*;

fn schema() -> Value {
    value!({"metadata": {"name": "f"}, "spec": {
        "matchingPrecedence": 100, "priorityLevelConfiguration": {"name": "global-default"},
        "rules": [{
            "subjects": [{"kind": "User", "user": {"name": "u"}}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
        }]
    }})
}

#[track_caller]
fn check(patch: Value, expected: &[&str]) {
    check_all(&schema(), default_flow_schema, validate_flow_schema, &[(patch, expected)]);
}

fn spec(spec: Value) -> Value {
    value!({"spec": spec})
}

#[test]
fn flow_schemas() {
    check(value!({}), &[]);
    check(spec(value!({"rules": null, "distinguisherMethod": {"type": "ByNamespace"}})), &[]);
    check(
        spec(value!({"matchingPrecedence": (-1)})),
        &["spec.matchingPrecedence: Invalid value: -1: must be a positive value"],
    );
    check(spec(value!({"matchingPrecedence": 10000})), &[]);
    check(
        spec(value!({"matchingPrecedence": 10001})),
        &["spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000"],
    );
    check(
        spec(value!({"matchingPrecedence": 1})),
        &[
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        ],
    );
    check(
        spec(value!({"distinguisherMethod": {"type": "Odd"}})),
        &[
            r#"spec.distinguisherMethod.type: Unsupported value: {"type":"Odd"}: supported values: "ByNamespace", "ByUser""#,
        ],
    );
    check(
        spec(value!({"priorityLevelConfiguration": null})),
        &["spec.priorityLevelConfiguration.name: Required value: must reference a priority level"],
    );
    check(
        spec(value!({"priorityLevelConfiguration": {"name": "-"}})),
        &[&format!(r#"spec.priorityLevelConfiguration.name: Invalid value: "-": {SUBDOMAIN}"#)],
    );
    check(
        value!({"status": {"conditions": [{"type": "Dangling"}, {"type": "Dangling"}, {}]}}),
        &[
            r#"status.conditions[1].type: Duplicate value: "Dangling""#,
            "status.conditions[2].type: Required value: must not be empty",
        ],
    );
    let dangling = value!({"status": {"conditions": [{}]}});
    assert_eq!(
        lines(validate_flow_schema_status_update(&dangling, &schema())),
        ["status.conditions[0].type: Required value: must not be empty"]
    );
}

#[test]
fn subjects_of_flow_schemas() {
    let subject = |subject: Value, expected: &[&str]| {
        let rule = value!({
            "subjects": [subject], "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/"]}]
        });
        let expected: Vec<String> =
            expected.iter().map(|line| format!("spec.rules[0].subjects[0].{line}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(spec(value!({"rules": [rule]})), &expected);
    };
    subject(value!({"kind": "Group", "group": {"name": "g"}}), &[]);
    subject(value!({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "n"}}), &[]);
    subject(
        value!({"kind": "Odd"}),
        &[r#"kind: Unsupported value: "Odd": supported values: "Group", "ServiceAccount", "User""#],
    );
    subject(
        value!({"kind": "ServiceAccount", "user": {"name": "u"}, "group": {"name": "g"}}),
        &[
            "serviceAccount: Required value: serviceAccount is required when subject kind is 'ServiceAccount'",
            "user: Forbidden: user is forbidden when subject kind is not 'User'",
            "group: Forbidden: group is forbidden when subject kind is not 'Group'",
        ],
    );
    subject(
        value!({"kind": "ServiceAccount", "serviceAccount": {}}),
        &[
            "serviceAccount.name: Required value",
            "serviceAccount.namespace: Required value: must specify namespace for service account",
        ],
    );
    subject(value!({"kind": "User", "user": {}}), &["user.name: Required value"]);
    subject(
        value!({"kind": "Group", "serviceAccount": {"name": "a", "namespace": "n"}}),
        &[
            "group: Required value: group is required when subject kind is 'Group'",
            "serviceAccount: Forbidden: serviceAccount is forbidden when subject kind is not 'ServiceAccount'",
        ],
    );
}

/// Checks a rule, whose errors have paths below it.
#[track_caller]
fn check_rule(patch: Value, expected: &[&str]) {
    let rule = value!({"subjects": [{"kind": "User", "user": {"name": "u"}}]});
    let rule = merge_patch(rule, patch).unwrap();
    let expected: Vec<String> = expected.iter().map(|line| format!("spec.rules[0]{line}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    check(spec(value!({"rules": [rule]})), &expected);
}

#[test]
fn rules_of_flow_schemas() {
    let resources = |patch: Value| {
        let rule = value!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["n"]});
        value!({"resourceRules": [merge_patch(rule, patch).unwrap()]})
    };
    check_rule(
        value!({"subjects": []}),
        &[
            ".subjects: Required value: subjects must contain at least one value",
            ": Required value: at least one of resourceRules and nonResourceRules has to be non-empty",
        ],
    );
    check_rule(resources(value!({})), &[]);
    check_rule(resources(value!({"namespaces": null, "clusterScope": true})), &[]);
    check_rule(
        resources(value!({"verbs": null, "apiGroups": null, "resources": null, "namespaces": null})),
        &[
            ".resourceRules[0].verbs: Required value: verbs must contain at least one value",
            ".resourceRules[0].apiGroups: Required value: resource rules must supply at least one api group",
            ".resourceRules[0].resources: Required value: resource rules must supply at least one resource",
            ".resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
        ],
    );
    check_rule(
        resources(value!({
            "verbs": ["*", "get"], "apiGroups": ["*", ""], "resources": ["*", "pods"], "namespaces": ["*", "n"]
        })),
        &[
            r#".resourceRules[0].verbs: Invalid value: ["*","get"]: if '*' is present, must not specify other verbs"#,
            r#".resourceRules[0].apiGroups: Invalid value: ["*",""]: if '*' is present, must not specify other api groups"#,
            r#".resourceRules[0].resources: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources"#,
            r#".resourceRules[0].namespaces: Invalid value: ["*","n"]: if '*' is present, must not specify other namespaces"#,
        ],
    );
    check_rule(
        resources(value!({"verbs": ["odd"], "namespaces": ["a.b"]})),
        &[
            r#".resourceRules[0].verbs: Unsupported value: ["odd"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch""#,
            r#".resourceRules[0].namespaces[0]: Invalid value: "a.b": each member of this list must be '*' or a DNS-1123 label; must not contain dots"#,
        ],
    );
}

#[test]
fn paths_of_flow_schemas() {
    let paths = |urls: Value, expected: &[&str]| {
        let expected: Vec<String> =
            expected.iter().map(|line| format!(".nonResourceRules[0].nonResourceURLs{line}")).collect();
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check_rule(value!({"nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": urls}]}), &expected);
    };
    paths(value!(["/", "/healthz", "/apis/*"]), &[]);
    paths(value!([]), &[": Required value: nonResourceURLs must contain at least one value"]);
    paths(
        value!(["*", "/a"]),
        &[r#": Invalid value: ["*","/a"]: if '*' is present, must not specify other non-resource URLs"#],
    );
    paths(
        value!(["", "a", "/a b", "/a//b", "/a*", "/*/*"]),
        &[
            r#"[0]: Invalid value: "": must not be empty"#,
            r#"[1]: Invalid value: "a": must start with slash"#,
            r#"[2]: Invalid value: "/a b": must not contain white-space"#,
            r#"[3]: Invalid value: "/a//b": must not contain double slash"#,
            r#"[4]: Invalid value: "/a*": wildcard can only do suffix matching"#,
            r#"[5]: Invalid value: "/*/*": wildcard can only do suffix matching"#,
        ],
    );
}

#[test]
fn schemas_of_the_system_are_fixed() {
    let everything = |groups: &[&str]| {
        let subjects: Vec<Value> =
            groups.iter().map(|name| value!({"kind": "Group", "group": {"name": *name}})).collect();
        value!([{
            "subjects": subjects,
            "resourceRules": [
                {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true, "namespaces": ["*"]}
            ],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
        }])
    };
    let exempt = value!({"metadata": {"name": "exempt"}, "spec": {
        "matchingPrecedence": 1, "priorityLevelConfiguration": {"name": "exempt"},
        "rules": (everything(&["system:masters"]))
    }});
    let rest = value!({"metadata": {"name": "catch-all"}, "spec": {
        "matchingPrecedence": 10000, "priorityLevelConfiguration": {"name": "catch-all"},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": (everything(&["system:unauthenticated", "system:authenticated"]))
    }});
    for schema in [exempt, rest] {
        assert!(validate_flow_schema(&schema).is_empty());
        let other = patched(&schema, &spec(value!({"matchingPrecedence": 5, "rules": null})), |_| ());
        let wrong = lines(validate_flow_schema(&other));
        let name = schema.str_at("metadata.name");
        assert_eq!(wrong.len(), 1);
        assert!(wrong[0].starts_with("spec: Invalid value: {"), "{wrong:?}");
        assert!(wrong[0].ends_with(&format!("spec of '{name}' must equal the fixed value")), "{wrong:?}");
    }
}
