use base64::Engine;
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
    // The last one is the ephemeral volume of the pod `p3`.
    for (name, volume) in
        [("csi", "csi"), ("unknown", "unknown"), ("plain", "plain"), ("lost", "lost"), ("p3-v", "csi")]
    {
        let claim = value!({"metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "volumeName": volume, "resources": {"requests": {"storage": "1Gi"}}
        }});
        server.create("", "persistentvolumeclaims", "default", claim).await.unwrap();
    }
    server.registry.hub.catch_up().await.unwrap();
    server
}

/// Creates a pod on the node with these volumes; returns its UID.
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
    // A pod's volumes, the audiences, the error.
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
        // Unknown data matter only if they could make a difference.
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

#[tokio::test]
async fn mirror_pods_refer_to_nothing() {
    let server = cluster().await;
    let uid = server.get("", "nodes", "", "a").await.unwrap().str_at("metadata.uid").to_owned();
    let container = |part: &str, content: Value| {
        let mut container = value!({"name": "c", "image": "i"});
        container.set(part.to_owned(), content);
        value!({"containers": [container]})
    };
    let volume = |source: &str, content: Value| {
        let mut volume = value!({"name": "v"});
        volume.set(source.to_owned(), content);
        value!({"volumes": [volume]})
    };
    let projected = |source: &str, content: Value| {
        let mut projection = Value::map();
        projection.set(source.to_owned(), content);
        volume("projected", value!({"sources": [projection]}))
    };
    let claim = value!({"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}
    }}});
    let downward = value!({"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]});
    // Secrets, accounts and their tokens are refused by the plugin ServiceAccount before.
    #[rustfmt::skip]
    let table = [
        (value!({"imagePullSecrets": [{"name": "s"}]}), "secrets"),
        (container("envFrom", value!([{"secretRef": {"name": "s"}}])), "secrets"),
        (container("env", value!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}}])), "configmaps"),
        (value!({"resourceClaims": [{"name": "r", "resourceClaimName": "c"}]}), "resourceclaims"),
        (volume("azureFile", value!({"secretName": "s", "shareName": "s"})), "secrets"),
        (volume("csi", value!({"driver": "csi.example.com"})), "csidrivers (via CSI volumes)"),
        (volume("glusterfs", value!({"endpoints": "e", "path": "p"})), "endpoints (via glusterFS volumes)"),
        (volume("ephemeral", claim), "persistentvolumeclaims (via ephemeral volumes)"),
        (projected("configMap", value!({"name": "m"})), "configmaps"),
        (projected("clusterTrustBundle", value!({"name": "b", "path": "b"})), "clustertrustbundles"),
        (projected("downwardAPI", downward.clone()), ""),
        (volume("hostPath", value!({"path": "/"})), ""),
    ];
    for (patch, what) in table {
        let mut spec = value!({"nodeName": "a", "containers": [{"name": "c", "image": "i"}]});
        for (member, content) in patch.entries() {
            spec.set(member.to_owned(), content.clone());
        }
        let owner = value!({"apiVersion": "v1", "kind": "Node", "name": "a", "uid": (uid.as_str()), "controller": true});
        let pod = value!({
            "metadata": {
                "generateName": "static-", "annotations": {"kubernetes.io/config.mirror": "x"},
                "ownerReferences": [owner]
            },
            "spec": spec
        });
        let wrong = match what {
            "" => String::new(),
            "secrets" => "a mirror pod may not reference secrets".to_owned(),
            _ => format!("node \"a\" can not create pods that reference {what}"),
        };
        check(&server, "a", "POST", "/api/v1/namespaces/default/pods", &pod, &wrong).await;
    }
}

/// A request for a certificate that says nothing but its key, in base64.
fn stub_request() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let request = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
    base64::engine::general_purpose::STANDARD.encode(request.der())
}

#[tokio::test]
async fn certificates_of_pods_are_for_pods_of_the_node() {
    let server = cluster().await;
    server.create("", "nodes", "", value!({"metadata": {"name": "b"}})).await.unwrap();
    let certificate = value!({"name": "v", "projected": {"sources": [{"podCertificate": {
        "signerName": "example.com/signer", "keyType": "ED25519", "credentialBundlePath": "c"
    }}]}});
    let pod_uid = pod(&server, "web", &[certificate]).await;
    let uid = |object: Value| object.str_at("metadata.uid").to_owned();
    let node_uid = uid(server.get("", "nodes", "", "a").await.unwrap());
    let account_uid = uid(server.get("", "serviceaccounts", "default", "default").await.unwrap());
    let other_uid = uid(server.get("", "nodes", "", "b").await.unwrap());
    let good = value!({
        "signerName": "example.com/signer", "podName": "web", "podUID": (pod_uid.as_str()),
        "serviceAccountName": "default", "serviceAccountUID": (account_uid.as_str()),
        "nodeName": "a", "nodeUID": (node_uid.as_str()),
        "stubPKCS10Request": (stub_request())
    });
    let of_pod = "PodCertificateRequest for pod \"default/web\"";
    #[rustfmt::skip]
    let table: Vec<(&str, Value, String)> = vec![
        ("a", value!({}), String::new()),
        ("a", value!({"nodeName": "b"}), "PodCertificateRequest.Spec.NodeName=\"b\", which is not the requesting node \"a\"".into()),
        ("a", value!({"nodeUID": "x"}), format!("{of_pod} names node UID \"x\", inconsistent with the running node (\"{node_uid}\")")),
        ("a", value!({"podName": "none"}), "while retrieving pod \"default/none\" named in the PodCertificateRequest: pod \"none\" not found".into()),
        ("a", value!({"podUID": "x"}), format!("{of_pod} contains pod UID (\"x\") which differs from running pod \"{pod_uid}\"")),
        ("b", value!({"nodeName": "b", "nodeUID": (other_uid.as_str())}), "pod \"default/web\" is not running on node \"b\" named in the PodCertificateRequest".into()),
        ("a", value!({"serviceAccountName": "x"}), format!("{of_pod} contains serviceAccountName (\"x\") that differs from running pod (\"default\")")),
        ("a", value!({"serviceAccountUID": "x"}), format!("{of_pod} names service account UID \"x\", which differs from the running service account (\"{account_uid}\")")),
        ("a", value!({"signerName": "example.com/other"}), "signer \"example.com/other\" not found in pod spec volume, system:node:a is not authorized to request certificates from this signer".into()),
    ];
    let requests = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests";
    for (index, (node, patch, wrong)) in table.into_iter().enumerate() {
        let mut spec = good.clone();
        for (member, content) in patch.entries() {
            spec.set(member.to_owned(), content.clone());
        }
        let request = value!({"metadata": {"name": (format!("r{index}"))}, "spec": spec});
        check(&server, node, "POST", requests, &request, &wrong).await;
    }
    server.registry.hub.catch_up().await.unwrap();
    let merge = value!({"metadata": {"labels": {"a": "b"}}});
    #[rustfmt::skip]
    let table = [
        ("a", "GET", format!("{requests}/r0"), Value::Null, ""),
        ("b", "GET", format!("{requests}/r0"), Value::Null, "no relationship found between node 'b' and this object"),
        ("a", "GET", requests.to_owned(), Value::Null, "can only list/watch podcertificaterequests with nodeName field selector"),
        ("a", "GET", format!("{requests}?fieldSelector=spec.nodeName%3Da"), Value::Null, ""),
        ("a", "GET", format!("{requests}?fieldSelector=spec.nodeName%3Db"), Value::Null, "can only list/watch podcertificaterequests with nodeName field selector"),
        ("a", "PATCH", format!("{requests}/r0"), merge.clone(), "nodes may not patch podcertificaterequests"),
        ("a", "PATCH", format!("{requests}/r0/status"), merge, "nodes may not access the status subresource of PodCertificateRequests"),
    ];
    for (node, method, path, body, wrong) in table {
        check(&server, node, method, &path, &body, wrong).await;
    }
}

#[tokio::test]
async fn slices_of_devices_are_of_the_node() {
    let server = cluster().await;
    let slice = |name: &str, node: &str| {
        value!({"metadata": {"name": name}, "spec": {
            "driver": "example.com", "nodeName": node,
            "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1}
        }})
    };
    let slices = "/apis/resource.k8s.io/v1/resourceslices";
    server.create("resource.k8s.io", "resourceslices", "", slice("theirs", "b")).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    let stranger = "no relationship found between node 'a' and this object";
    let label = value!({"metadata": {"labels": {"a": "b"}}});
    let wrong = "can only create ResourceSlice with the same NodeName as the requesting node";
    check(&server, "a", "POST", slices, &slice("ours", "a"), "").await;
    check(&server, "a", "POST", slices, &slice("odd", "b"), wrong).await;
    server.registry.hub.catch_up().await.unwrap();
    for (method, body) in [("GET", Value::Null), ("PATCH", label), ("DELETE", Value::Null)] {
        check(&server, "a", method, &format!("{slices}/ours"), &body, "").await;
        check(&server, "a", method, &format!("{slices}/theirs"), &body, stranger).await;
    }
}

/// The cache need not know a pod yet that the store has.
#[tokio::test]
async fn a_new_pod_is_not_any_nodes() {
    let server = cluster().await;
    for index in 0..20 {
        let name = format!("p{index}");
        let pod = value!({"metadata": {"name": (name.as_str())}, "spec": {
            "nodeName": "b", "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "i"}]
        }});
        server.create("", "pods", "default", pod).await.unwrap();
        let path = format!("/api/v1/namespaces/default/pods/{name}/eviction");
        let eviction = value!({"metadata": {"name": (name.as_str())}});
        let wrong = "node a can only evict pods with spec.nodeName set to itself";
        check(&server, "a", "POST", &path, &eviction, wrong).await;
    }
}
