use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use object::{Value, json, value};

use super::review::{Verdict, answer};
use super::version::Version;
use crate::admission::matching::Rule;
use crate::admission::{GroupVersionResource, Operation, Rounds};

mod dispatch;

/// A request: operation, group, version, resource with subresource, namespace.
fn matches(rule: &Value, request: &str) -> bool {
    let [operation, group, version, resource, namespace] =
        request.split(' ').collect::<Vec<_>>().try_into().expect("five words");
    let operation = match operation {
        "CREATE" => Operation::Create,
        "UPDATE" => Operation::Update,
        "DELETE" => Operation::Delete,
        _ => Operation::Connect,
    };
    let none = |text: &'static str| move |word| if word == text { "" } else { word };
    let (plural, part) = resource.split_once('/').unwrap_or((resource, ""));
    let resource = GroupVersionResource { group: none("core")(group), version, plural };
    Rule::read(rule).matches(operation, resource, part, none("-")(namespace))
}

#[test]
fn rules_match_as_upstream() {
    let rule = |patch: Value| {
        let rule = value!({
            "operations": ["CREATE", "UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"],
            "resources": ["deployments"], "scope": "*"
        });
        object::patch::merge_patch(rule, patch).unwrap()
    };
    let resources = |list: Value| rule(value!({"resources": list}));
    let all = rule(value!({
        "operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]
    }));
    let scoped = |scope: &str| {
        let mut all = all.clone();
        all.set("scope", scope);
        all
    };
    let table: Vec<(Value, &str, bool)> = vec![
        (rule(value!({})), "CREATE apps v1 deployments n", true),
        (rule(value!({})), "UPDATE apps v1 deployments n", true),
        (rule(value!({})), "DELETE apps v1 deployments n", false),
        (rule(value!({})), "CREATE apps v1 deployments/scale n", false),
        (rule(value!({})), "CREATE apps v1beta1 deployments n", false),
        (rule(value!({})), "CREATE extensions v1 deployments n", false),
        (rule(value!({})), "CREATE apps v1 replicasets n", false),
        (rule(value!({"apiGroups": [""]})), "CREATE core v1 deployments n", true),
        (rule(value!({"apiGroups": ["*"]})), "CREATE core v1 deployments n", true),
        (rule(value!({"operations": ["CONNECT"]})), "CONNECT apps v1 deployments n", true),
        (resources(value!(["*"])), "CREATE apps v1 replicasets n", true),
        (resources(value!(["*"])), "CREATE apps v1 replicasets/scale n", false),
        (resources(value!(["*/*"])), "CREATE apps v1 replicasets n", true),
        (resources(value!(["*/*"])), "CREATE apps v1 replicasets/scale n", true),
        (resources(value!(["deployments/*"])), "CREATE apps v1 deployments n", true),
        (resources(value!(["deployments/*"])), "CREATE apps v1 deployments/scale n", true),
        (resources(value!(["*/scale"])), "CREATE apps v1 deployments/scale n", true),
        (resources(value!(["*/scale"])), "CREATE apps v1 deployments n", false),
        (all.clone(), "CONNECT core v1 pods/exec n", true),
        (scoped("Namespaced"), "CREATE core v1 pods n", true),
        (scoped("Namespaced"), "CREATE core v1 nodes -", false),
        (scoped("Namespaced"), "UPDATE core v1 namespaces n", false),
        (scoped("Cluster"), "CREATE core v1 pods n", false),
        (scoped("Cluster"), "CREATE core v1 nodes -", true),
        (scoped("Cluster"), "UPDATE core v1 namespaces n", true),
        (scoped("Other"), "CREATE core v1 nodes -", false),
        (value!({}), "CREATE core v1 pods n", false),
    ];
    for (rule, request, expected) in table {
        let shown = String::from_utf8_lossy(&json::to_vec(&rule)).into_owned();
        assert_eq!(matches(&rule, request), expected, "{request} {shown}");
    }
}

/// What an answer with this response means, or why it is none.
fn read(version: Version, is_mutating: bool, response: Value) -> Result<Verdict, String> {
    let api_version = match version {
        Version::V1 => "admission.k8s.io/v1",
        Version::V1Beta1 => "admission.k8s.io/v1beta1",
    };
    let review = value!({"kind": "AdmissionReview", "apiVersion": api_version, "response": response});
    answer(version, "u", is_mutating, &json::to_vec(&review)).map_err(|failure| failure.why)
}

fn verdict(is_allowed: bool) -> Verdict {
    Verdict { is_allowed, status: Value::Null, patch: Value::Null, warnings: Vec::new() }
}

#[test]
fn answers_are_checked_as_upstream() {
    let operations = value!([{"op": "remove", "path": "/a"}]);
    let patch = STANDARD.encode(json::to_vec(&operations));
    let invalid = |why: &str| Err(format!("received invalid webhook response: {why}"));
    let patched = || Verdict { patch: operations.clone(), ..verdict(true) };
    type Case = (Version, bool, Value, Result<Verdict, String>);
    let (v1, beta) = (Version::V1, Version::V1Beta1);
    let table: Vec<Case> = vec![
        (v1, true, value!({"uid": "u", "allowed": true}), Ok(verdict(true))),
        (v1, true, value!({"uid": "u"}), Ok(verdict(false))),
        (v1, true, value!({"allowed": true}), invalid("expected response.uid=\"u\", got \"\"")),
        (v1, true, value!({"uid": "x"}), invalid("expected response.uid=\"u\", got \"x\"")),
        (beta, true, value!({"allowed": true}), Ok(verdict(true))),
        (v1, true, Value::Null, invalid("webhook response was absent")),
        (
            v1,
            true,
            value!({"uid": "u", "allowed": true, "patch": patch.as_str(), "patchType": "JSONPatch"}),
            Ok(patched()),
        ),
        (beta, true, value!({"allowed": true, "patch": patch.as_str()}), Ok(patched())),
        (
            v1,
            true,
            value!({"uid": "u", "allowed": true, "patch": patch.as_str()}),
            invalid("webhook returned response.patch but not response.patchType"),
        ),
        (
            v1,
            true,
            value!({"uid": "u", "allowed": true, "patchType": "JSONPatch"}),
            invalid("webhook returned response.patchType but not response.patch"),
        ),
        (
            v1,
            true,
            value!({"uid": "u", "allowed": true, "patch": patch.as_str(), "patchType": "Merge"}),
            Err("unsupported patch type \"Merge\"".to_owned()),
        ),
        (
            v1,
            true,
            value!({"uid": "u", "allowed": true, "patch": STANDARD.encode("{}"), "patchType": "JSONPatch"}),
            Err("received undecodable patch in webhook response: a JSON patch is a list".to_owned()),
        ),
        (
            v1,
            false,
            value!({"uid": "u", "allowed": true, "patch": patch.as_str()}),
            invalid("validating webhook may not return response.patch"),
        ),
        (
            v1,
            false,
            value!({"uid": "u", "allowed": true, "patchType": "JSONPatch"}),
            invalid("validating webhook may not return response.patchType"),
        ),
        (
            v1,
            false,
            value!({"uid": "u", "allowed": true, "warnings": ["w", "", "x"]}),
            Ok(Verdict { warnings: vec!["w".to_owned(), "x".to_owned()], ..verdict(true) }),
        ),
    ];
    for (version, is_mutating, response, expected) in table {
        let shown = String::from_utf8_lossy(&json::to_vec(&response)).into_owned();
        assert_eq!(read(version, is_mutating, response), expected, "{shown}");
    }
    let other =
        br#"{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1", "response": {"uid": "u"}}"#;
    assert_eq!(
        answer(v1, "u", true, other).unwrap_err().why,
        "received invalid webhook response: expected webhook response of admission.k8s.io/v1, \
         Kind=AdmissionReview, got admission.k8s.io/v1beta1, Kind=AdmissionReview"
    );
}

#[test]
fn answers_have_few_warnings() {
    let many: Vec<Value> = (0..100).map(|_| "w".repeat(5000).into()).collect();
    let verdict = read(Version::V1, true, value!({"uid": "u", "warnings": many})).unwrap();
    assert_eq!(verdict.warnings.len(), 64);
    assert!(verdict.warnings.iter().all(|warning| warning.len() == 4096));
}

#[test]
fn webhooks_are_asked_again_after_later_changes() {
    let (first, second): (Arc<str>, Arc<str>) = ("first".into(), "second".into());
    let object = value!({"a": 1});
    let rounds = Rounds::default();
    rounds.asked(&first);
    rounds.changed();
    rounds.asked(&second);
    rounds.end(&object);
    rounds.begin_second();
    rounds.resume(&object);
    assert!(rounds.is_second());
    assert!(rounds.is_outdated(&first), "the second one has changed the object since");
    assert!(!rounds.is_outdated(&second));
    rounds.resume(&value!({"a": 2}));
    assert!(rounds.is_outdated(&second), "another plugin has changed the object since");
}
