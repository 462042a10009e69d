//! `metrics.k8s.io`: what nodes and pods use.

use apiserver::testing::{TestServer, admin};
use apiserver::user::User;
use measures::Batch;
use object::{Value, value};

use crate::support::*;

const GROUP: &str = "/apis/metrics.k8s.io/v1beta1";

/// Figures of a node and of the container `c` of some pods, at a time.
fn figures(at: u64, pods: &[(&str, &str)]) -> Batch {
    let mut text = format!(
        "node_cpu_usage_seconds_total {} {at}000\nnode_memory_working_set_bytes 2048 {at}000\n",
        at as f64 / 4.0
    );
    for (namespace, pod) in pods {
        let labels = format!("{{container=\"c\",namespace=\"{namespace}\",pod=\"{pod}\"}}");
        text += &format!(
            "container_cpu_usage_seconds_total{labels} {at} {at}000\n\
             container_memory_working_set_bytes{labels} 1000 {at}000\ncontainer_start_time_seconds{labels} 1 {at}000\n"
        );
    }
    Batch::parse(&text, jiff::Timestamp::UNIX_EPOCH).unwrap()
}

/// A server with the nodes `n` and `m`, the running pods `a` and `b` of `default` on `n`, `a` of `kube-system` on `m`, and
/// the pending one `c`; of all of them but `m` figures are known. `n` also tells of the pod on `m`.
async fn measured() -> TestServer {
    let server = TestServer::start().await;
    for (name, label) in [("n", "x"), ("m", "y")] {
        let node = value!({"metadata": {"name": name, "labels": {"disk": label}}});
        call(&server, "POST", "/api/v1/nodes", &node).await.success();
    }
    for namespace in ["default", "kube-system"] {
        let accounts = format!("/api/v1/namespaces/{namespace}/serviceaccounts");
        call(&server, "POST", &accounts, &value!({"metadata": {"name": "default"}})).await.success();
    }
    for (namespace, name, node, phase) in [
        ("default", "a", "n", "Running"),
        ("default", "b", "n", "Running"),
        ("default", "c", "n", "Pending"),
        ("kube-system", "a", "m", "Running"),
    ] {
        let pods = format!("/api/v1/namespaces/{namespace}/pods");
        let pod = value!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": node, "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]}
        });
        let mut made = call(&server, "POST", &pods, &pod).await.success();
        made.entry("status").set("phase", phase);
        call(&server, "PUT", &format!("{pods}/{name}/status"), &made).await.success();
    }
    let pods = [("default", "a"), ("default", "b"), ("default", "c"), ("kube-system", "a")];
    for at in [1_000_000, 1_000_020] {
        server.measures().take("n", figures(at, &pods), 15);
    }
    server.registry.hub.catch_up().await.unwrap();
    server
}

fn names(list: &Value) -> Vec<String> {
    let name = |item: &Value| match item.str_at("metadata.namespace") {
        "" => item.str_at("metadata.name").to_owned(),
        namespace => format!("{namespace}/{}", item.str_at("metadata.name")),
    };
    list.get("items").items().map(name).collect()
}

#[tokio::test]
async fn usage_is_served() {
    let server = measured().await;
    let node = get(&server, &format!("{GROUP}/nodes/n")).await.success();
    let creation = node.at("metadata.creationTimestamp").clone();
    let expected = value!({
        "kind": "NodeMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": "n", "creationTimestamp": creation, "labels": {"disk": "x"}},
        "timestamp": "1970-01-12T13:47:00Z", "window": "20s", "usage": {"cpu": "250m", "memory": "2Ki"}
    });
    assert_eq!(node, expected);
    let pod = get(&server, &format!("{GROUP}/namespaces/default/pods/a")).await.success();
    assert_eq!((pod.str_at("kind"), pod.str_at("metadata.labels.app")), ("PodMetrics", "a"));
    let containers = value!([{"name": "c", "usage": {"cpu": "1", "memory": "1k"}}]);
    assert_eq!(pod.get("containers"), &containers);
    let nodes = get(&server, &format!("{GROUP}/nodes")).await.success();
    assert_eq!((nodes.str_at("kind"), names(&nodes)), ("NodeMetricsList", vec!["n".to_owned()]));
    for (path, message) in [
        ("nodes/m", "nodemetrics.metrics.k8s.io \"m\" not found"),
        ("nodes/none", "nodemetrics.metrics.k8s.io \"none\" not found"),
        ("namespaces/default/pods/c", "podmetrics.metrics.k8s.io \"default/c\" not found"),
        // Only the node of a pod is believed.
        ("namespaces/kube-system/pods/a", "podmetrics.metrics.k8s.io \"kube-system/a\" not found"),
    ] {
        let (code, reason, found) = get(&server, &format!("{GROUP}/{path}")).await.status();
        assert_eq!((code, reason.as_str(), found.as_str()), (404, "NotFound", message));
    }
}

#[tokio::test]
async fn usage_is_selected() {
    let server = measured().await;
    for (path, expected) in [
        ("pods", &["default/a", "default/b"][..]),
        ("namespaces/default/pods", &["default/a", "default/b"]),
        ("namespaces/kube-system/pods", &[]),
        ("pods?labelSelector=app%3Db", &["default/b"]),
        ("namespaces/default/pods?fieldSelector=metadata.name%3Da", &["default/a"]),
        ("nodes?labelSelector=disk%3Dx", &["n"]),
        ("nodes?labelSelector=disk%3Dy", &[]),
    ] {
        assert_eq!(names(&get(&server, &format!("{GROUP}/{path}")).await.success()), expected, "{path}");
    }
    let (code, ..) = get(&server, &format!("{GROUP}/pods?fieldSelector=spec.nodeName%3Dn")).await.status();
    assert_eq!(code, 400);
}

#[tokio::test]
async fn usage_is_only_read() {
    let server = measured().await;
    let list = get(&server, GROUP).await.success();
    let expected = value!([
        {"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get", "list"]},
        {"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"]}
    ]);
    assert_eq!(list.get("resources"), &expected);
    for (method, path) in [
        ("GET", "pods?watch=true"),
        ("POST", "namespaces/default/pods"),
        ("DELETE", "namespaces/default/pods"),
        ("DELETE", "nodes/n"),
        ("PUT", "nodes/n"),
    ] {
        let (code, ..) = call(&server, method, &format!("{GROUP}/{path}"), &value!({})).await.status();
        assert_eq!(code, 405, "{method} {path}");
    }
    let nobody = User::new("nobody", &[]);
    for path in ["nodes", "pods", "namespaces/default/pods/a"] {
        let answer = send(&server, Some(&nobody), "GET", &format!("{GROUP}/{path}"), &[], "").await;
        assert_eq!(answer.code, 403, "{path}");
    }
}

/// `view`, `edit` and `admin` of a namespace may read what its pods use, but nothing elsewhere.
#[tokio::test]
async fn viewers_see_the_usage_of_their_namespace() {
    let server = measured().await;
    let binding = value!({
        "metadata": {"name": "viewers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "viewer"}]
    });
    let path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings";
    call(&server, "POST", path, &binding).await.success();
    server.registry.hub.catch_up().await.unwrap();
    let viewer = User::new("viewer", &[]);
    for (path, code) in
        [("namespaces/default/pods", 200), ("namespaces/kube-system/pods", 403), ("nodes", 403)]
    {
        let answer = send(&server, Some(&viewer), "GET", &format!("{GROUP}/{path}"), &[], "").await;
        assert_eq!(answer.code, code, "{path}");
    }
}

#[tokio::test]
async fn usage_has_all_forms() {
    let server = measured().await;
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let shown = send(&server, Some(&admin()), "GET", &format!("{GROUP}/pods"), &table, "").await.success();
    let columns = shown.get("columnDefinitions").items().map(|column| column.str_at("name"));
    assert_eq!(columns.collect::<Vec<_>>(), ["Name", "cpu", "memory", "Window"]);
    let cells: Vec<&Value> = shown.get("rows").items().map(|row| row.get("cells")).collect();
    assert_eq!(cells, [&value!(["a", "1", "1k", "20s"]), &value!(["b", "1", "1k", "20s"])]);
    for path in ["pods", "namespaces/default/pods/a", "nodes/n"] {
        for accept in ["application/vnd.kubernetes.protobuf", "application/yaml"] {
            let path = format!("{GROUP}/{path}");
            let answer = send(&server, Some(&admin()), "GET", &path, &[("accept", accept)], "").await;
            assert_eq!(answer.code, 200, "{path} as {accept}");
        }
    }
}
