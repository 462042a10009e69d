use super::*;
use crate::defaults::{default_mutating_webhook_configuration, default_validating_webhook_configuration};
use crate::validation::*;

const NONE: [&str; 0] = [];

/// A valid webhook, changed by a merge patch.
fn hook(patch: Value) -> Value {
    let hook = value!({
        "name": "pods.example.com",
        "clientConfig": {"service": {"name": "s", "namespace": "n"}},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"]
    });
    merge_patch(hook, patch).expect("the patch is an object")
}

/// A configuration with this webhook, filled in.
fn mutating(patch: Value) -> Value {
    let mut configuration = value!({"webhooks": [hook(patch)]});
    default_mutating_webhook_configuration(&mut configuration);
    configuration
}

#[test]
fn webhooks_are_filled_in() {
    let mutating = mutating(value!({}));
    let hook = mutating.get("webhooks").items().next().unwrap();
    let expected = [
        ("failurePolicy", value!("Fail")),
        ("matchPolicy", value!("Equivalent")),
        ("namespaceSelector", value!({})),
        ("objectSelector", value!({})),
        ("timeoutSeconds", value!(10)),
        ("reinvocationPolicy", value!("Never")),
    ];
    for (member, value) in expected {
        assert_eq!(hook.get(member), &value, "{member}");
    }
    assert_eq!(hook.get("rules").items().next().unwrap().str_at("scope"), "*");
    assert_eq!(hook.at("clientConfig.service.port").as_i64(), Some(443));
}

#[test]
fn webhooks() {
    let rule = |patch: Value| {
        let rule = value!({
            "operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]
        });
        value!({"rules": [merge_patch(rule, patch).unwrap()]})
    };
    let resources = |list: Value| rule(value!({"resources": list}));
    let url = |text: &str| value!({"clientConfig": {"service": null, "url": text}});
    let path = |text: &str| value!({"clientConfig": {"service": {"path": text}}});
    let many: Vec<Value> = (0..65).map(|i| value!({"name": format!("c{i}"), "expression": ""})).collect();
    let required = "webhooks[0].matchConditions[0].expression: Required value";
    let cases: Vec<(Value, Vec<&str>)> = vec![
        (value!({}), vec![]),
        (value!({"name": ""}), vec!["webhooks[0].name: Required value"]),
        (
            value!({"name": "a.b"}),
            vec![
                r#"webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments separated by dots"#,
            ],
        ),
        (
            value!({"failurePolicy": "Open", "matchPolicy": "Same", "reinvocationPolicy": "Always"}),
            vec![
                r#"webhooks[0].failurePolicy: Unsupported value: "Open": supported values: "Fail", "Ignore""#,
                r#"webhooks[0].matchPolicy: Unsupported value: "Same": supported values: "Equivalent", "Exact""#,
                r#"webhooks[0].reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never""#,
            ],
        ),
        (
            value!({"sideEffects": null}),
            vec!["webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"],
        ),
        (
            value!({"sideEffects": "Some"}),
            vec![
                r#"webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun""#,
            ],
        ),
        (
            value!({"timeoutSeconds": 31}),
            vec![
                "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
            ],
        ),
        (
            value!({"timeoutSeconds": 0}),
            vec![
                "webhooks[0].timeoutSeconds: Invalid value: 0: the timeout value must be between 1 and 30 seconds",
            ],
        ),
        (
            value!({"objectSelector": {"matchExpressions": [{"key": "a", "operator": "Is"}]}}),
            vec![
                r#"webhooks[0].objectSelector.matchExpressions[0].operator: Invalid value: "Is": not a valid selector operator"#,
            ],
        ),
        (
            value!({"admissionReviewVersions": null}),
            vec!["webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1"],
        ),
        (
            value!({"admissionReviewVersions": ["v2", "v2"]}),
            vec![
                r#"webhooks[0].admissionReviewVersions[1]: Invalid value: "v2": duplicate version"#,
                r#"webhooks[0].admissionReviewVersions: Invalid value: ["v2","v2"]: must include at least one of v1, v1beta1"#,
            ],
        ),
        (
            value!({"clientConfig": {"url": "https://a/"}}),
            vec!["webhooks[0].clientConfig: Required value: exactly one of url or service is required"],
        ),
        (url("https://a.example:8443/b"), vec![]),
        (
            url("http://user:secret@/b?c#d"),
            vec![
                r#"webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]"#,
                r#"webhooks[0].clientConfig.url: Invalid value: "": host must be specified; desired format: https://host[/path]"#,
                r#"webhooks[0].clientConfig.url: Invalid value: "user": user information is not permitted in the URL"#,
                r#"webhooks[0].clientConfig.url: Invalid value: "d": fragments are not permitted in the URL"#,
                r#"webhooks[0].clientConfig.url: Invalid value: "c": query parameters are not permitted in the URL"#,
            ],
        ),
        (path("/a/b/"), vec![]),
        (
            path("a//b"),
            vec![
                r#"webhooks[0].clientConfig.service.path: Invalid value: "a//b": must start with a '/'"#,
                r#"webhooks[0].clientConfig.service.path: Invalid value: "a//b": segment[0] may not be empty"#,
                r#"webhooks[0].clientConfig.service.path: Invalid value: "a//b": segment[1] may not be empty"#,
            ],
        ),
        (
            value!({"clientConfig": {"service": {"name": null, "port": 70000}}}),
            vec![
                "webhooks[0].clientConfig.service.namespace: Required value",
                "webhooks[0].clientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            rule(value!({"operations": ["*", "READ"], "apiVersions": [""], "scope": "Node"})),
            vec![
                r#"webhooks[0].rules[0].operations: Invalid value: ["*","READ"]: if '*' is present, must not specify other operations"#,
                r#"webhooks[0].rules[0].operations[1]: Unsupported value: "READ": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE""#,
                "webhooks[0].rules[0].apiVersions[0]: Required value",
                r#"webhooks[0].rules[0].scope: Unsupported value: "Node": supported values: "*", "Cluster", "Namespaced""#,
            ],
        ),
        (resources(value!(["pods", "pods/*", "*/scale"])), vec![]),
        (resources(value!([])), vec!["webhooks[0].rules[0].resources: Required value"]),
        (
            resources(value!(["*", "pods", "pods/*", "pods/log", "*/*"])),
            vec![
                r#"webhooks[0].rules[0].resources[3]: Invalid value: "pods/log": if 'pods/*' is present, must not specify pods/log"#,
                r#"webhooks[0].rules[0].resources: Invalid value: ["*","pods","pods/*","pods/log","*/*"]: if '*/*' is present, must not specify other resources"#,
                r#"webhooks[0].rules[0].resources: Invalid value: ["*","pods","pods/*","pods/log","*/*"]: if '*' is present, must not specify other resources without subresources"#,
            ],
        ),
        (
            value!({"matchConditions": [
                {"name": "a", "expression": "!authorizer.path('/').check('get').allowed()"},
                {"name": "b", "expression": "request.operation == 'CREATE' || object.metadata.name != 'a'"}
            ]}),
            vec![],
        ),
        (
            value!({"matchConditions": [{"name": "a", "expression": " params.ok"}]}),
            vec![
                r#"webhooks[0].matchConditions[0].expression: Invalid value: "params.ok": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')
 | params.ok
 | ^"#,
            ],
        ),
        (
            value!({"matchConditions": [{"name": "a", "expression": "1"}, {"name": "a", "expression": " "}]}),
            vec![
                r#"webhooks[0].matchConditions[0].expression: Invalid value: "1": must evaluate to bool but got int"#,
                "webhooks[0].matchConditions[1].expression: Required value",
                r#"webhooks[0].matchConditions[1].name: Duplicate value: "a""#,
            ],
        ),
        (
            value!({"matchConditions": many}),
            vec!["webhooks[0].matchConditions: Too many: 65: must have at most 64 items", required],
        ),
    ];
    for (patch, expected) in cases {
        let mut found = lines(validate_mutating_webhook_configuration(&mutating(patch.clone())));
        if found.len() > 65 {
            found.truncate(2);
        }
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(&json::to_vec(&patch)));
    }
}

#[test]
fn webhooks_of_a_configuration_have_names_of_their_own() {
    let mut two = value!({"webhooks": [hook(value!({})), hook(value!({}))]});
    default_validating_webhook_configuration(&mut two);
    let duplicate = [r#"webhooks[1].name: Duplicate value: "pods.example.com""#];
    assert_eq!(lines(validate_validating_webhook_configuration(&two)), duplicate);
    let one = value!({"webhooks": [hook(value!({}))]});
    assert_eq!(lines(validate_validating_webhook_configuration_update(&two, &one)), duplicate);
    assert_eq!(lines(validate_validating_webhook_configuration_update(&two, &two)), NONE);
}

#[test]
fn what_a_configuration_had_before_it_may_keep() {
    let kept = [
        value!({"sideEffects": "Some"}),
        value!({"admissionReviewVersions": ["v2"]}),
        value!({"objectSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["-"]}]}}),
        value!({"matchConditions": [{"name": "a", "expression": "1"}]}),
    ];
    for patch in kept {
        let old = mutating(patch);
        assert_eq!(lines(validate_mutating_webhook_configuration_update(&old, &old)), NONE);
        let before = mutating(value!({}));
        assert_eq!(lines(validate_mutating_webhook_configuration_update(&old, &before)).len(), 1);
    }
    let condition =
        |expression: &str| mutating(value!({"matchConditions": [{"name": "a", "expression": expression}]}));
    let changed = validate_mutating_webhook_configuration_update(&condition("2"), &condition("1"));
    assert_eq!(changed.len(), 1, "a changed expression is a new one");
}
