use object::{Value, value};

use super::*;
use crate::testing::TestServer;

/// What the chain makes of a pod in the namespace `default`.
async fn admitted(pod: Value) -> Result<Value, Status> {
    let server = TestServer::start().await;
    server.create("", "serviceaccounts", "default", value!({"metadata": {"name": "default"}})).await.unwrap();
    server.json("POST", "/api/v1/namespaces/default/pods?dryRun=All", &pod).await
}

fn pod() -> Value {
    value!({
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}
    })
}

#[tokio::test]
async fn a_pod_gets_its_account_its_token_and_its_patience() {
    let pod = admitted(pod()).await.unwrap();
    assert_eq!(pod.str_at("spec.serviceAccountName"), "default");
    let volume = pod.at("spec.volumes").items().next().unwrap();
    let name = volume.str_at("name");
    assert!(name.starts_with("kube-api-access-"), "{name}");
    let mount = pod.at("spec.containers").items().next().unwrap().get("volumeMounts").items().next().unwrap();
    assert_eq!((mount.str_at("name"), mount.get("readOnly").as_bool()), (name, Some(true)));
    let tolerations: Vec<&str> = pod.at("spec.tolerations").items().map(|t| t.str_at("key")).collect();
    assert_eq!(tolerations, ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]);
    assert_eq!(pod.at("spec.priority").as_i64(), Some(0));
}

#[tokio::test]
async fn a_pod_that_wants_no_token_gets_none() {
    let mut wanted = pod();
    wanted.entry("spec").set("automountServiceAccountToken", false);
    wanted.entry("spec").set("tolerations", value!([{"operator": "Exists"}]));
    let pod = admitted(wanted).await.unwrap();
    assert!(pod.at("spec.volumes").is_null());
    assert_eq!(pod.at("spec.tolerations").items().len(), 1);
}

#[tokio::test]
async fn unknown_accounts_and_classes_are_refused() {
    let mut unknown = pod();
    unknown.entry("spec").set("serviceAccountName", "nobody");
    let refused = admitted(unknown).await.unwrap_err();
    assert_eq!(refused.code(), 403);
    assert!(refused.message.contains("serviceaccount \"nobody\" not found"), "{}", refused.message);
    let mut classy = pod();
    classy.entry("spec").set("priorityClassName", "none");
    let refused = admitted(classy).await.unwrap_err();
    assert!(refused.message.ends_with("no PriorityClass with name none was found"), "{}", refused.message);
    let mut critical = pod();
    critical.entry("spec").set("priorityClassName", "system-node-critical");
    assert_eq!(admitted(critical).await.unwrap().at("spec.priority").as_i64(), Some(2_000_001_000));
}

#[tokio::test]
async fn nothing_comes_into_a_namespace_that_is_not_there_or_ends() {
    let server = TestServer::start().await;
    let map = || value!({"metadata": {"name": "m"}});
    let missing = server.create("", "configmaps", "nowhere", map()).await.unwrap_err();
    assert_eq!((missing.code(), missing.message.as_str()), (404, "namespaces \"nowhere\" not found"));
    server.create("", "namespaces", "", value!({"metadata": {"name": "ending"}})).await.unwrap();
    server.delete("", "namespaces", "", "ending").await.unwrap();
    let ending = server.create("", "configmaps", "ending", map()).await.unwrap_err();
    assert_eq!(ending.code(), 403);
    assert!(ending.has_cause("NamespaceTerminating"), "{ending:?}");
    let kept = server.delete("", "namespaces", "", "kube-system").await.unwrap_err();
    assert_eq!(kept.code(), 403);
}

#[tokio::test]
async fn classes_of_priority() {
    let server = TestServer::start().await;
    server.create("", "serviceaccounts", "default", value!({"metadata": {"name": "default"}})).await.unwrap();
    let class = |name: &str, value: i64, policy: &str| value!({"metadata": {"name": name}, "value": value, "preemptionPolicy": policy, "globalDefault": true});
    server.create("scheduling.k8s.io", "priorityclasses", "", class("quiet", 7, "Never")).await.unwrap();
    let second = server.create("scheduling.k8s.io", "priorityclasses", "", class("b", 8, "Never")).await;
    let second = second.unwrap_err();
    assert_eq!(second.code(), 403);
    let why = "PriorityClass quiet is already marked as default. Only one default can exist";
    assert!(second.message.ends_with(why), "{}", second.message);
    let path = "/api/v1/namespaces/default/pods?dryRun=All";
    let made = server.json("POST", path, &pod()).await.unwrap();
    let spec = made.get("spec");
    assert_eq!((spec.str_at("priorityClassName"), spec.str_at("preemptionPolicy")), ("quiet", "Never"));
    assert_eq!(spec.get("priority").as_i64(), Some(7));
    for (field, wrong, why) in [
        ("priority", Value::from(3), "the integer value of priority (3) must not be provided"),
        (
            "preemptionPolicy",
            Value::from("PreemptLowerPriority"),
            "the string value of PreemptionPolicy (PreemptLowerPriority) must not be provided",
        ),
    ] {
        let mut own = pod();
        own.entry("spec").set(field, wrong);
        let refused = server.json("POST", path, &own).await.unwrap_err();
        assert!(refused.code() == 403 && refused.message.contains(why), "{}", refused.message);
    }
}
