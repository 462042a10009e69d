//! Evictions of pods, with budgets whose status is written by hand.

use apiserver::testing::TestServer;
use object::{Value, value};

use crate::support::*;

const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

/// Makes a running pod that stays, in deletion, when it is evicted.
async fn running(server: &TestServer, name: &str, ready: &str) -> String {
    let mut pod = pod(name);
    pod.entry("metadata").set("finalizers", value!(["test/hold"]));
    pod.entry("metadata").entry("labels").set("of", "web");
    call(server, "POST", PODS, &pod).await.success();
    let path = format!("{PODS}/{name}");
    let status = value!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}});
    call(server, "PATCH", &format!("{path}/status"), &status).await.success();
    path
}

/// Makes or changes the budget of all such pods.
async fn budget(server: &TestServer, name: &str, spec: Value, status: Value) {
    let path = format!("{BUDGETS}/{name}");
    if get(server, &path).await.code == 404 {
        let mut spec = spec;
        spec.set("selector", value!({"matchLabels": {"of": "web"}}));
        call(server, "POST", BUDGETS, &value!({"metadata": {"name": name}, "spec": spec})).await.success();
    }
    call(server, "PATCH", &format!("{path}/status"), &value!({"status": status})).await.success();
}

fn allowing(disruptions: i64) -> Value {
    value!({
        "observedGeneration": 1i64, "disruptionsAllowed": disruptions, "currentHealthy": 3i64, "desiredHealthy": 2i64,
        "expectedPods": 3i64, "disruptedPods": Value::Null, "conditions": Value::Null,
    })
}

async fn evict(server: &TestServer, name: &str, options: Value) -> Reply {
    let eviction = value!({
        "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}, "deleteOptions": options,
    });
    call(server, "POST", &format!("{PODS}/{name}/eviction"), &eviction).await
}

/// Code, message, the cause that is a budget's, and after how many seconds to try again.
fn refusal(reply: &Reply) -> (u16, String, String, i64) {
    let (code, _, message) = reply.status();
    let json = reply.json();
    let causes = json.at("details.causes");
    let of_budget = causes.items().find(|cause| cause.str_at("reason") == "DisruptionBudget");
    let cause = of_budget.map(|cause| cause.str_at("message").to_owned()).unwrap_or_default();
    (code, message, cause, json.at("details.retryAfterSeconds").as_i64().unwrap_or(0))
}

async fn is_deleting(server: &TestServer, path: &str) -> bool {
    !get(server, path).await.success().at("metadata.deletionTimestamp").is_null()
}

#[tokio::test]
async fn an_eviction_takes_one_disruption_of_the_budget_and_shows_on_the_pod() {
    let server = server_for_pods().await;
    let (a, b) = (running(&server, "a", "True").await, running(&server, "b", "True").await);
    budget(&server, "web", value!({"minAvailable": 2i64}), allowing(1)).await;

    let dry = evict(&server, "a", value!({"dryRun": ["All"]})).await;
    assert_eq!(dry.code, 201);
    let left = get(&server, &format!("{BUDGETS}/web")).await.success();
    assert_eq!(left.at("status.disruptionsAllowed").as_i64(), Some(1));
    let pod = get(&server, &a).await.success();
    assert!(pod.at("metadata.deletionTimestamp").is_null());
    assert!(!pod.at("status.conditions").items().any(|one| one.str_at("type") == "DisruptionTarget"));

    assert_eq!(evict(&server, "a", Value::Null).await.code, 201);
    let pod = get(&server, &a).await.success();
    assert!(!pod.at("metadata.deletionTimestamp").is_null());
    let conditions = pod.at("status.conditions");
    let target = conditions.items().find(|one| one.str_at("type") == "DisruptionTarget").unwrap();
    for (member, expected) in
        [("status", "True"), ("reason", "EvictionByEvictionAPI"), ("message", "Eviction API: evicting")]
    {
        assert_eq!(target.str_at(member), expected);
    }
    assert_eq!(target.get("observedGeneration").as_i64(), Some(1));
    assert_eq!(conditions.items().count(), 2, "the others stay");

    let left = get(&server, &format!("{BUDGETS}/web")).await.success();
    assert_eq!(left.at("status.disruptionsAllowed").as_i64(), Some(0));
    let disrupted: Vec<&str> = left.at("status.disruptedPods").entries().map(|(name, _)| name).collect();
    assert_eq!(disrupted, ["a"]);
    let condition = left.at("status.conditions").items().next().unwrap();
    let shown = ["type", "status", "reason"].map(|member| condition.str_at(member));
    assert_eq!(shown, ["DisruptionAllowed", "False", "InsufficientPods"]);

    // One that goes already needs no budget, another one does.
    assert_eq!(evict(&server, "a", Value::Null).await.code, 201);
    assert_eq!(evict(&server, "b", Value::Null).await.code, 429);
    assert!(!is_deleting(&server, &b).await);
}

#[tokio::test]
async fn a_budget_says_why_it_refuses() {
    let server = server_for_pods().await;
    running(&server, "a", "True").await;
    let with = |status: Value, changes: &[(&'static str, Value)]| {
        changes.iter().fold(status, |mut status, (member, value)| {
            status.set(*member, value.clone());
            status
        })
    };
    let condition = |reason: &str, message: &str| {
        value!([{
            "type": "DisruptionAllowed", "status": "False", "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }])
    };
    let few = [("currentHealthy", Value::from(1i64))];
    let failed = [("conditions", condition("SyncFailed", "no scale")), few[0].clone()];
    let other = [("conditions", condition("Odd", "odd"))];
    let late = [("observedGeneration", Value::from(0i64))];
    let mut many = Value::from(object::Map::default());
    for number in 0..2001 {
        many.set(format!("p{number}"), "2026-01-01T00:00:00Z");
    }
    let crowded = [("disruptedPods", many)];
    let violates = "Cannot evict pod as it would violate the pod's disruption budget.";
    let none = "The disruption budget web does not allow evicting pods currently";
    for (status, message, cause, retry) in [
        (
            with(allowing(0), &few),
            violates,
            "The disruption budget web needs 2 healthy pods and has 1 currently".to_owned(),
            0,
        ),
        (with(allowing(0), &failed), violates, format!("{none} because it failed sync: no scale"), 0),
        (with(allowing(0), &other), violates, format!("{none} (Odd): odd"), 0),
        (allowing(0), violates, none.to_owned(), 0),
        (
            with(allowing(1), &late),
            violates,
            "The disruption budget web is still being processed by the server.".to_owned(),
            10,
        ),
        (
            with(allowing(1), &crowded),
            "poddisruptionbudget.policy \"web\" is forbidden: DisruptedPods map too big - too many \
            evictions not confirmed by PDB controller",
            String::new(),
            0,
        ),
    ] {
        budget(&server, "web", value!({"minAvailable": 2i64}), status).await;
        let code = if cause.is_empty() { 403 } else { 429 };
        let refused = refusal(&evict(&server, "a", Value::Null).await);
        assert_eq!(refused, (code, message.to_owned(), cause, retry));
    }
}

#[tokio::test]
async fn pods_that_are_not_ready_go_as_their_budget_says() {
    let server = server_for_pods().await;
    for (name, policy, healthy, desired, goes) in [
        ("a", None, 2i64, 2i64, true),
        ("b", None, 1, 2, false),
        ("c", None, 0, 0, false),
        ("d", Some("IfHealthyBudget"), 2, 2, true),
        ("e", Some("IfHealthyBudget"), 1, 2, false),
        ("f", Some("AlwaysAllow"), 1, 2, true),
    ] {
        let path = running(&server, name, "False").await;
        let mut spec = value!({"minAvailable": 2i64});
        if let Some(policy) = policy {
            spec.set("unhealthyPodEvictionPolicy", policy);
        }
        let mut status = allowing(0);
        status.set("currentHealthy", healthy);
        status.set("desiredHealthy", desired);
        budget(&server, "web", spec, status).await;
        let code = evict(&server, name, Value::Null).await.code;
        assert_eq!((code, is_deleting(&server, &path).await), (if goes { 201 } else { 429 }, goes), "{name}");
        let left = get(&server, &format!("{BUDGETS}/web")).await.success();
        assert!(left.at("status.disruptedPods").is_null(), "{name} was not counted");
        call(&server, "DELETE", &format!("{BUDGETS}/web"), &Value::Null).await.success();
    }
}

#[tokio::test]
async fn a_pod_that_does_not_run_goes_without_asking_and_several_budgets_forbid() {
    let server = server_for_pods().await;
    let path = running(&server, "a", "True").await;
    let ended = running(&server, "b", "True").await;
    for name in ["web", "more"] {
        budget(&server, name, value!({"minAvailable": 2i64}), allowing(1)).await;
    }
    let several = evict(&server, "a", Value::Null).await;
    let (code, reason, message) = several.status();
    let why =
        "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
    assert_eq!((code, reason.as_str(), message.as_str()), (500, "", why));
    assert!(!is_deleting(&server, &path).await);
    for phase in ["Succeeded", "Failed", "Pending"] {
        let name = format!("in-{}", phase.to_lowercase());
        let path = running(&server, &name, "True").await;
        let status = value!({"status": {"phase": phase}});
        call(&server, "PATCH", &format!("{path}/status"), &status).await.success();
        assert_eq!(evict(&server, &name, Value::Null).await.code, 201, "{phase}");
        assert!(is_deleting(&server, &path).await, "{phase}");
    }
    assert!(!is_deleting(&server, &ended).await);
    // An empty selector selects all pods of the namespace.
    for name in ["web", "more"] {
        call(&server, "DELETE", &format!("{BUDGETS}/{name}"), &Value::Null).await.success();
    }
    let all = value!({"metadata": {"name": "all"}, "spec": {"minAvailable": 2i64, "selector": {}}});
    call(&server, "POST", BUDGETS, &all).await.success();
    assert_eq!(evict(&server, "a", Value::Null).await.code, 429);
}

#[tokio::test]
async fn an_eviction_means_the_pod_that_it_names() {
    let server = server_for_pods().await;
    let path = running(&server, "a", "True").await;
    let eviction = value!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "b"}});
    let other = call(&server, "POST", &format!("{path}/eviction"), &eviction).await;
    let mismatch = "name in URL does not match name in Eviction object";
    assert_eq!(other.status(), (400, "BadRequest".into(), mismatch.into()));
    let version = get(&server, &path).await.success().str_at("metadata.resourceVersion").to_owned();
    for (what, member, wanted, found, how) in [
        ("ResourceVersion", "resourceVersion", "1", version.as_str(), "modified"),
        ("UID", "uid", "x", "", "deleted and then recreated"),
    ] {
        let mut preconditions = Value::from(object::Map::default());
        preconditions.set(member, wanted);
        let refused = evict(&server, "a", value!({"preconditions": preconditions})).await;
        let (code, reason, message) = refused.status();
        assert_eq!((code, reason.as_str()), (409, "Conflict"), "{message}");
        assert!(message.starts_with("Operation cannot be fulfilled on Pod \"a\": the "), "{message}");
        let end = format!("({wanted}) does not match the {what} in record ({found}");
        assert!(message.contains(&end) && message.ends_with(&format!("might have been {how}")), "{message}");
        let pod = get(&server, &path).await.success();
        assert_eq!(pod.str_at("metadata.resourceVersion"), version, "nothing was written");
    }
    let preconditions = value!({"preconditions": {"resourceVersion": version.as_str()}});
    assert_eq!(evict(&server, "a", preconditions).await.code, 201);
    assert!(is_deleting(&server, &path).await);
}
