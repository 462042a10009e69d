use object::{Value, value};

use super::secrets::{check_ephemeral, check_mirror, check_pod};
use crate::testing::TestServer;

/// An account whose pods may name `own` and pull with `pull`.
fn account(enforced: &str) -> Value {
    value!({
        "metadata": {
            "name": "limited", "namespace": "default",
            "annotations": {"kubernetes.io/enforce-mountable-secrets": (enforced)}
        },
        "secrets": [{"name": "own"}],
        "imagePullSecrets": [{"name": "pull"}]
    })
}

fn pod(spec: Value) -> Value {
    let mut spec = spec;
    spec.set("serviceAccountName", "limited");
    if spec.get("containers").is_null() {
        spec.set("containers", value!([{"name": "c", "image": "i"}]));
    }
    value!({"metadata": {"name": "p", "namespace": "default"}, "spec": (spec)})
}

/// A container that names a secret in each of the two ways.
fn with_variable(secret: &str) -> Value {
    value!([{"name": "c", "image": "i", "env": [{"name": "V", "valueFrom": {"secretKeyRef": {"name": (secret), "key": "k"}}}]}])
}

fn with_environment(secret: &str) -> Value {
    value!([{"name": "c", "image": "i", "envFrom": [{"secretRef": {"name": (secret)}}]}])
}

#[test]
fn secrets_that_the_account_does_not_list_are_refused_wherever_a_pod_names_them() {
    let ends = "is not allowed because service account limited does not reference that secret";
    let cases = [
        ("volumes", value!([{"name": "v", "secret": {"secretName": "other"}}]), "volume with"),
        ("containers", with_variable("other"), "container c with envVar V referencing"),
        ("containers", with_environment("other"), "container c with envFrom referencing"),
        ("initContainers", with_variable("other"), "init container c with envVar V referencing"),
        ("initContainers", with_environment("other"), "init container c with envFrom referencing"),
    ];
    for (member, given, begins) in cases {
        let mut spec = value!({});
        spec.set(member, given);
        let wrong = pod(spec);
        let why = check_pod(&account("true"), &wrong).unwrap_err();
        assert_eq!(why, format!("{begins} secret.secretName=\"other\" {ends}"));
        assert_eq!(check_pod(&account("false"), &wrong), Ok(()), "{begins}");
    }
    for (given, begins) in [
        (with_variable("other"), "ephemeral container c with envVar V referencing"),
        (with_environment("other"), "ephemeral container c with envFrom referencing"),
    ] {
        let wrong = pod(value!({"ephemeralContainers": (given)}));
        let why = check_ephemeral(&account("1"), &wrong).unwrap_err();
        assert_eq!(why, format!("{begins} secret.secretName=\"other\" {ends}"));
    }
    let pull = pod(value!({"imagePullSecrets": [{"name": "pull"}, {"name": "own"}]}));
    assert_eq!(
        check_pod(&account("True"), &pull).unwrap_err(),
        "imagePullSecrets[1].name=\"own\" is not allowed because service account limited does not reference that imagePullSecret"
    );
    let good = pod(value!({
        "volumes": [{"name": "v", "secret": {"secretName": "own"}}],
        "containers": (with_variable("own")),
        "initContainers": (with_environment("own")),
        "imagePullSecrets": [{"name": "pull"}]
    }));
    assert_eq!(check_pod(&account("true"), &good), Ok(()));
}

#[test]
fn mirror_pods_name_no_secret() {
    let secrets = "a mirror pod may not reference secrets";
    for spec in [
        value!({"volumes": [{"name": "v", "secret": {"secretName": "s"}}]}),
        value!({"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}]}}]}),
        value!({"volumes": [{"name": "v", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s"}}}]}),
        value!({"containers": (with_variable("s"))}),
        value!({"initContainers": (with_environment("s"))}),
        value!({"imagePullSecrets": [{"name": "s"}]}),
    ] {
        let pod = value!({"metadata": {"name": "p"}, "spec": (spec.clone())});
        assert_eq!(check_mirror(&pod).unwrap_err(), secrets, "{spec:?}");
    }
    assert!(check_mirror(&pod(value!({}))).unwrap_err().ends_with("service accounts"));
    assert_eq!(check_mirror(&value!({"spec": {"containers": [{"name": "c"}]}})), Ok(()));
}

/// The plugin refuses the write, and also a container that is added later.
#[tokio::test]
async fn the_account_of_a_pod_limits_what_is_written() {
    let server = TestServer::start().await;
    server.create("", "serviceaccounts", "default", account("true")).await.unwrap();
    let wrong = pod(value!({"volumes": [{"name": "v", "secret": {"secretName": "other"}}]}));
    let refused = server.create("", "pods", "default", wrong).await.unwrap_err();
    assert_eq!(refused.code(), 403, "{refused:?}");
    let made = server.create("", "pods", "default", pod(value!({}))).await.unwrap();
    assert_eq!(made.str_at("spec.serviceAccountName"), "limited");
    assert_eq!(made.at("spec.imagePullSecrets").items().count(), 1, "{made:?}");
}
