//! Admission policies: rules and changes in CEL.

use apiserver::testing::TestServer;
use apiserver::user::User;
use object::{Value, value};

use crate::support::*;

mod limits;

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

/// A policy or binding of a kind.
fn named(kind: &str, name: &str, spec: Value) -> Value {
    value!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": {"name": name}, "spec": spec
    })
}

/// What a policy is for: creates and updates of a resource.
fn constraints(group: &str, plural: &str) -> Value {
    value!({"resourceRules": [{
        "apiGroups": [group], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": [plural]
    }]})
}

async fn create(server: &TestServer, plural: &str, object: &Value) -> Value {
    let created = call(server, "POST", &format!("{GROUP}/{plural}"), object).await.success();
    server.registry.hub.catch_up().await.unwrap();
    created
}

async fn validating(server: &TestServer, name: &str, spec: Value) {
    create(server, "validatingadmissionpolicies", &named("ValidatingAdmissionPolicy", name, spec)).await;
}

async fn bind(server: &TestServer, policy: &str, mut spec: Value) {
    spec.set("policyName", policy);
    if spec.get("validationActions").is_null() {
        spec.set("validationActions", vec![Value::from("Deny")]);
    }
    let binding = named("ValidatingAdmissionPolicyBinding", policy, spec);
    create(server, "validatingadmissionpolicybindings", &binding).await;
}

async fn mutating(server: &TestServer, name: &str, spec: Value) {
    create(server, "mutatingadmissionpolicies", &named("MutatingAdmissionPolicy", name, spec)).await;
    let binding = named("MutatingAdmissionPolicyBinding", name, value!({"policyName": name}));
    create(server, "mutatingadmissionpolicybindings", &binding).await;
}

fn deployment_of(name: &str, replicas: i64) -> Value {
    let mut deployment = deployment(name);
    deployment.set_path(&["spec", "replicas"], Value::from(replicas));
    deployment
}

/// Conformance: `ValidatingAdmissionPolicy should validate against a Deployment`, `should allow expressions to refer
/// variables.`
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_refuses_what_breaks_its_validations() {
    let server = TestServer::start().await;
    let spec = value!({
        "matchConstraints": (constraints("apps", "deployments")),
        "variables": [
            {"name": "replicas", "expression": "object.spec.replicas"},
            {"name": "oddReplicas", "expression": "variables.replicas % 2 == 1"}
        ],
        "validations": [
            {"expression": "variables.replicas > 1", "message": "wants more than one"},
            {"expression": "variables.oddReplicas"},
            {"expression": "variables.replicas < 10", "reason": "Forbidden",
             "messageExpression": "'at most 9, not ' + string(variables.replicas)"}
        ]
    });
    validating(&server, "replicas", spec).await;
    call(&server, "POST", DEPLOYMENTS, &deployment_of("unbound", 0)).await.success();
    bind(&server, "replicas", value!({})).await;

    let denied = "ValidatingAdmissionPolicy 'replicas' with binding 'replicas' denied request";
    let refused = call(&server, "POST", DEPLOYMENTS, &deployment_of("one", 1)).await;
    // Of an object that is invalid, kubectl shows causes only.
    let causes = value!([{"message": (format!("{denied}: wants more than one"))}]);
    assert_eq!(refused.json().at("details.causes"), &causes);
    let refused = refused.status();
    let whole = |name: &str, why: &str| format!("deployments.apps \"{name}\" is forbidden: {denied}: {why}");
    assert_eq!(refused, (422, "Invalid".to_owned(), whole("one", "wants more than one")));
    let refused = call(&server, "POST", DEPLOYMENTS, &deployment_of("two", 2)).await.status();
    let why = whole("two", "failed expression: variables.oddReplicas");
    assert_eq!(refused, (422, "Invalid".to_owned(), why));
    let refused = call(&server, "POST", DEPLOYMENTS, &deployment_of("many", 11)).await.status();
    assert_eq!(refused, (403, "Forbidden".to_owned(), whole("many", "at most 9, not 11")));
    call(&server, "POST", DEPLOYMENTS, &deployment_of("three", 3)).await.success();
    // What the policy is not for.
    call(&server, "POST", MAPS, &config_map("any", &[])).await.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn bindings_choose_requests_parameters_and_actions() {
    let server = TestServer::start().await;
    let spec = value!({
        "matchConstraints": (constraints("", "configmaps")),
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [{"name": "not-the-limit", "expression": "object.metadata.name != 'limit'"}],
        "validations": [{
            "expression": "!has(object.data) || object.data.size() <= int(params.data.max)",
            "messageExpression": "'more than ' + params.data.max"
        }]
    });
    validating(&server, "size", spec).await;
    let mut limit = config_map("limit", &[]);
    limit.set("data", value!({"max": "1", "of": "everything", "more": "than one"}));
    call(&server, "POST", MAPS, &limit).await.success();
    let spec = value!({
        "paramRef": {"name": "limit", "parameterNotFoundAction": "Deny"},
        "matchResources": {"objectSelector": {"matchLabels": {"limited": "yes"}}},
        "validationActions": ["Deny", "Audit"]
    });
    bind(&server, "size", spec).await;
    let mut large = config_map("large", &[("limited", "yes")]);
    large.set("data", value!({"a": "1", "b": "2"}));
    let (code, _, message) = call(&server, "POST", MAPS, &large).await.status();
    assert_eq!(code, 422, "{message}");
    assert!(message.ends_with("denied request: more than 1"), "{message}");
    large.set_path(&["metadata", "labels"], value!({"limited": "no"}));
    call(&server, "POST", MAPS, &large).await.success();

    // Without its parameters, nothing passes that the binding is for.
    call(&server, "DELETE", &format!("{MAPS}/limit"), &Value::Null).await.success();
    server.registry.hub.catch_up().await.unwrap();
    let (_, _, message) =
        call(&server, "POST", MAPS, &config_map("small", &[("limited", "yes")])).await.status();
    let why =
        "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction";
    assert!(message.ends_with(why), "{message}");

    let binding = format!("{GROUP}/validatingadmissionpolicybindings/size");
    let warn =
        value!({"spec": {"validationActions": ["Warn"], "paramRef": {"parameterNotFoundAction": "Allow"}}});
    call(&server, "PATCH", &binding, &warn).await.success();
    server.registry.hub.catch_up().await.unwrap();
    call(&server, "POST", MAPS, &limit).await.success();
    let mut warned = config_map("warned", &[("limited", "yes")]);
    warned.set("data", value!({"a": "1", "b": "2"}));
    let reply = call(&server, "POST", MAPS, &warned).await;
    let warning = "Validation failed for ValidatingAdmissionPolicy 'size' with binding 'size': more than 1";
    assert!(reply.warnings().iter().any(|header| header.contains(warning)), "{:?}", reply.warnings());
    reply.success();
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_refusals_unless_the_policy_ignores_them() {
    let server = TestServer::start().await;
    for (name, policy) in [("strict", "Fail"), ("lax", "Ignore")] {
        let spec = value!({
            "failurePolicy": policy,
            "matchConstraints": (constraints("", "configmaps")),
            "validations": [{"expression": "object.data.missing == 'x'"}]
        });
        validating(&server, name, spec).await;
    }
    bind(&server, "lax", value!({})).await;
    call(&server, "POST", MAPS, &config_map("one", &[])).await.success();
    bind(&server, "strict", value!({})).await;
    let mut map = config_map("two", &[]);
    map.set("data", value!({"there": "1"}));
    let (code, _, message) = call(&server, "POST", MAPS, &map).await.status();
    assert_eq!(code, 422);
    let why = "expression 'object.data.missing == 'x'' resulted in error: no such key: missing";
    assert!(message.ends_with(why), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn expressions_see_the_request_its_namespace_and_rights() {
    let server = TestServer::start().await;
    let spec = value!({
        "matchConstraints": (constraints("", "configmaps")),
        "validations": [
            {"expression": "request.operation == 'CREATE' && request.namespace == 'default' && request.kind.kind == 'ConfigMap'"},
            {"expression": "namespaceObject.metadata.name == 'default' && namespaceObject.status.phase == 'Active'"},
            {"expression": "oldObject == null && request.userInfo.username != ''"},
            {"expression": "authorizer.group('').resource('configmaps').namespace('default').check('create').allowed()"},
            {"expression": "authorizer.requestResource.check('update').allowed()"},
            {"expression": "!authorizer.serviceAccount('default', 'nobody').path('/metrics').check('get').allowed()"}
        ]
    });
    validating(&server, "seen", spec).await;
    bind(&server, "seen", value!({})).await;
    call(&server, "POST", MAPS, &config_map("one", &[])).await.success();
}

/// Conformance: `MutatingAdmissionPolicy should mutate a Deployment`, and `with annotations`.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_changes_objects() {
    let server = TestServer::start().await;
    let spec = value!({
        "matchConstraints": (constraints("apps", "deployments")),
        "failurePolicy": "Fail", "reinvocationPolicy": "Never",
        "variables": [{"name": "wanted", "expression": "object.spec.replicas + 1"}],
        "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
                "Object{metadata: Object.metadata{annotations: {'changed': 'yes'}}, spec: Object.spec{replicas: variables.wanted}}"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression":
                "[JSONPatch{op: 'test', path: '/metadata/annotations/changed', value: 'yes'}, JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('example.com/fruit'), value: 'apple'}]"}}
        ]
    });
    mutating(&server, "more", spec).await;
    let mut web = deployment_of("web", 1);
    web.set_path(&["metadata", "labels"], value!({"app": "web"}));
    let created = call(&server, "POST", DEPLOYMENTS, &web).await.success();
    assert_eq!(created.at("spec.replicas"), &Value::from(2i64));
    assert_eq!(created.at("metadata.annotations").get("changed"), &Value::from("yes"));
    assert_eq!(created.at("metadata.labels").get("example.com/fruit"), &Value::from("apple"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mutations_that_cannot_be_made_are_told() {
    let server = TestServer::start().await;
    for (name, expression, why) in [
        (
            "atomic",
            "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{nodeSelector: {'a': 'b'}}}}}",
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.template.spec.nodeSelector",
        ),
        (
            "unknown",
            "Object{spec: Object.spec{nonsense: 1}}",
            "error applying patch: failed to convert patch object to typed object: .spec.nonsense: field not declared in schema",
        ),
    ] {
        let spec = value!({
            "matchConstraints": (constraints("apps", "deployments")),
            "failurePolicy": "Fail", "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]
        });
        mutating(&server, name, spec).await;
        let (code, reason, message) =
            call(&server, "POST", DEPLOYMENTS, &deployment_of("web", 1)).await.status();
        assert_eq!((code, reason.as_str()), (403, "Invalid"), "{message}");
        assert_eq!(message, format!("policy '{name}' with binding '{name}' denied request: {why}"));
        call(&server, "DELETE", &format!("{GROUP}/mutatingadmissionpolicies/{name}"), &Value::Null)
            .await
            .success();
    }
}

/// Policies cannot lock themselves in.
#[tokio::test(flavor = "multi_thread")]
async fn policies_are_not_for_policies() {
    let server = TestServer::start().await;
    let all = value!({"resourceRules": [{
        "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]
    }]});
    validating(
        &server,
        "nothing",
        value!({"matchConstraints": all, "validations": [{"expression": "false"}]}),
    )
    .await;
    bind(&server, "nothing", value!({})).await;
    assert_eq!(call(&server, "POST", MAPS, &config_map("one", &[])).await.status().0, 422);
    let binding = format!("{GROUP}/validatingadmissionpolicybindings/nothing");
    call(&server, "DELETE", &binding, &Value::Null).await.success();
    server.registry.hub.catch_up().await.unwrap();
    call(&server, "POST", MAPS, &config_map("one", &[])).await.success();
}

/// What does not fit the kinds that a policy is for stands in its status.
#[tokio::test(flavor = "multi_thread")]
async fn types_are_checked_in_the_status() {
    let server = TestServer::start().await;
    server.check_policies();
    let path = format!("{GROUP}/validatingadmissionpolicies?watch=1&resourceVersion=0");
    let mut watch = Watch::open(&server, &path).await;
    let spec = value!({
        "matchConstraints": (constraints("apps", "deployments")),
        "variables": [{"name": "replicas", "expression": "object.spec.replicas"}],
        "validations": [
            {"expression": "variables.replicas > '1'"},
            {"expression": "object.spec.nonsense == 1"},
            {"expression": "object.spec.replicas > 1", "messageExpression": "'has ' + string(object.spec.replicas)"}
        ]
    });
    let mut spec = spec;
    spec.entry("matchConstraints").entry("resourceRules").items_mut().for_each(|rule| {
        rule.set("apiVersions", vec![Value::from("v1")]);
    });
    validating(&server, "types", spec).await;
    let status = loop {
        let event = watch.next().await.expect("the watch goes on");
        let object = event.get("object");
        if object.at("status.observedGeneration").as_i64() == Some(1) {
            break object.get("status").clone();
        }
    };
    let warnings: Vec<&Value> = status.at("typeChecking.expressionWarnings").items().collect();
    let places: Vec<&str> = warnings.iter().map(|warning| warning.str_at("fieldRef")).collect();
    assert_eq!(places, ["spec.validations[0].expression", "spec.validations[1].expression"]);
    let told = warnings[0].str_at("warning");
    assert!(
        told.starts_with("apps/v1, Kind=Deployment: ERROR: <input>:1:20: found no matching overload"),
        "{told}"
    );
    let told = warnings[1].str_at("warning");
    assert!(told.contains("undefined field 'nonsense'"), "{told}");
}

/// Messages can show parameters: whoever writes a policy must be allowed to read them.
#[tokio::test(flavor = "multi_thread")]
async fn parameters_need_the_right_to_read_them() {
    let server = TestServer::start().await;
    let jane = User::new("jane", &["system:authenticated"]);
    let roles = "/apis/rbac.authorization.k8s.io/v1";
    let rule = |group: &str, plural: &str, verb: &str| value!({"apiGroups": [group], "resources": [plural], "verbs": [verb]});
    let group = "admissionregistration.k8s.io";
    let role = value!({
        "metadata": {"name": "policies"},
        "rules": [
            (rule(group, "validatingadmissionpolicies", "create")),
            (rule(group, "validatingadmissionpolicybindings", "create"))
        ]
    });
    call(&server, "POST", &format!("{roles}/clusterroles"), &role).await.success();
    let binding = value!({
        "metadata": {"name": "policies"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "policies"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}]
    });
    call(&server, "POST", &format!("{roles}/clusterrolebindings"), &binding).await.success();
    server.registry.hub.catch_up().await.unwrap();
    let as_jane = async |plural: &str, object: Value| {
        let path = format!("{GROUP}/{plural}");
        let headers = [("content-type", "application/json")];
        send(&server, Some(&jane), "POST", &path, &headers, object::json::to_vec(&object)).await
    };
    let policy = |name: &str| {
        named(
            "ValidatingAdmissionPolicy",
            name,
            value!({
                "matchConstraints": (constraints("", "configmaps")),
                "paramKind": {"apiVersion": "v1", "kind": "Secret"},
                "validations": [{"expression": "false", "messageExpression": "string(params.data.key)"}]
            }),
        )
    };
    let (code, _, message) = as_jane("validatingadmissionpolicies", policy("secrets")).await.status();
    let why = "spec.paramKind: Forbidden: user \"jane\" must have \"get\" permission on all objects of the referenced paramKind (kind=Secret, apiVersion=v1)";
    assert_eq!(code, 422, "{message}");
    assert!(message.ends_with(why), "{message}");
    create(&server, "validatingadmissionpolicies", &policy("secrets")).await;
    let bound = named(
        "ValidatingAdmissionPolicyBinding",
        "secrets",
        value!({
            "policyName": "secrets", "validationActions": ["Warn"],
            "paramRef": {"name": "s", "namespace": "kube-system", "parameterNotFoundAction": "Allow"}
        }),
    );
    let (code, _, message) = as_jane("validatingadmissionpolicybindings", bound.clone()).await.status();
    let why = "spec.paramRef: Forbidden: user \"jane\" does not have \"get\" permission on the object referenced by paramRef";
    assert_eq!(code, 422, "{message}");
    assert!(message.ends_with(why), "{message}");
    let mut more = role.clone();
    more.entry("rules").as_list_mut().unwrap().push(rule("", "secrets", "get"));
    call(&server, "PUT", &format!("{roles}/clusterroles/policies"), &more).await.success();
    server.registry.hub.catch_up().await.unwrap();
    as_jane("validatingadmissionpolicybindings", bound).await.success();
    as_jane("validatingadmissionpolicies", policy("others")).await.success();
}

/// Two variables may have one name: what stands behind both means the later one, what stands between them the one before.
#[tokio::test(flavor = "multi_thread")]
async fn a_variable_can_be_defined_again() {
    let server = TestServer::start().await;
    let spec = value!({
        "matchConstraints": (constraints("", "configmaps")),
        "variables": [
            {"name": "x", "expression": "1"},
            {"name": "y", "expression": "variables.x + 1"},
            {"name": "x", "expression": "'the name is ' + object.metadata.name"},
            {"name": "x", "expression": "variables.x + '.'"}
        ],
        "validations": [{"expression": "variables.y == 2 && variables.x == 'the name is one.'"}]
    });
    validating(&server, "again", spec).await;
    bind(&server, "again", value!({})).await;
    call(&server, "POST", MAPS, &config_map("one", &[])).await.success();
    assert_eq!(call(&server, "POST", MAPS, &config_map("two", &[])).await.code, 422);
}
