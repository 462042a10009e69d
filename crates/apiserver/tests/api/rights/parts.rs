//! The right to one part of an object does not extend to the others.

use super::*;

#[tokio::test]
async fn parts_of_a_pod_leave_its_labels_and_owners_alone() {
    let server = server_for_pods().await;
    call(&server, "POST", PODS, &pod("p")).await.success();
    let resources = ["pods/binding", "pods/ephemeralcontainers", "pods/resize"];
    grant(&server, "jane", vec![rule(&["create", "update", "patch"], &[""], &resources)]).await;
    let jane = User::new("jane", &[]);
    let metadata = || {
        value!({
            "labels": {"app": "other", "new": "1"}, "finalizers": ["example.com/f"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "c", "uid": "u"}],
            "annotations": {"a": "b"}
        })
    };
    let debug = value!([{"name": "debug", "image": "i", "terminationMessagePolicy": "File", "imagePullPolicy": "Always"}]);
    let limits = value!([{"name": "main", "image": "image", "resources": {}}]);
    for (part, member, content) in
        [("ephemeralcontainers", "ephemeralContainers", debug), ("resize", "containers", limits)]
    {
        let before = get(&server, &format!("{PODS}/p")).await.success();
        let mut patch = value!({"metadata": (metadata()), "spec": {}});
        patch.entry("spec").set(member, content);
        let reply = send_as(&server, &jane, "PATCH", &format!("{PODS}/p/{part}"), &patch).await;
        assert_eq!(reply.code, 200, "{part}: {:?}", reply.bytes);
        let after = get(&server, &format!("{PODS}/p")).await.success();
        for member in ["labels", "finalizers", "ownerReferences", "annotations"] {
            assert_eq!(
                after.get("metadata").get(member),
                before.get("metadata").get(member),
                "{part}: {member}"
            );
        }
        let mut whole = after.clone();
        whole.set_path(&["metadata", "labels"], value!({"app": "other"}));
        let reply = send_as(&server, &jane, "PUT", &format!("{PODS}/p/{part}"), &whole).await;
        assert_eq!(reply.code, 200, "{part}: {:?}", reply.bytes);
        assert_eq!(reply.json().str_at("metadata.labels.app"), "p", "{part}");
    }
    let debugged = get(&server, &format!("{PODS}/p")).await.success();
    assert_eq!(debugged.at("spec.ephemeralContainers").items().count(), 1);
    // A binding adds labels, and replaces none.
    let binding = value!({"metadata": {"labels": {"app": "other", "new": "1"}}, "target": {"kind": "Node", "name": "n"}});
    let reply = send_as(&server, &jane, "POST", &format!("{PODS}/p/binding"), &binding).await;
    assert_eq!(reply.code, 201, "{:?}", reply.bytes);
    let bound = get(&server, &format!("{PODS}/p")).await.success();
    assert_eq!(*bound.at("metadata.labels"), value!({"app": "p", "new": "1"}));
}
