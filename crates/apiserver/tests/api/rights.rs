//! No form of a request allows what another form would refuse.

use apiserver::testing::{TestServer, admin};
use apiserver::user::User;
use object::{Value, value};

use crate::support::*;

mod chain;
mod escalation;
mod impersonation;
mod parameters;
mod parts;
mod proxy;
mod tokens;

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles";
const ROLE_BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";

/// A rule.
fn rule(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Value {
    let list = |values: &[&str]| Value::from(values.iter().map(|v| Value::from(*v)).collect::<Vec<_>>());
    value!({"verbs": list(verbs), "apiGroups": list(groups), "resources": list(resources)})
}

/// Gives a user rules in the whole cluster.
async fn grant(server: &TestServer, user: &str, rules: Vec<Value>) {
    let role = value!({"metadata": {"name": user}, "rules": rules});
    call(server, "POST", &format!("{RBAC}/clusterroles"), &role).await.success();
    let binding = value!({
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]
    });
    call(server, "POST", &format!("{RBAC}/clusterrolebindings"), &binding).await.success();
    server.registry.hub.catch_up().await.unwrap();
}

/// Sends a body as a user.
async fn send_as(server: &TestServer, user: &User, method: &str, path: &str, body: &Value) -> Reply {
    let content_type = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let body = if body.is_null() { Vec::new() } else { object::json::to_vec(body) };
    send(server, Some(user), method, path, &[("content-type", content_type)], body).await
}

#[tokio::test]
async fn a_put_that_creates_takes_the_right_to_create() {
    let server = TestServer::start().await;
    let jane = User::new("jane", &[]);
    let all = |verbs: &[&str]| {
        vec![
            rule(verbs, &[""], &["endpoints", "nodes"]),
            rule(verbs, &["rbac.authorization.k8s.io"], &["*"]),
            rule(verbs, &["coordination.k8s.io"], &["leases"]),
            rule(&["bind", "escalate"], &["rbac.authorization.k8s.io"], &["*"]),
        ]
    };
    grant(&server, "jane", all(&["get", "update", "patch"])).await;
    let binding = |kind: &str, plural: &str| {
        let role = value!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "view"});
        (format!("{RBAC}/{plural}/new"), value!({"metadata": {"name": "new"}, "roleRef": role}))
    };
    let named = || value!({"metadata": {"name": "new"}});
    let cases = [
        ("/api/v1/namespaces/default/endpoints/new".to_owned(), named()),
        ("/apis/coordination.k8s.io/v1/namespaces/default/leases/new".to_owned(), named()),
        (format!("{ROLES}/new"), named()),
        (format!("{RBAC}/clusterroles/new"), named()),
        binding("ClusterRole", "clusterrolebindings"),
        binding("ClusterRole", "namespaces/default/rolebindings"),
    ];
    for (path, object) in &cases {
        for query in ["", "?dryRun=All"] {
            let (code, reason, message) =
                send_as(&server, &jane, "PUT", &format!("{path}{query}"), object).await.status();
            assert_eq!((code, reason.as_str()), (403, "Forbidden"), "{path}{query}: {message}");
            assert!(message.contains("User \"jane\" cannot create resource"), "{path}: {message}");
        }
        // A component of the same process is asked the same.
        let body = object::json::to_bytes(object);
        let refused = server.request(&jane, "PUT", path, "application/json", body).await.unwrap_err();
        assert_eq!(refused.code, 403, "{path}");
        assert_eq!(get(&server, path).await.code, 404, "{path}");
    }
    // A kind that is not made by an update says that it is missing.
    assert_eq!(send_as(&server, &jane, "PUT", "/api/v1/nodes/new", &named()).await.code, 404);
    let message = send_as(&server, &jane, "PUT", &cases[1].0, &cases[1].1).await.status().2;
    assert_eq!(
        message,
        "leases.coordination.k8s.io \"new\" is forbidden: User \"jane\" cannot create resource \"leases\" in API group \"coordination.k8s.io\" in the namespace \"default\""
    );
    let june = User::new("june", &[]);
    grant(&server, "june", all(&["update", "create"])).await;
    for (path, object) in &cases {
        assert_eq!(send_as(&server, &june, "PUT", path, object).await.code, 201, "{path}");
        // Jane may change the existing object.
        assert_ne!(send_as(&server, &jane, "PUT", path, object).await.code, 403, "{path}");
    }
}

#[tokio::test]
async fn every_kind_that_an_update_makes_asks_for_the_right_to_create_it() {
    let server = TestServer::start().await;
    grant(&server, "jane", vec![rule(&["update"], &["*"], &["*"])]).await;
    let jane = User::new("jane", &[]);
    let mut kinds = 0;
    let made_by_update = |endpoint: &&std::sync::Arc<apiserver::registry::Endpoint>| {
        endpoint.strategy.creates_on_update() && endpoint.collection.is_some()
    };
    for endpoint in server.registry.catalogue.present().endpoints().filter(made_by_update) {
        let def = &endpoint.def;
        let namespace = if endpoint.namespaced() { "default" } else { "" };
        let prefix = if def.group.is_empty() { "/api".to_owned() } else { format!("/apis/{}", def.group) };
        let place = if namespace.is_empty() { String::new() } else { format!("/namespaces/{namespace}") };
        let path = format!("{prefix}/{}{place}/{}/new", def.version, def.plural);
        let reply = send_as(&server, &jane, "PUT", &path, &value!({"metadata": {"name": "new"}})).await;
        let (code, _, message) = reply.status();
        assert_eq!(code, 403, "{path}: {message}");
        assert!(message.contains("User \"jane\" cannot create resource"), "{path}: {message}");
        kinds += 1;
    }
    assert!(kinds > 5, "{kinds} kinds are made by an update");
}

#[tokio::test]
async fn refusals_name_the_namespace_as_upstream_does() {
    let server = TestServer::start().await;
    let nobody = User::new("nobody", &[]);
    let table = [
        (
            "/api/v1/namespaces/default",
            "namespaces \"default\" is forbidden: User \"nobody\" cannot get resource \"namespaces\" in API group \"\" in the namespace \"default\"",
        ),
        (
            "/api/v1/namespaces",
            "namespaces is forbidden: User \"nobody\" cannot list resource \"namespaces\" in API group \"\" at the cluster scope",
        ),
        (
            "/api/v1/namespaces/default/pods/p/log",
            "pods \"p\" is forbidden: User \"nobody\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"default\"",
        ),
    ];
    for (path, expected) in table {
        assert_eq!(send_as(&server, &nobody, "GET", path, &Value::Null).await.status().2, expected);
    }
    let path = "/logs/%3Cb%3E";
    let message = send_as(&server, &nobody, "GET", path, &Value::Null).await.status().2;
    assert!(!message.contains('<'), "{message}");
}
