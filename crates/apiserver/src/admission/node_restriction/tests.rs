use object::{Value, value};

use crate::authz::node::tests::check;
use crate::testing::TestServer;

/// A server with a node `a`, a service account, and volumes with a driver and without.
async fn cluster() -> TestServer {
    let server = TestServer::start().await;
    let named = |name: &str| value!({"metadata": {"name": name}});
    server.create("", "nodes", "", named("a")).await.unwrap();
    server.create("", "serviceaccounts", "default", named("default")).await.unwrap();
    let driver = |name: &str, audience: &str| value!({"metadata": {"name": name}, "spec": {"tokenRequests": [{"audience": audience}]}});
    for (name, audience) in [("csi.example.com", "storage"), ("file.csi.azure.com", "cloud")] {
        server.create("storage.k8s.io", "csidrivers", "", driver(name, audience)).await.unwrap();
    }
    let sources = [
        ("csi", value!({"csi": {"driver": "csi.example.com", "volumeHandle": "h"}})),
        ("unknown", value!({"csi": {"driver": "unknown.example.com", "volumeHandle": "h"}})),
        ("plain", value!({"hostPath": {"path": "/data"}})),
    ];
    for (name, source) in sources {
        let mut volume = value!({"metadata": {"name": name}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
            "claimRef": {"namespace": "default", "name": name}
        }});
        for (kind, source) in source.entries() {
            volume.entry("spec").set(kind.to_owned(), source.clone());
        }
        server.create("", "persistentvolumes", "", volume).await.unwrap();
    }
    // The last is what the ephemeral volume of the pod `p3` is called.
    for (name, volume) in
        [("csi", "csi"), ("unknown", "unknown"), ("plain", "plain"), ("lost", "lost"), ("p3-v", "csi")]
    {
        let claim = value!({"metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}
        }});
        server.create("", "persistentvolumeclaims", "default", claim).await.unwrap();
    }
    server
}

/// Makes a pod on the node with these volumes; its UID comes back.
async fn pod(server: &TestServer, name: &str, volumes: &[Value]) -> String {
    let pod = value!({"metadata": {"name": name}, "spec": {
        "nodeName": "a", "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}],
        "volumes": (volumes.to_vec())
    }});
    let pod = server.create("", "pods", "default", pod).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    pod.str_at("metadata.uid").to_owned()
}

fn request(pod: &str, uid: &str, audiences: &[&str]) -> Value {
    let audiences: Vec<Value> = audiences.iter().map(|audience| Value::from(*audience)).collect();
    value!({"spec": {
        "audiences": audiences,
        "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
    }})
}

const TOKEN: &str = "/api/v1/namespaces/default/serviceaccounts/default/token";

fn missing(audience: &str) -> String {
    format!(
        "audience \"{audience}\" not found in pod spec volume, system:node:a is not authorized to request tokens for this \
         audience"
    )
}

#[tokio::test]
async fn tokens_are_for_whom_the_pods_volumes_name() {
    let server = cluster().await;
    let token = |audience: Value| value!({"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": audience}}]}});
    let claim = |name: &str| value!({"name": "v", "persistentVolumeClaim": {"claimName": name}});
    let csi = |driver: &str| value!({"name": "i", "csi": {"driver": driver}});
    let ephemeral = value!({"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}
    }}}});
    let azure = value!({"name": "v", "azureFile": {"secretName": "s", "shareName": "s"}});
    let unknown = |what: &str| format!("error validating audience \"x\": {what} not found");
    // A pod's volumes, the audiences, what is wrong.
    #[rustfmt::skip]
    let table: Vec<(Vec<Value>, &[&str], String)> = vec![
        (vec![token(Value::Null)], &[], String::new()),
        (vec![token(Value::Null)], &["vault"], missing("vault")),
        (vec![token("vault".into())], &["vault"], String::new()),
        (vec![ephemeral], &["storage"], String::new()),
        (vec![token("vault".into())], &[], missing("")),
        (vec![token("vault".into()), token("x".into())], &["vault", "x"], "node may only request 0 or 1 audiences".into()),
        (vec![csi("csi.example.com")], &["storage"], String::new()),
        (vec![csi("csi.example.com")], &["x"], missing("x")),
        (vec![csi("none.example.com")], &["x"], unknown("csidriver.storage.k8s.io \"none.example.com\"")),
        (vec![claim("csi")], &["storage"], String::new()),
        (vec![claim("plain")], &["x"], missing("x")),
        (vec![claim("none")], &["x"], unknown("persistentvolumeclaim \"none\"")),
        (vec![claim("lost")], &["x"], unknown("persistentvolume \"lost\"")),
        (vec![claim("unknown")], &["x"], unknown("csidriver.storage.k8s.io \"unknown.example.com\"")),
        // What cannot be told matters only where it could help.
        (vec![claim("none"), csi("csi.example.com")], &["storage"], String::new()),
        (vec![azure], &["cloud"], String::new()),
    ];
    for (index, (mut volumes, audiences, wrong)) in table.into_iter().enumerate() {
        for (index, volume) in volumes.iter_mut().enumerate().skip(1) {
            volume.set("name", format!("v{index}"));
        }
        let name = format!("p{index}");
        let uid = pod(&server, &name, &volumes).await;
        check(&server, "a", "POST", TOKEN, &request(&name, &uid, audiences), &wrong).await;
    }
}

#[tokio::test]
async fn a_role_allows_a_node_more_audiences() {
    let server = cluster().await;
    let uid = pod(&server, "p", &[]).await;
    let ask = request("p", &uid, &["registry"]);
    check(&server, "a", "POST", TOKEN, &ask, &missing("registry")).await;
    let role = value!({"metadata": {"name": "puller"}, "rules": [{
        "apiGroups": [""], "resources": ["registry"], "resourceNames": ["default"],
        "verbs": ["request-serviceaccounts-token-audience"]
    }]});
    server.create("rbac.authorization.k8s.io", "clusterroles", "", role).await.unwrap();
    let binding = value!({"metadata": {"name": "puller"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "puller"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "system:nodes"}]});
    server.create("rbac.authorization.k8s.io", "rolebindings", "default", binding).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    check(&server, "a", "POST", TOKEN, &ask, "").await;
    check(&server, "a", "POST", TOKEN, &request("p", &uid, &["other"]), &missing("other")).await;
}
