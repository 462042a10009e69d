//! Requests that keep a processor busy do not keep the threads busy that serve others.

use std::sync::Arc;

use apiserver::Extensions;
use apiserver::registry::{Passage, Stage, StageObserver};
use apiserver::testing::TestServer;
use object::{Value, value};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::support::*;

/// What happens, in its order.
#[derive(Default)]
struct Events {
    list: Mutex<Vec<&'static str>>,
    validates: Notify,
}

impl StageObserver for Events {
    fn passes(&self, passage: &Passage<'_>) {
        match passage.stage {
            Stage::Validation => {
                self.list.lock().push("validation");
                self.validates.notify_one();
            }
            Stage::ValidatingAdmission => self.list.lock().push("validating admission"),
            Stage::Store => self.list.lock().push("store"),
            _ => {}
        }
    }
}

async fn server() -> (Arc<TestServer>, Arc<Events>) {
    let events = Arc::<Events>::default();
    let observer: Arc<dyn StageObserver> = Arc::clone(&events) as _;
    let server = TestServer::with(Extensions { observer: Some(observer), ..Extensions::default() }).await;
    (Arc::new(server), events)
}

/// The events of a creation, with the turn of another task after the one at which it begins to be dear. There is one thread
/// for tasks.
async fn during(
    server: &Arc<TestServer>,
    events: &Arc<Events>,
    path: &str,
    body: Value,
) -> Vec<&'static str> {
    server.registry.hub.catch_up().await.unwrap();
    events.list.lock().clear();
    let (own, path) = (Arc::clone(server), path.to_owned());
    let dear = tokio::spawn(async move { call(&own, "POST", &path, &body).await.success() });
    events.validates.notified().await;
    let own = Arc::clone(events);
    tokio::spawn(async move { own.list.lock().push("other") }).await.unwrap();
    dear.await.unwrap();
    std::mem::take(&mut *events.list.lock())
}

fn definition(rule: &str) -> Value {
    value!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"items": {
                    "type": "array", "maxItems": 400, "items": {"type": "integer"},
                    "x-kubernetes-validations": [{"rule": rule}]
                }}
            }}}]
        }
    })
}

const THINGS: &str = "/apis/example.com/v1/namespaces/default/things";

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn rules_of_objects() {
    let (server, events) = server().await;
    let rule = "self.all(a, self.all(b, a + b >= 0))";
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    call(&server, "POST", definitions, &definition(rule)).await.success();
    established(&server).await;
    // Compiles the rules.
    call(&server, "POST", THINGS, &value!({"metadata": {"name": "small"}, "items": [1i64]})).await.success();
    events.validates.notified().await;
    let items: Vec<Value> = (0..350i64).map(Value::from).collect();
    let large = value!({"metadata": {"name": "large"}, "items": items});
    let told = during(&server, &events, THINGS, large).await;
    assert_eq!(told, ["validation", "other", "validating admission", "store"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn expressions_of_policies() {
    let (server, events) = server().await;
    let group = "/apis/admissionregistration.k8s.io/v1";
    let validations: Vec<Value> = (0..60)
        .map(|at| value!({"expression": (format!("object.metadata.name.matches('^.{{1,{}}}$')", 80 + at))}))
        .collect();
    let policy = |validations: Vec<Value>| {
        value!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "p"},
            "spec": {
                "matchConstraints": {"resourceRules": [{
                    "apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["configmaps"]
                }]},
                "validations": validations
            }
        })
    };
    // To compile them takes as long.
    let path = format!("{group}/validatingadmissionpolicies");
    let told = during(&server, &events, &path, policy(validations)).await;
    assert_eq!(told, ["validation", "other", "validating admission", "store"]);
    call(&server, "DELETE", &format!("{path}/p"), &Value::Null).await.success();
    let dear = value!({"expression": "lists.range(100000).all(x, x >= 0)"});
    call(&server, "POST", &path, &policy(vec![dear; 8])).await.success();
    let binding = value!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": "p"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}
    });
    call(&server, "POST", &format!("{group}/validatingadmissionpolicybindings"), &binding).await.success();
    while let Some(()) = futures::FutureExt::now_or_never(events.validates.notified()) {}
    let path = "/api/v1/namespaces/default/configmaps";
    let told = during(&server, &events, path, config_map("m", &[])).await;
    assert_eq!(told, ["validation", "validating admission", "other", "store"]);
}
