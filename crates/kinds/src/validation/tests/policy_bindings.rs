use super::policies::{check, mutating, rules, validating};
use super::*;
use crate::defaults::default_policy_binding;
use crate::strategy;
use crate::validation::*;

const NONE: [&str; 0] = [];

/// Either binding, whose spec is changed by a merge patch, filled in.
fn binding(spec: Value) -> Value {
    let binding = value!({
        "metadata": {"name": "b"}, "spec": {"policyName": "p.example.com", "validationActions": ["Deny"]}
    });
    patched(&binding, &value!({"spec": spec}), default_policy_binding)
}

fn mutating_binding(spec: Value) -> Value {
    let mut binding = binding(spec);
    binding.entry("spec").remove("validationActions");
    binding
}

#[track_caller]
fn check_binding(spec: Value, expected: &[&str]) {
    check(validate_validating_admission_policy_binding, binding, spec, expected);
}

#[track_caller]
fn check_mutating_binding(spec: Value, expected: &[&str]) {
    check(validate_mutating_admission_policy_binding, mutating_binding, spec, expected);
}

#[test]
fn bindings() {
    let reference = |patch: Value| {
        let reference = value!({"name": "a", "parameterNotFoundAction": "Deny"});
        value!({"paramRef": merge_patch(reference, patch).unwrap()})
    };
    for check in [check_binding, check_mutating_binding] {
        check(value!({}), &[]);
        check(value!({"policyName": ""}), &["spec.policyName: Required value"]);
        check(
            value!({"policyName": "-"}),
            &[
                r#"spec.policyName: Invalid value: "-": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
            ],
        );
        check(reference(value!({"parameterNotFoundAction": "Allow", "namespace": "n"})), &[]);
        check(reference(value!({"name": null, "selector": {}})), &[]);
        check(
            reference(
                value!({"name": "..", "selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}}),
            ),
            &[
                r#"spec.paramRef.name: Invalid value: "..": may not be '..'"#,
                "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
                "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
            ],
        );
        check(
            reference(value!({"name": null, "parameterNotFoundAction": null})),
            &[
                "spec.paramRef: Required value: one of name or selector must be specified",
                "spec.paramRef.parameterNotFoundAction: Required value",
            ],
        );
        check(
            reference(value!({"parameterNotFoundAction": "Warn"})),
            &[
                r#"spec.paramRef.parameterNotFoundAction: Unsupported value: "Warn": supported values: "Deny", "Allow""#,
            ],
        );
        // A binding need not say which resources it is about.
        check(value!({"matchResources": {}}), &[]);
        check(
            value!({"matchResources": {"matchPolicy": "Same", "resourceRules": [{"operations": ["CREATE"]}]}}),
            &[
                r#"spec.matchResources.matchPolicy: Unsupported value: "Same": supported values: "Equivalent", "Exact""#,
                "spec.matchResources.resourceRules[0].apiGroups: Required value",
                "spec.matchResources.resourceRules[0].apiVersions: Required value",
                "spec.matchResources.resourceRules[0].resources: Required value",
            ],
        );
    }
    let deleting = value!({"matchResources": merge_patch(rules(), value!({})).unwrap()});
    check_mutating_binding(deleting.clone(), &[]);
    let rule = rules().get("resourceRules").items().next().unwrap().clone();
    let rule = merge_patch(rule, value!({"operations": ["DELETE"]})).unwrap();
    let deleting = value!({"matchResources": {"resourceRules": [rule]}});
    check_binding(deleting.clone(), &[]);
    check_mutating_binding(
        deleting,
        &[
            r#"spec.matchResources.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE""#,
        ],
    );
}

#[test]
fn actions_of_bindings() {
    let actions = |list: Value| value!({"validationActions": list});
    check_binding(actions(value!(["Deny", "Audit"])), &[]);
    check_binding(actions(value!([])), &["spec.validationActions: Required value"]);
    check_binding(
        actions(value!(["Log", "Warn", "Warn"])),
        &[
            r#"spec.validationActions[0]: Unsupported value: "Log": supported values: "Audit", "Deny", "Warn""#,
            r#"spec.validationActions[2]: Duplicate value: "Warn""#,
        ],
    );
    check_binding(
        actions(value!(["Deny", "Warn"])),
        &[
            r#"spec.validationActions: Invalid value: ["Deny","Warn"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)"#,
        ],
    );
}

#[test]
fn names_for_files_are_reserved() {
    let why = r#"names ending with ".static.k8s.io" are reserved for static manifest-based configurations and cannot be managed via the API"#;
    let (policies, bindings) = ("admissionpolicies", "admissionpolicybindings");
    let kinds = [
        (format!("validating{policies}"), validating(value!({}))),
        (format!("mutating{policies}"), mutating(value!({}))),
        (format!("validating{bindings}"), binding(value!({}))),
        (format!("mutating{bindings}"), mutating_binding(value!({}))),
        ("validatingwebhookconfigurations".to_owned(), value!({})),
        ("mutatingwebhookconfigurations".to_owned(), value!({})),
    ];
    for (plural, mut object) in kinds {
        let strategy = strategy("admissionregistration.k8s.io", &plural);
        assert_eq!(strategy.warnings(&object, Some(&object)), NONE, "{plural}");
        object.entry("metadata").set("name", "a.static.k8s.io");
        let refused = [format!(r#"metadata.name: Invalid value: "a.static.k8s.io": {why}"#)];
        assert_eq!(lines(strategy.validate(&object)), refused, "{plural}");
        // One that has such a name from before can be changed.
        assert_eq!(lines(strategy.validate_update(&object, &object)), NONE, "{plural}");
        assert_eq!(strategy.warnings(&object, None), NONE, "{plural}");
        assert_eq!(strategy.warnings(&object, Some(&object)), [format!("metadata.name: {why}")], "{plural}");
    }
}
