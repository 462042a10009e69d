use super::*;
use crate::defaults::default_policy;
use crate::validation::*;

const NONE: [&str; 0] = [];
const UNKNOWN_PARAMS: &str = "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.ok\n | ^";

pub(super) fn rules() -> Value {
    value!({"resourceRules": [
        {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    ]})
}

/// A ValidatingAdmissionPolicy whose spec is changed by a merge patch, filled in.
pub(super) fn validating(spec: Value) -> Value {
    let policy = value!({
        "metadata": {"name": "p.example.com"},
        "spec": {"matchConstraints": rules(), "validations": [{"expression": "true"}]}
    });
    patched(&policy, &value!({"spec": spec}), default_policy)
}

/// A MutatingAdmissionPolicy whose spec is changed by a merge patch, filled in.
pub(super) fn mutating(spec: Value) -> Value {
    let policy = value!({
        "metadata": {"name": "p.example.com"},
        "spec": {
            "matchConstraints": rules(), "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}]
        }
    });
    patched(&policy, &value!({"spec": spec}), default_policy)
}

#[track_caller]
pub(super) fn check(
    validate: fn(&Value) -> Errors,
    make: fn(Value) -> Value,
    spec: Value,
    expected: &[&str],
) {
    let object = make(spec.clone());
    assert_eq!(lines(validate(&object)), expected, "{}", String::from_utf8_lossy(&json::to_vec(&spec)));
}

#[track_caller]
fn check_validating(spec: Value, expected: &[&str]) {
    check(validate_validating_admission_policy, validating, spec, expected);
}

#[track_caller]
fn check_mutating(spec: Value, expected: &[&str]) {
    check(validate_mutating_admission_policy, mutating, spec, expected);
}

#[test]
fn what_policies_are_about() {
    let constraints = |patch: Value| value!({"matchConstraints": patch});
    let rule = |patch: Value| {
        let rule = rules().get("resourceRules").items().next().unwrap().clone();
        value!({"matchConstraints": {"resourceRules": [merge_patch(rule, patch).unwrap()]}})
    };
    for check in [check_validating, check_mutating] {
        check(value!({}), &[]);
        check(value!({"matchConstraints": null}), &["spec.matchConstraints: Required value"]);
        check(
            constraints(value!({"resourceRules": []})),
            &["spec.matchConstraints.resourceRules: Required value"],
        );
        check(
            constraints(value!({"matchPolicy": "Same"})),
            &[
                r#"spec.matchConstraints.matchPolicy: Unsupported value: "Same": supported values: "Equivalent", "Exact""#,
            ],
        );
        check(
            constraints(value!({"namespaceSelector": {"matchLabels": {"a": "-"}}})),
            &[
                r#"spec.matchConstraints.namespaceSelector.matchLabels: Invalid value: "-": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"#,
            ],
        );
        check(
            constraints(value!({"objectSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}})),
            &[
                r#"spec.matchConstraints.objectSelector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator"#,
            ],
        );
        check(rule(value!({"resourceNames": ["a", "b"], "scope": "Namespaced"})), &[]);
        check(
            rule(value!({"resourceNames": ["a/b", "c", "c"], "scope": "Node"})),
            &[
                r#"spec.matchConstraints.resourceRules[0].resourceNames[0]: Invalid value: "a/b": may not contain '/'"#,
                r#"spec.matchConstraints.resourceRules[0].resourceNames[2]: Duplicate value: "c""#,
                r#"spec.matchConstraints.resourceRules[0].scope: Unsupported value: "Node": supported values: "*", "Cluster", "Namespaced""#,
            ],
        );
        check(
            rule(value!({"operations": [], "apiGroups": ["*", "a"], "apiVersions": [""], "resources": [""]})),
            &[
                "spec.matchConstraints.resourceRules[0].operations: Required value",
                r#"spec.matchConstraints.resourceRules[0].apiGroups: Invalid value: ["*","a"]: if '*' is present, must not specify other API groups"#,
                "spec.matchConstraints.resourceRules[0].apiVersions[0]: Required value",
                "spec.matchConstraints.resourceRules[0].resources[0]: Required value",
            ],
        );
        check(
            constraints(value!({"excludeResourceRules": [{"operations": ["CREATE"]}]})),
            &[
                "spec.matchConstraints.excludeResourceRules[0].apiGroups: Required value",
                "spec.matchConstraints.excludeResourceRules[0].apiVersions: Required value",
                "spec.matchConstraints.excludeResourceRules[0].resources: Required value",
            ],
        );
    }
    let deleting = rule(value!({"operations": ["CREATE", "DELETE"]}));
    check_validating(deleting.clone(), &[]);
    check_mutating(
        deleting,
        &[
            r#"spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE""#,
        ],
    );
}

#[test]
fn failures_and_parameters_of_policies() {
    let kind = |version: &str, kind: &str| value!({"paramKind": {"apiVersion": version, "kind": kind}});
    let label = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
    for check in [check_validating, check_mutating] {
        check(value!({"failurePolicy": "Ignore"}), &[]);
        check(
            value!({"failurePolicy": "Open"}),
            &[r#"spec.failurePolicy: Unsupported value: "Open": supported values: "Fail", "Ignore""#],
        );
        check(kind("v1", "ConfigMap"), &[]);
        check(kind("rules.example.com/v1alpha1", "Limit"), &[]);
        check(
            kind("", ""),
            &["spec.paramKind.apiVersion: Required value", "spec.paramKind.kind: Required value"],
        );
        check(
            kind("a/b/c", "X"),
            &[r#"spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#],
        );
        check(
            kind("a.example/", "X"),
            &[r#"spec.paramKind.apiVersion: Invalid value: "a.example/": version must be specified"#],
        );
        check(kind("1", "X"), &[&format!(r#"spec.paramKind.apiVersion: Invalid value: "1": {label}"#)]);
        check(
            kind("_/v1", "A.b"),
            &[
                r#"spec.paramKind.apiVersion: Invalid value: "_": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
                &format!(
                    r#"spec.paramKind.kind: Invalid value: "A.b": may have mixed case, but should otherwise match: {label}"#
                ),
            ],
        );
    }
}

#[test]
fn conditions_and_variables_of_policies() {
    let condition = |expression: &str| value!({"matchConditions": [{"name": "a", "expression": expression}]});
    let variables = |list: Value| value!({"variables": list});
    let params = value!({"apiVersion": "v1", "kind": "ConfigMap"});
    let with_params = |spec: Value| merge_patch(spec, value!({"paramKind": params.clone()})).unwrap();
    for check in [check_validating, check_mutating] {
        check(condition("authorizer.group('').resource('pods').check('get').allowed()"), &[]);
        check(with_params(condition("params.ok == true")), &[]);
        let invalid = |path: &str, shown: &str, why: &str| {
            format!("spec.{path}: Invalid value: {}: {why}", object::quote(shown))
        };
        check(
            condition(" params.ok "),
            &[&invalid("matchConditions[0].expression", "params.ok", UNKNOWN_PARAMS)],
        );
        check(
            value!({
                "matchConditions": [{"name": "a b", "expression": "1"}, {"name": "a"}, {"name": "a", "expression": "true"}, {}]
            }),
            &[
                r#"spec.matchConditions[0].expression: Invalid value: "1": must evaluate to bool but got int"#,
                r#"spec.matchConditions[0].name: Invalid value: "a b": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"#,
                "spec.matchConditions[1].expression: Required value",
                r#"spec.matchConditions[2].name: Duplicate value: "a""#,
                "spec.matchConditions[3].expression: Required value",
                "spec.matchConditions[3].name: Required value",
            ],
        );
        // Conditions are asked before variables are computed.
        let early =
            merge_patch(condition("variables.a"), variables(value!([{"name": "a", "expression": "true"}])));
        let found = lines(validate_validating_admission_policy(&validating(early.unwrap())));
        assert!(found.len() == 1 && found[0].contains("undeclared reference to 'variables'"), "{found:?}");

        check(
            variables(value!([
                {"name": "a", "expression": "object.spec.replicas + 1"},
                {"name": "b", "expression": "variables.a > 2 && authorizer.path('/').check('get').allowed()"}
            ])),
            &[],
        );
        // The fields of an object are not looked for in a variable.
        check(
            variables(value!([
                {"name": "a", "expression": "[namespaceObject]"}, {"name": "b", "expression": "quantity('1')"},
                {"name": "c", "expression": "variables.a[0].unknown"},
                {"name": "d", "expression": "variables.b.isGreaterThan(quantity('0')) && variables.c == 1"}
            ])),
            &[],
        );
        check(
            variables(value!([{"name": "in", "expression": "1"}, {"name": "1a", "expression": " "}, {}])),
            &[
                r#"spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier"#,
                r#"spec.variables[1].name: Invalid value: "1a": must be a valid CEL identifier"#,
                "spec.variables[1].expression: Required value: expression is not specified",
                "spec.variables[2].name: Required value: name is not specified",
                "spec.variables[2].expression: Required value: expression is not specified",
            ],
        );
        check(
            variables(value!([{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"}])),
            &[&invalid(
                "variables[0].expression",
                "variables.b",
                "compilation failed: ERROR: <input>:1:10: undefined field 'b'\n | variables.b\n | .........^",
            )],
        );
    }
    let many: Vec<Value> = (0..65).map(|i| value!({"name": format!("c{i}"), "expression": "true"})).collect();
    check_validating(
        value!({"matchConditions": many}),
        &["spec.matchConditions: Too many: 65: must have at most 64 items"],
    );
}

#[test]
fn validations() {
    let params = value!({"apiVersion": "v1", "kind": "ConfigMap"});
    let one = |validation: Value| {
        value!({
            "paramKind": params.clone(), "variables": [{"name": "text", "expression": "'a'"}],
            "validations": [merge_patch(value!({"expression": "true"}), validation).unwrap()]
        })
    };
    check_validating(
        value!({"validations": []}),
        &[
            "spec.validations: Required value: validations or auditAnnotations must contain at least one item",
            "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
        ],
    );
    check_validating(
        one(value!({
            "expression": "variables.text == params.text && authorizer.path('/').check('get').allowed()",
            "message": " fits ", "messageExpression": "variables.text + string(params.text)", "reason": "Invalid"
        })),
        &[],
    );
    check_validating(
        one(value!({"expression": " "})),
        &["spec.validations[0].expression: Required value: expression is not specified"],
    );
    check_validating(
        one(value!({"expression": "variables.text"})),
        &[
            r#"spec.validations[0].expression: Invalid value: "variables.text": must evaluate to bool but got string"#,
        ],
    );
    // What is known only when it is evaluated is not known to be a bool.
    check_validating(
        one(value!({"expression": "object.ok"})),
        &[r#"spec.validations[0].expression: Invalid value: "object.ok": must evaluate to bool but got dyn"#],
    );
    check_validating(
        one(value!({"message": " ", "messageExpression": " ", "reason": "Unauthorized"})),
        &[
            r#"spec.validations[0].messageExpression: Invalid value: " ": must be non-empty if specified"#,
            r#"spec.validations[0].message: Invalid value: " ": must be non-empty if specified"#,
            r#"spec.validations[0].reason: Unsupported value: "Unauthorized": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge""#,
        ],
    );
    check_validating(
        one(value!({"message": "a\nb", "messageExpression": "1"})),
        &[
            r#"spec.validations[0].messageExpression: Invalid value: "1": must evaluate to string but got int"#,
            r#"spec.validations[0].message: Invalid value: "a\nb": must not contain line breaks"#,
        ],
    );
    for (expression, kind) in [
        ("timestamp('2020-01-01T00:00:00Z')", "google.protobuf.Timestamp"),
        ("[{'a': duration('1s')}]", "list(map(string, google.protobuf.Duration))"),
        ("[null]", "list(null_type)"),
    ] {
        let found = lines(validate_validating_admission_policy(&validating(one(
            value!({"messageExpression": expression}),
        ))));
        let wrong = format!("must evaluate to string but got {kind}");
        assert!(found.len() == 1 && found[0].ends_with(&wrong), "{found:?}");
    }
    // A message cannot depend on what the user may do.
    let asking = one(value!({"messageExpression": "authorizer.path('/').check('get').reason()"}));
    let found = lines(validate_validating_admission_policy(&validating(asking)));
    assert!(found.len() == 1 && found[0].contains("undeclared reference to 'authorizer'"), "{found:?}");
}

#[test]
fn audit_annotations() {
    let one = |key: &str, expression: &str| value!({"validations": [], "auditAnnotations": [{"key": key, "valueExpression": expression}]});
    check_validating(one("a", "'x'"), &[]);
    check_validating(one("a", " null "), &[]);
    check_validating(
        one("a", " 1"),
        &[
            r#"spec.auditAnnotations[0].valueExpression: Invalid value: " 1": must evaluate to one of [string null_type] but got int"#,
        ],
    );
    check_validating(
        one("a/b", ""),
        &[
            r#"spec.auditAnnotations[0].key: Invalid value: "p.example.com/a/b": a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"#,
            "spec.auditAnnotations[0].valueExpression: Required value: valueExpression is not specified",
        ],
    );
    check_validating(one("a", &format!("'{}'", "x".repeat(5118))), &[]);
    check_validating(
        one("a", &format!("'{}'", "x".repeat(5119))),
        &["spec.auditAnnotations[0].valueExpression: Required value: must not exceed 5120 bytes in length"],
    );
    let annotation = value!({"key": "a", "valueExpression": "'x'"});
    check_validating(
        value!({"auditAnnotations": [annotation.clone(), annotation.clone()]}),
        &[r#"spec.auditAnnotations[1].key: Duplicate value: "a""#],
    );
    let many = |count: usize| -> Vec<Value> {
        (0..count).map(|i| value!({"key": format!("a{i}"), "valueExpression": "'x'"})).collect()
    };
    check_validating(value!({"auditAnnotations": many(20)}), &[]);
    let found =
        lines(validate_validating_admission_policy(&validating(value!({"auditAnnotations": many(21)}))));
    assert_eq!(found.len(), 1);
    assert!(found[0].ends_with(": must not have more than 20 auditAnnotations"), "{found:?}");
    let mut nameless = validating(one("a", "'x'"));
    nameless.entry("metadata").remove("name");
    assert_eq!(
        lines(validate_validating_admission_policy(&nameless)),
        [r#"spec.auditAnnotations[0].key: Invalid value: "a": requires metadata.name be non-empty"#]
    );
}

#[test]
fn mutations() {
    let one = |mutation: Value| value!({"mutations": [mutation]});
    let apply = |expression: &str| value!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}});
    let patch =
        |expression: &str| value!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}});
    check_mutating(
        value!({"mutations": []}),
        &["spec.mutations: Required value: mutations must contain at least one item"],
    );
    check_mutating(
        value!({
            "variables": [{"name": "count", "expression": "object.spec.replicas"}],
            "mutations": [apply("Object{spec: Object.spec{replicas: variables.count}}")]
        }),
        &[],
    );
    check_mutating(
        one(patch("[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/c'), value: 1}]")),
        &[],
    );
    check_mutating(
        value!({"mutations": [{}, {"patchType": "Merge"}]}),
        &[
            "spec.mutations[0].patchType: Required value",
            r#"spec.mutations[1].patchType: Unsupported value: "Merge": supported values: "ApplyConfiguration", "JSONPatch""#,
        ],
    );
    check_mutating(
        value!({"mutations": [
            {"patchType": "ApplyConfiguration", "jsonPatch": {}}, {"patchType": "JSONPatch", "applyConfiguration": {}}
        ]}),
        &[
            "spec.mutations[0].applyConfiguration: Required value: must be specified when patchType is ApplyConfiguration",
            r#"spec.mutations[0].jsonPatch: Invalid value: "{jsonPatch}": must not be specified when patchType is ApplyConfiguration"#,
            "spec.mutations[1].jsonPatch: Required value: must be specified when patchType is JSONPatch",
            r#"spec.mutations[1].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch"#,
        ],
    );
    check_mutating(
        value!({"mutations": [apply(" "), patch(""), apply(" 1 "), patch("'a'")]}),
        &[
            "spec.mutations[0].applyConfiguration.expression: Required value",
            "spec.mutations[1].jsonPatch.expression: Required value",
            r#"spec.mutations[2].applyConfiguration.expression: Invalid value: "1": must evaluate to Object but got int"#,
            r#"spec.mutations[3].jsonPatch.expression: Invalid value: "'a'": must evaluate to list(JSONPatch) but got string"#,
        ],
    );
    check_mutating(value!({"reinvocationPolicy": "IfNeeded"}), &[]);
    check_mutating(value!({"reinvocationPolicy": null}), &["spec.reinvocationPolicy: Required value"]);
    check_mutating(
        value!({"reinvocationPolicy": "Always"}),
        &[r#"spec.reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never""#],
    );
}

#[test]
fn policies_keep_conditions_they_had() {
    let with = |expression: &str| value!({"matchConditions": [{"name": "a", "expression": expression}]});
    let kind = |spec: Value| {
        merge_patch(spec, value!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}})).unwrap()
    };
    type Make = fn(Value) -> Value;
    type Update = fn(&Value, &Value) -> Errors;
    let kinds: [(Make, Update); 2] = [
        (validating, validate_validating_admission_policy_update),
        (mutating, validate_mutating_admission_policy_update),
    ];
    for (make, update) in kinds {
        let old = make(with("1"));
        assert_eq!(lines(update(&old, &old)), NONE);
        assert_eq!(update(&make(with("2")), &old).len(), 1, "a changed condition");
        let old = make(kind(with("params.ok")));
        assert_eq!(lines(update(&old, &old)), NONE);
        assert_eq!(update(&make(with("params.ok")), &old).len(), 1, "conditions whose parameters are gone");
    }
    // Other expressions are compiled again, against what the policy has now.
    let spec = || value!({"validations": [{"expression": "params.ok == true"}]});
    let (old, new) = (validating(kind(spec())), validating(spec()));
    assert_eq!(lines(validate_validating_admission_policy_update(&old, &old)), NONE);
    assert_eq!(validate_validating_admission_policy_update(&new, &old).len(), 1);
}

#[test]
fn status_of_policies() {
    let status = |status: Value| {
        let policy = merge_patch(validating(value!({})), value!({"status": status})).unwrap();
        lines(validate_validating_admission_policy_status_update(&policy))
    };
    let warnings = |list: Value| value!({"typeChecking": {"expressionWarnings": list}});
    let reference = "spec.validations[0].expression";
    assert_eq!(status(warnings(value!([{"fieldRef": reference, "warning": "w"}]))), NONE);
    assert_eq!(
        status(warnings(value!([{}, {"fieldRef": " a[x] ", "warning": "w"}]))),
        [
            "status.typeChecking.expressionWarnings[0].warning: Required value",
            "status.typeChecking.expressionWarnings[0].fieldRef: Required value",
            r#"status.typeChecking.expressionWarnings[1].fieldRef: Invalid value: "a[x]": invalid JSONPath: invalid array index x"#,
        ]
    );
    let condition = value!({
        "type": "Ready", "status": "Maybe", "reason": "R", "lastTransitionTime": "2024-01-01T00:00:00Z"
    });
    assert_eq!(
        status(value!({"conditions": [condition]})),
        [
            r#"status.conditions[0].status: Unsupported value: "Maybe": supported values: "False", "True", "Unknown""#
        ]
    );
}

#[test]
fn policies_have_a_bounded_number_of_variables() {
    let spec = |count: usize| {
        let list: Vec<Value> =
            (0..count).map(|i| value!({"name": format!("v{i}"), "expression": "1"})).collect();
        value!({"variables": list, "validations": [{"expression": "variables.v4095 == 1"}]})
    };
    check_validating(spec(4096), &[]);
    let found = lines(validate_validating_admission_policy(&validating(spec(4097))));
    assert_eq!(found[0], "spec.variables: Too many: 4097: must have at most 4096 items");
}
