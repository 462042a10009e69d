//! Cluster-scoped objects are served only at cluster-wide paths, namespaced objects only at their namespace's:
//! otherwise rights in one namespace would be rights everywhere (compare CVE-2019-11247).

use apiserver::testing::TestServer;
use apiserver::user::User;
use object::value;

use crate::support::*;

/// A user who may do everything in the namespace `default` and nothing elsewhere.
async fn owner_of_default(server: &TestServer) -> User {
    let binding = value!({
        "metadata": {"name": "owner"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "owner"}]
    });
    server.create("rbac.authorization.k8s.io", "rolebindings", "default", binding).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    User { name: "owner".into(), groups: vec!["system:authenticated".into()], ..User::default() }
}

#[tokio::test]
async fn rights_in_a_namespace_reach_nothing_of_the_cluster() {
    let server = TestServer::start().await;
    let owner = owner_of_default(&server).await;
    server.create("", "namespaces", "", value!({"metadata": {"name": "other"}})).await.unwrap();
    server.create("", "nodes", "", value!({"metadata": {"name": "n"}})).await.unwrap();
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/clusterroles";
    let role = r#"{"metadata": {"name": "mine"}, "rules": []}"#;
    let namespace = r#"{"metadata": {"name": "third"}}"#;
    let cases = [
        ("GET", "/api/v1/namespaces/default/nodes".to_owned(), ""),
        ("GET", "/api/v1/namespaces/default/nodes/n".to_owned(), ""),
        ("GET", "/api/v1/namespaces/default/nodes?watch=true&timeoutSeconds=1".to_owned(), ""),
        ("GET", "/api/v1/watch/namespaces/default/nodes".to_owned(), ""),
        ("DELETE", "/api/v1/namespaces/default/nodes".to_owned(), ""),
        ("DELETE", "/api/v1/namespaces/default/nodes/n".to_owned(), ""),
        ("POST", "/api/v1/namespaces/default/nodes".to_owned(), r#"{"metadata": {"name": "m"}}"#),
        ("GET", "/api/v1/namespaces/default/nodes/n/proxy/pods".to_owned(), ""),
        ("POST", rbac.to_owned(), role),
        ("PUT", format!("{rbac}/mine"), role),
        ("DELETE", rbac.to_owned(), ""),
        ("GET", "/api/v1/namespaces/default/namespaces".to_owned(), ""),
        ("GET", "/api/v1/namespaces/default/namespaces/other".to_owned(), ""),
        ("POST", "/api/v1/namespaces/default/namespaces".to_owned(), namespace),
        (
            "PUT",
            "/api/v1/namespaces/default/namespaces/other".to_owned(),
            r#"{"metadata": {"name": "other"}}"#,
        ),
        (
            "PUT",
            "/api/v1/namespaces/default/namespaces/other/finalize".to_owned(),
            r#"{"metadata": {"name": "other"}}"#,
        ),
        (
            "PATCH",
            "/api/v1/namespaces/default/namespaces/other".to_owned(),
            r#"{"metadata": {"labels": {"a": "b"}}}"#,
        ),
        ("DELETE", "/api/v1/namespaces/default/namespaces/other".to_owned(), ""),
    ];
    for (method, path, body) in &cases {
        let content_type =
            if *method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let reply = send(&server, Some(&owner), method, path, &[("content-type", content_type)], *body).await;
        assert_eq!(reply.code, 404, "{method} {path}: {:?}", reply.bytes);
        let (_, _, message) = reply.status();
        assert_eq!(message, "the server could not find the requested resource", "{method} {path}");
    }
    // The namespace itself is still accessible through its own path.
    let own = send(&server, Some(&owner), "GET", "/api/v1/namespaces/default", &[], "").await;
    assert_eq!(own.code, 200, "{:?}", own.bytes);
    let other = send(&server, Some(&owner), "GET", "/api/v1/namespaces/other", &[], "").await;
    assert_eq!(other.code, 403, "{:?}", other.bytes);
}

#[tokio::test]
async fn objects_of_a_namespace_are_not_made_or_removed_for_all_namespaces() {
    let server = TestServer::start().await;
    let map = value!({"metadata": {"name": "m", "namespace": "default"}});
    for (method, body) in [("POST", &map), ("DELETE", &value!(null))] {
        let reply = call(&server, method, "/api/v1/configmaps", body).await;
        let (code, reason, _) = reply.status();
        assert_eq!((code, reason.as_str()), (405, "MethodNotAllowed"), "{method}");
    }
    for method in ["GET", "DELETE"] {
        let reply = call(&server, method, "/api/v1/configmaps/m", &value!(null)).await;
        assert_eq!(reply.code, 404, "{method}");
    }
}
