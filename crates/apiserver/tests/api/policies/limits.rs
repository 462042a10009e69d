//! What policies may take, and what they may not keep others from.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;

const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";
/// Costs about 600,000 units.
const DEAR: &str = "lists.range(100000).all(x, x >= 0)";

/// A policy for ConfigMaps with these variables and validations, in force.
async fn in_force(server: &TestServer, name: &str, variables: Vec<Value>, validations: Vec<Value>) {
    let spec = value!({
        "matchConstraints": (constraints("", "configmaps")), "variables": variables, "validations": validations
    });
    validating(server, name, spec).await;
    bind(server, name, value!({})).await;
}

fn variable(at: usize, expression: &str) -> Value {
    value!({"name": (format!("v{at}")), "expression": expression})
}

fn validation(expression: impl Into<String>) -> Value {
    let expression: String = expression.into();
    value!({"expression": expression})
}

async fn refusal(server: &TestServer) -> String {
    let (code, _, message) = call(server, "POST", MAPS, &config_map("one", &[])).await.status();
    assert_eq!(code, 422, "{message}");
    message
}

/// One expression can use as many variables as it likes, but not more than its policy's budget.
#[tokio::test(flavor = "multi_thread")]
async fn variables_share_the_budget() {
    let server = TestServer::start().await;
    let variables = (0..300).map(|at| variable(at, DEAR)).collect();
    let all: Vec<String> = (0..300).map(|at| format!("variables.v{at}")).collect();
    in_force(&server, "many", variables, vec![validation(all.join(" && "))]).await;
    assert!(refusal(&server).await.ends_with(OUT_OF_BUDGET));
}

/// What was computed before an expression had to wait for a decision counts as well.
#[tokio::test(flavor = "multi_thread")]
async fn variables_count_where_decisions_are_waited_for() {
    let server = TestServer::start().await;
    let variables = (0..14).map(|at| variable(at, DEAR)).collect();
    let waits = |at: usize| {
        let check = format!("authorizer.path('/{at}').check('get').allowed()");
        validation(format!("variables.v{at} && ({check} || true)"))
    };
    in_force(&server, "waits", variables, (0..14).map(waits).collect()).await;
    assert!(refusal(&server).await.ends_with(OUT_OF_BUDGET));
}

/// The longest chain that is accepted is evaluated on an ordinary stack.
#[tokio::test(flavor = "multi_thread")]
async fn chains_of_variables_fit_on_a_stack() {
    let server = TestServer::start().await;
    let chain = |length: usize| -> Vec<Value> {
        let of = |at: usize| match at {
            0 => variable(0, "1"),
            at => variable(at, &format!("variables.v{} + 1", at - 1)),
        };
        (0..length).map(of).collect()
    };
    in_force(&server, "chain", chain(66), vec![validation("variables.v65 == 66")]).await;
    call(&server, "POST", MAPS, &config_map("one", &[])).await.success();
    let spec = value!({
        "matchConstraints": (constraints("", "configmaps")),
        "variables": (chain(4096)), "validations": [{"expression": "variables.v4095 == 4096"}]
    });
    let policy = named("ValidatingAdmissionPolicy", "deep", spec);
    let path = format!("{GROUP}/validatingadmissionpolicies");
    let (code, _, message) = call(&server, "POST", &path, &policy).await.status();
    assert_eq!(code, 422);
    assert!(message.contains("variables are nested too deeply"), "{message}");
}

/// How often another task has its turn during a request.
async fn counted(request: impl Future<Output = Reply>, check: impl FnOnce(Reply)) -> u64 {
    let (turns, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (counted, ends) = (Arc::clone(&turns), Arc::clone(&is_over));
    let other = tokio::spawn(async move {
        while !ends.load(Ordering::Relaxed) {
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
        }
    });
    check(request.await);
    is_over.store(true, Ordering::Relaxed);
    other.await.unwrap();
    turns.load(Ordering::Relaxed)
}

/// However much a policy computes, other requests on the same thread get their turn.
#[tokio::test]
async fn others_get_their_turn_between_expressions() {
    let server = TestServer::start().await;
    let dear = "lists.range(50000).all(x, x >= 0)";
    in_force(&server, "dear", Vec::new(), (0..30).map(|_| validation(dear)).collect()).await;
    let map = config_map("one", &[]);
    let turns = counted(call(&server, "POST", MAPS, &map), |reply| {
        reply.success();
    });
    assert!(turns.await >= 30);
}

/// Parameters that are beyond the limit are not left out in silence: who may create objects could displace others.
#[tokio::test(flavor = "multi_thread")]
async fn too_many_parameters_are_a_failure() {
    let server = TestServer::start().await;
    let spec = value!({
        "matchConstraints": (constraints("apps", "deployments")),
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "params.metadata.name != 'z'", "message": "z says no"}]
    });
    validating(&server, "limits", spec).await;
    let selected = value!({
        "paramRef": {"selector": {"matchLabels": {"limits": "yes"}}, "parameterNotFoundAction": "Allow"}
    });
    bind(&server, "limits", selected).await;
    let create = async |name: &str| {
        call(&server, "POST", MAPS, &config_map(name, &[("limits", "yes")])).await.success();
    };
    create("z").await;
    server.registry.hub.catch_up().await.unwrap();
    let (_, _, message) = call(&server, "POST", DEPLOYMENTS, &deployment_of("one", 1)).await.status();
    assert!(message.ends_with("denied request: z says no"), "{message}");
    for at in 0..1000 {
        create(&format!("a{at}")).await;
    }
    server.registry.hub.catch_up().await.unwrap();
    let (code, _, message) = call(&server, "POST", DEPLOYMENTS, &deployment_of("one", 1)).await.status();
    assert_eq!(code, 422, "{message}");
    let why = "failed to configure binding: the selector of paramRef matches more than 1000 objects";
    assert!(message.ends_with(why), "{message}");
}

/// What all bindings of a request have together is bounded too, and while it is looked up others get their turn.
#[tokio::test]
async fn too_many_parameters_of_several_bindings_are_a_failure() {
    let server = TestServer::start().await;
    for at in 0..1000 {
        call(&server, "POST", MAPS, &config_map(&format!("a{at}"), &[("of", "all")])).await.success();
    }
    let spec = value!({
        "matchConstraints": (constraints("apps", "deployments")), "failurePolicy": "Fail",
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "reinvocationPolicy": "Never",
        "matchConditions": [{"name": "never", "expression": "false"}],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression":
            "[JSONPatch{op: 'remove', path: '/spec'}]"}}]
    });
    create(&server, "mutatingadmissionpolicies", &named("MutatingAdmissionPolicy", "many", spec)).await;
    let selected = value!({"policyName": "many", "paramRef": {
        "selector": {"matchLabels": {"of": "all"}}, "parameterNotFoundAction": "Allow"
    }});
    let add = async |at: usize| {
        let binding = named("MutatingAdmissionPolicyBinding", &format!("b{at:02}"), selected.clone());
        create(&server, "mutatingadmissionpolicybindings", &binding).await;
    };
    for at in 0..10 {
        add(at).await;
    }
    let one = deployment_of("one", 1);
    let turns = counted(call(&server, "POST", DEPLOYMENTS, &one), |reply| {
        reply.success();
    });
    assert!(turns.await >= 10);
    add(10).await;
    let (code, _, message) = call(&server, "POST", DEPLOYMENTS, &deployment_of("two", 1)).await.status();
    assert_eq!(code, 403, "{message}");
    let why = "policy 'many' with binding 'b10' denied request: the bindings for the request have more than 10000 sets of parameters together";
    assert_eq!(message, why);
}

/// A policy that refuses everything does not keep the server from starting, where it could be removed.
#[tokio::test(flavor = "multi_thread")]
async fn policies_do_not_keep_the_server_from_starting() {
    let store: Arc<dyn store::Store> = Arc::new(store::Embedded::in_memory(clock::Clock::system()));
    let first = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:discovery";
    call(&first, "DELETE", role, &Value::Null).await.success();
    let spec = value!({
        "matchConstraints": {"resourceRules": [{
            "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]
        }]},
        "validations": [{"expression": "false"}]
    });
    validating(&first, "nothing", spec).await;
    bind(&first, "nothing", value!({})).await;
    refusal(&first).await;
    drop(first);
    let second = TestServer::over(store, &["10.43.0.0/16"]).await;
    get(&second, role).await.success();
    refusal(&second).await;
    let binding = format!("{GROUP}/validatingadmissionpolicybindings/nothing");
    call(&second, "DELETE", &binding, &Value::Null).await.success();
    second.registry.hub.catch_up().await.unwrap();
    call(&second, "POST", MAPS, &config_map("one", &[])).await.success();
}

/// A type that contains itself is followed once (its status would otherwise never be there).
#[tokio::test(flavor = "multi_thread")]
async fn policies_about_definitions_are_checked() {
    let server = TestServer::start().await;
    server.check_policies();
    let path = format!("{GROUP}/validatingadmissionpolicies?watch=1&resourceVersion=0");
    let mut watch = Watch::open(&server, &path).await;
    let spec = value!({
        "matchConstraints": {"resourceRules": [{
            "apiGroups": ["apiextensions.k8s.io"], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": ["customresourcedefinitions"]
        }]},
        "validations": [{"expression": "object.spec.nonsense == 1"}]
    });
    validating(&server, "definitions", spec).await;
    loop {
        let event = watch.next().await.expect("the watch goes on");
        if event.at("object.status.observedGeneration").as_i64() == Some(1) {
            let warnings = event.at("object.status.typeChecking.expressionWarnings");
            break assert_eq!(warnings.items().count(), 1);
        }
    }
}

/// Nothing keeps a policy from being changed, but what webhooks are configured to do is like any other object.
#[tokio::test(flavor = "multi_thread")]
async fn policies_apply_to_webhooks_but_not_to_policies() {
    let server = TestServer::start().await;
    let no = vec![value!({"expression": "false", "message": "no"})];
    let spec = value!({
        "matchConstraints": (constraints("admissionregistration.k8s.io", "*")), "validations": no
    });
    validating(&server, "never", spec.clone()).await;
    bind(&server, "never", value!({})).await;
    let label = value!({
        "reinvocationPolicy": "Never",
        "matchConstraints": (constraints("admissionregistration.k8s.io", "*")),
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {
            "expression": "[JSONPatch{op: 'add', path: '/metadata/labels', value: {'seen': 'yes'}}]"
        }}]
    });
    mutating(&server, "label", label).await;
    for plural in ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"] {
        let path = format!("{GROUP}/{plural}");
        let (code, _, message) =
            call(&server, "POST", &path, &value!({"metadata": {"name": "w"}})).await.status();
        let why = "ValidatingAdmissionPolicy 'never' with binding 'never' denied request: no";
        assert!(code == 422 && message.ends_with(why), "{plural}: {code} {message}");
    }
    validating(&server, "other", spec).await;
    bind(&server, "other", value!({})).await;
    let path = format!("{GROUP}/validatingadmissionpolicybindings/never");
    call(&server, "PATCH", &path, &value!({"spec": {"validationActions": ["Warn"]}})).await.success();
    let path = format!("{GROUP}/validatingadmissionpolicybindings/other");
    call(&server, "DELETE", &path, &Value::Null).await.success();
    server.registry.hub.catch_up().await.unwrap();
    let path = format!("{GROUP}/mutatingwebhookconfigurations");
    let made = call(&server, "POST", &path, &value!({"metadata": {"name": "w"}})).await;
    assert_eq!(made.warnings().len(), 1, "{:?}", made.headers);
    assert_eq!(made.success().at("metadata.labels"), &value!({"seen": "yes"}));
}
