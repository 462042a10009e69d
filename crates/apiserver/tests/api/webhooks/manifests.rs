//! Webhooks from files of the server (KEP-5793).

use super::*;
use crate::manifests::server;

/// The file with a configuration of one webhook.
fn write(directory: &std::path::Path, kind: &str, hook: Value) {
    let configuration = value!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
        "metadata": {"name": "z.static.k8s.io"}, "webhooks": [hook]
    });
    std::fs::write(directory.join("hooks.json"), json::to_vec(&configuration)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_from_files_come_before_those_of_the_api() {
    let webhook = Webhook::start(|path, _| add_data(path.trim_start_matches('/'))).await;
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "MutatingWebhookConfiguration", webhook.hook("/file", value!({})));
    let server = server("MutatingAdmissionWebhook", "WebhookAdmissionConfiguration", directory.path()).await;
    configure(&server, MUTATING, "a", vec![webhook.hook("/api", value!({}))]).await;
    let asked_before = webhook.take();
    assert!(asked_before.iter().all(|seen| seen.path == "/file"), "the API's webhooks wait for the server");
    let made = create_map(&server).await.success();
    assert_eq!(made.get("data"), &value!({"api": "yes", "file": "yes", "key": "value"}));
    let paths: Vec<String> = webhook.take().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, ["/file", "/api"]);
    let listed = get(&server, MUTATING).await.json();
    assert_eq!(listed.get("items").items().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_from_files_are_asked_about_configurations_of_admission() {
    let webhook = Webhook::start(|_, request| match request.str_at("name") {
        "kept" => deny("it is kept"),
        _ => allow(),
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let rules = value!({"rules": [
        (rule("CREATE", "admissionregistration.k8s.io", "v1", "*")), (rule("*", "authorization.k8s.io", "*", "*"))
    ]});
    write(directory.path(), "ValidatingWebhookConfiguration", webhook.hook("/", rules));
    let server =
        server("ValidatingAdmissionWebhook", "WebhookAdmissionConfiguration", directory.path()).await;
    for collection in [MUTATING, VALIDATING] {
        let named = |name: &str| value!({"metadata": {"name": name}});
        let (code, _, why) = call(&server, "POST", collection, &named("kept")).await.status();
        assert_eq!(
            (code, &*why),
            (400, r#"admission webhook "hook.example.com" denied the request: it is kept"#)
        );
        call(&server, "POST", collection, &named("other")).await.success();
    }
    assert_eq!(webhook.take().len(), 4);
    let review = value!({"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}});
    call(&server, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &review).await.success();
    assert!(webhook.take().is_empty(), "nobody is kept from asking for rights");
}
