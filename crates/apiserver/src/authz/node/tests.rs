use object::{Status, Value, value};

use crate::testing::{TestServer, value_of};
use crate::user::{GROUP_NODES, User};

pub(crate) fn node(name: &str) -> User {
    User::new(format!("system:node:{name}"), &[GROUP_NODES])
}

/// A server with a pod on node `a` that needs one of everything, and one on node `b` that needs nothing.
async fn cluster() -> TestServer {
    let server = TestServer::start().await;
    let named = |name: &str| value!({"metadata": {"name": name}});
    server.create("", "serviceaccounts", "default", named("default")).await.unwrap();
    server.create("", "serviceaccounts", "default", named("other")).await.unwrap();
    for name in ["a", "b"] {
        server.create("", "nodes", "", named(name)).await.unwrap();
    }
    let claim = value!({"metadata": {"name": "data"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "volumeName": "disk", "resources": {"requests": {"storage": "1Gi"}}
    }});
    server.create("", "persistentvolumeclaims", "default", claim).await.unwrap();
    for (name, claim) in [("disk", "data"), ("other-disk", "other-data")] {
        let volume = value!({"metadata": {"name": name}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "claimRef": {"namespace": "default", "name": claim},
            "csi": {"driver": "d", "volumeHandle": "h", "nodeStageSecretRef": {"namespace": "vault", "name": name}}
        }});
        server.create("", "persistentvolumes", "", volume).await.unwrap();
    }
    server.create("", "pods", "default", pod("needy", "a", true)).await.unwrap();
    server.create("", "pods", "default", pod("plain", "b", false)).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    server
}

fn pod(name: &str, node: &str, is_needy: bool) -> Value {
    let mut pod = value!({"metadata": {"name": name}, "spec": {
        "nodeName": node, "containers": [{"name": "c", "image": "i"}], "automountServiceAccountToken": false
    }});
    if is_needy {
        pod.set(
            "spec",
            value!({
                "nodeName": node, "automountServiceAccountToken": false,
                "imagePullSecrets": [{"name": "pull"}],
                "containers": [{"name": "c", "image": "i",
                    "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "key", "key": "k"}}}],
                    "envFrom": [{"configMapRef": {"name": "all"}}]}],
                "volumes": [
                    {"name": "one", "secret": {"secretName": "mounted"}},
                    {"name": "two", "projected": {"sources": [{"configMap": {"name": "projected"}}, {"serviceAccountToken": {"path": "token"}}]}},
                    {"name": "three", "persistentVolumeClaim": {"claimName": "data"}}
                ]
            }),
        );
    }
    pod
}

async fn ask(
    server: &TestServer,
    user: &User,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<Value, Status> {
    let body = if body.is_null() { bytes::Bytes::new() } else { object::json::to_bytes(body) };
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    server.request(user, method, path, kind, body).await.map(value_of)
}

/// Asserts that a request is authorized, whether the object exists or not, or asserts its refusal.
pub(crate) async fn check(
    server: &TestServer,
    name: &str,
    method: &str,
    path: &str,
    body: &Value,
    expected: &str,
) {
    let answer = ask(server, &node(name), method, path, body).await;
    let message = match answer {
        Err(status) if [403, 500].contains(&status.code) => status.message,
        _ => String::new(),
    };
    if expected.is_empty() {
        assert_eq!(message, "", "{name} {method} {path}");
    } else {
        assert!(message.ends_with(expected), "{name} {method} {path}: {message:?}");
    }
}

#[tokio::test]
async fn a_node_reads_what_its_pods_need() {
    let server = cluster().await;
    let home = "/api/v1/namespaces/default";
    let stranger = "no relationship found between node 'b' and this object";
    let paths = [
        "secrets/pull",
        "secrets/key",
        "secrets/mounted",
        "configmaps/all",
        "configmaps/projected",
        "persistentvolumeclaims/data",
        "pods/needy",
    ];
    for path in paths {
        check(&server, "a", "GET", &format!("{home}/{path}"), &Value::Null, "").await;
        check(&server, "b", "GET", &format!("{home}/{path}"), &Value::Null, stranger).await;
    }
    let volume = ["/api/v1/persistentvolumes/disk", "/api/v1/namespaces/vault/secrets/disk"];
    for path in volume {
        check(&server, "a", "GET", path, &Value::Null, "").await;
        check(&server, "b", "GET", path, &Value::Null, stranger).await;
    }
    #[rustfmt::skip]
    let table = [
        ("/api/v1/persistentvolumes/other-disk", "no relationship found between node 'a' and this object"),
        ("/api/v1/namespaces/vault/secrets/other-disk", "no relationship found between node 'a' and this object"),
        ("/api/v1/namespaces/default/secrets", "No Object name found"),
        ("/api/v1/secrets", "can only read namespaced object of this type"),
        ("/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dmounted", ""),
        ("/api/v1/namespaces/default/secrets?watch=1&fieldSelector=metadata.name%3Dmounted", ""),
        ("/api/v1/namespaces/default/secrets?fieldSelector=metadata.name%3Dother", "no relationship found between node 'a' and this object"),
        ("/api/v1/persistentvolumes", "can only get individual resources of this type"),
        ("/api/v1/pods", "can only list/watch pods with spec.nodeName field selector"),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Da", ""),
        ("/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3D%3Da", ""),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Db", "can only list/watch pods with spec.nodeName field selector"),
        ("/api/v1/nodes/a", ""),
        ("/api/v1/nodes?fieldSelector=metadata.name%3Da", ""),
        ("/api/v1/nodes/b", "node 'a' cannot read 'b', only its own Node object"),
        ("/api/v1/nodes", "node 'a' cannot read all nodes, only its own Node object"),
        ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a", ""),
        ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/b", "can only access node lease with the same name as the requesting node"),
        ("/apis/coordination.k8s.io/v1/namespaces/default/leases/a", "can only access leases in the \"kube-node-lease\" system namespace"),
        ("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", "can only get, create, update, patch, or delete a node lease"),
        ("/apis/storage.k8s.io/v1/csinodes/b", "can only access CSINode with the same name as the requesting node"),
        ("/api/v1/services", ""),
        ("/apis/apps/v1/deployments", "at the cluster scope"),
    ];
    for (path, expected) in table {
        check(&server, "a", "GET", path, &Value::Null, expected).await;
    }
}

#[tokio::test]
async fn what_a_node_may_read_follows_its_pods() {
    let server = cluster().await;
    let secret = "/api/v1/namespaces/default/secrets/mounted";
    let refused = "no relationship found between node 'b' and this object";
    check(&server, "b", "GET", secret, &Value::Null, refused).await;
    server.create("", "pods", "default", pod("second", "b", true)).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    check(&server, "b", "GET", secret, &Value::Null, "").await;
    // Two pods on one node need it: deleting one changes nothing.
    server.create("", "pods", "default", pod("third", "b", true)).await.unwrap();
    let delete = |name: &str| format!("/api/v1/namespaces/default/pods/{name}?gracePeriodSeconds=0");
    server.json("DELETE", &delete("second"), &Value::Null).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    check(&server, "b", "GET", secret, &Value::Null, "").await;
    server.json("DELETE", &delete("third"), &Value::Null).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    check(&server, "b", "GET", secret, &Value::Null, refused).await;
    check(&server, "a", "GET", secret, &Value::Null, "").await;
}

#[tokio::test]
async fn a_node_writes_about_itself() {
    let server = cluster().await;
    let uid = server.get("", "pods", "default", "needy").await.unwrap().str_at("metadata.uid").to_owned();
    let (pods, nodes) = ("/api/v1/namespaces/default/pods", "/api/v1/nodes");
    let label = |key: &str| {
        let mut labels = Value::map();
        labels.set(key.to_owned(), "x");
        value!({"metadata": {"labels": labels}})
    };
    let token = |pod: &str, uid: &str| value!({"spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}}});
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
    #[rustfmt::skip]
    let table = [
        ("PATCH", format!("{nodes}/a"), label("color"), ""),
        ("PATCH", format!("{nodes}/a"), label("node.kubernetes.io/disk"), ""),
        ("PATCH", format!("{nodes}/a"), label("topology.kubernetes.io/zone"), ""),
        ("PATCH", format!("{nodes}/a"), label("node-role.kubernetes.io/worker"), "is not allowed to modify labels: node-role.kubernetes.io/worker"),
        ("PATCH", format!("{nodes}/a"), label("node-restriction.kubernetes.io/x"), "is not allowed to modify labels: node-restriction.kubernetes.io/x"),
        ("PATCH", format!("{nodes}/a"), label("example.k8s.io/x"), "is not allowed to modify labels: example.k8s.io/x"),
        ("PATCH", format!("{nodes}/b"), label("color"), "node \"a\" is not allowed to modify node \"b\""),
        ("PATCH", format!("{nodes}/b/status"), value!({"status": {}}), "node \"a\" is not allowed to modify node \"b\""),
        ("PATCH", format!("{nodes}/a"), value!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}), "node \"a\" is not allowed to modify taints"),
        ("PATCH", format!("{nodes}/a"), value!({"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]}}), "node \"a\" is not allowed to modify ownerReferences"),
        ("POST", nodes.to_owned(), value!({"metadata": {"name": "c"}}), "node \"a\" is not allowed to modify node \"c\""),
        ("DELETE", format!("{nodes}/a"), Value::Null, "at the cluster scope"),
        ("PATCH", format!("{pods}/needy/status"), value!({"status": {"message": "m"}}), ""),
        ("PATCH", format!("{pods}/needy/status"), label("color"), "node \"a\" cannot update labels through pod status"),
        ("PATCH", format!("{pods}/needy/status"), value!({"status": {"extendedResourceClaimStatus": {"resourceClaimName": "c", "requestMappings": [{"containerName": "c", "resourceName": "example.com/r", "requestName": "r"}]}}}), "node \"a\" cannot update extended resource claim status"),
        ("PATCH", format!("{pods}/plain/status"), value!({"status": {"message": "m"}}), "node \"a\" can only update pod status for pods with spec.nodeName set to itself"),
        ("DELETE", format!("{pods}/plain"), Value::Null, "node \"a\" can only delete pods with spec.nodeName set to itself"),
        ("POST", format!("{pods}/plain/eviction"), value!({"metadata": {"name": "plain"}}), "node a can only evict pods with spec.nodeName set to itself"),
        ("POST", pods.to_owned(), pod("new", "a", false), "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"a\" can only create mirror pods"),
        ("POST", format!("{accounts}/default/token"), token("needy", &uid), ""),
        ("POST", format!("{accounts}/other/token"), token("needy", &uid), "no relationship found between node 'a' and this object"),
        ("POST", format!("{accounts}/default/token"), value!({"spec": {}}), "node requested token not bound to a pod"),
        ("POST", format!("{accounts}/default/token"), token("needy", ""), "node requested token with a pod binding without a uid"),
        ("POST", format!("{accounts}/default/token"), token("plain", server.get("", "pods", "default", "plain").await.unwrap().str_at("metadata.uid")), "node requested token bound to a pod scheduled on a different node"),
        ("POST", leases.to_owned(), value!({"metadata": {"name": "a"}, "spec": {}}), ""),
        ("POST", leases.to_owned(), value!({"metadata": {"name": "b"}, "spec": {}}), "can only access node lease with the same name as the requesting node"),
        ("PATCH", "/api/v1/namespaces/default/persistentvolumeclaims/data/status".to_owned(), value!({"status": {"conditions": []}}), ""),
        ("PATCH", "/api/v1/namespaces/default/persistentvolumeclaims/data/status".to_owned(), label("color"), "is not allowed to update fields other than status.quantity and status.conditions"),
        ("DELETE", format!("{pods}/needy?gracePeriodSeconds=0"), Value::Null, ""),
    ];
    for (method, path, body, expected) in table {
        check(&server, "a", method, &path, &body, expected).await;
    }
}

#[tokio::test]
async fn mirror_pods_open_nothing() {
    let server = cluster().await;
    let uid = server.get("", "nodes", "", "a").await.unwrap().str_at("metadata.uid").to_owned();
    let mirror = |spec: Value| {
        value!({
            "metadata": {
                "name": "static", "annotations": {"kubernetes.io/config.mirror": "x"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "a", "uid": uid.as_str(), "controller": true}]
            },
            "spec": spec
        })
    };
    let spec = |volume: Value| value!({"nodeName": "a", "containers": [{"name": "c", "image": "i"}], "volumes": [volume]});
    let table = [
        (value!({"name": "v", "secret": {"secretName": "s"}}), "secrets"),
        (
            value!({"name": "v", "configMap": {"name": "s"}}),
            "node \"a\" can not create pods that reference configmaps",
        ),
        (
            value!({"name": "v", "persistentVolumeClaim": {"claimName": "s"}}),
            "node \"a\" can not create pods that reference persistentvolumeclaims",
        ),
        (value!({"name": "v", "emptyDir": {}}), ""),
    ];
    let pods = "/api/v1/namespaces/default/pods";
    for (volume, expected) in table {
        check(&server, "a", "POST", pods, &mirror(spec(volume)), expected).await;
    }
    let mut foreign = mirror(spec(value!({"name": "v", "emptyDir": {}})));
    foreign.entry("spec").set("nodeName", "b");
    check(
        &server,
        "a",
        "POST",
        pods,
        &foreign,
        "node \"a\" can only create pods with spec.nodeName set to itself",
    )
    .await;
}

#[tokio::test]
async fn nodes_cannot_be_told_all_that_they_may() {
    let server = cluster().await;
    let review = value!({"spec": {"namespace": "default"}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let user = User::new("system:node:a", &[GROUP_NODES, "system:authenticated"]);
    let answer = ask(&server, &user, "POST", path, &review).await.unwrap();
    assert_eq!(answer.at("status.incomplete").as_bool(), Some(true));
    let error = "node authorizer does not support user rule resolution";
    assert_eq!(answer.str_at("status.evaluationError"), error);
}
