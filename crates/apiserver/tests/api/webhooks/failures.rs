//! Webhooks that cannot be reached, or do not answer as they should.

use std::time::Duration;

use super::*;

const FAILED: &str = "Internal error occurred: failed calling webhook \"hook.example.com\": ";

/// The message of a refusal while there is such a webhook; the same webhook hinders nobody if failures are ignored.
async fn failure(server: &TestServer, collection: &str, hook: Value) -> String {
    configure(server, collection, "w", vec![hook.clone()]).await;
    let (code, reason, why) = create_map(server).await.status();
    assert_eq!((code, reason.as_str()), (500, "InternalError"), "{why}");
    remove(server, collection, "w").await;
    let tolerant = merge_patch(hook, value!({"failurePolicy": "Ignore"})).unwrap();
    configure(server, collection, "w", vec![tolerant]).await;
    let made = create_map(server).await.success();
    assert_eq!(made.get("data"), &value!({"key": "value"}));
    remove(server, collection, "w").await;
    why.strip_prefix(FAILED).unwrap_or_else(|| panic!("{why}")).to_owned()
}

fn review(response: Value) -> Answer {
    let review =
        value!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
    Answer::Raw(200, json::to_vec(&review))
}

#[tokio::test]
async fn answers_that_are_none_are_failures() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|path, request| match path {
        "/text" => Answer::Raw(200, b"no review".to_vec()),
        "/empty" => Answer::Raw(200, Vec::new()),
        "/error" => Answer::Raw(503, b"come back later".to_vec()),
        "/status" => {
            let status = value!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "all my own", "code": 404i64
            });
            Answer::Raw(404, json::to_vec(&status))
        }
        "/moved" => Answer::Raw(307, Vec::new()),
        "/large" => Answer::Raw(200, vec![b' '; 9 << 20]),
        "/absent" => review(Value::Null),
        "/uid" => review(value!({"uid": "other", "allowed": true})),
        "/kind" => {
            let review = value!({"kind": "Review", "apiVersion": "admission.k8s.io/v1", "response": {
                "uid": request.str_at("uid"), "allowed": true
            }});
            Answer::Raw(200, json::to_vec(&review))
        }
        "/version" => {
            let review = value!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1beta1", "response": {
                "uid": request.str_at("uid"), "allowed": true
            }});
            Answer::Raw(200, json::to_vec(&review))
        }
        "/patch" => add_data("known"),
        _ => hang(),
    })
    .await;
    let called = |path: &str, why: &str| {
        let url = format!("https://localhost:{}{path}?timeout=10s", hook.port);
        format!("failed to call webhook: Post \"{url}\": {why}")
    };
    let invalid = |why: &str| format!("received invalid webhook response: {why}");
    let unexpected = |given: &str| {
        invalid(&format!(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {given}"
        ))
    };
    let table = [
        ("/large", called("/large", "the answer is larger than 8388608 bytes")),
        ("/error", "failed to call webhook: the server is currently unable to handle the request".to_owned()),
        ("/status", "failed to call webhook: all my own".to_owned()),
        ("/absent", invalid("webhook response was absent")),
        ("/kind", unexpected("admission.k8s.io/v1, Kind=Review")),
        ("/version", unexpected("admission.k8s.io/v1beta1, Kind=AdmissionReview")),
    ];
    for (path, expected) in table {
        for collection in [MUTATING, VALIDATING] {
            assert_eq!(failure(&server, collection, hook.hook(path, value!({}))).await, expected, "{path}");
        }
    }
    for (path, begin) in [
        ("/text", "failed to call webhook: "),
        ("/empty", "failed to call webhook: "),
        ("/moved", "failed to call webhook: "),
        ("/uid", "received invalid webhook response: expected response.uid=\""),
    ] {
        let why = failure(&server, VALIDATING, hook.hook(path, value!({}))).await;
        assert!(why.starts_with(begin), "{path} {why}");
    }
    let why = failure(&server, VALIDATING, hook.hook("/patch", value!({}))).await;
    assert_eq!(why, invalid("validating webhook may not return response.patch"));
    let why = failure(&server, MUTATING, hook.hook("/hang", value!({"timeoutSeconds": 1i64}))).await;
    assert!(why.ends_with("?timeout=1s\": context deadline exceeded"), "{why}");
}

#[tokio::test]
async fn patches_that_do_not_fit_are_faults_whatever_the_policy() {
    let server = TestServer::start().await;
    let table = [
        (value!([{"op": "remove", "path": "/data/missing"}]), "Internal error occurred: "),
        (value!([{"op": "test", "path": "/data/key", "value": "other"}]), "Internal error occurred: "),
        (value!([{"op": "replace", "path": "/data", "value": "text"}]), "Internal error occurred: "),
        (value!([{"op": "what", "path": "/data"}]), "Internal error occurred: "),
        (value!([{"op": "remove", "path": ""}]), "Internal error occurred: "),
    ];
    for (operations, begin) in table {
        let shown = String::from_utf8(json::to_vec(&operations)).unwrap();
        let hook = Webhook::start(move |_, _| patch(operations.clone())).await;
        configure(&server, MUTATING, "w", vec![hook.hook("/", value!({"failurePolicy": "Ignore"}))]).await;
        let (code, _, why) = create_map(&server).await.status();
        assert_eq!(code, 500, "{shown} {why}");
        assert!(why.starts_with(begin), "{shown} {why}");
        remove(&server, MUTATING, "w").await;
    }
    // What is not a patch at all counts as a failed call.
    let patches = [
        (
            value!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode("{")}),
            "received undecodable patch",
        ),
        (
            value!({"allowed": true, "patchType": "Other", "patch": STANDARD.encode("[{}]")}),
            "unsupported patch type \"Other\"",
        ),
        (
            value!({"allowed": true, "patch": STANDARD.encode("[]")}),
            "received invalid webhook response: webhook returned",
        ),
    ];
    for (response, begin) in patches {
        let hook = Webhook::start(move |_, _| Answer::Response(response.clone())).await;
        let why = failure(&server, MUTATING, hook.hook("/", value!({}))).await;
        assert!(why.starts_with(begin), "{why}");
    }
}

#[tokio::test]
async fn webhooks_must_be_reached_and_trusted() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, _| allow()).await;
    let url = |url: String| value!({"clientConfig": {"url": url}});
    let stranger = Webhook::start(|_, _| allow()).await;
    let mut old = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    old.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let expired = Webhook::with(old, |_, _| allow()).await;
    let bundle = |bundle: &str| value!({"clientConfig": {"caBundle": bundle}});
    let post = |authority: &str, why: &str| {
        format!("failed to call webhook: Post \"https://{authority}/?timeout=10s\": {why}")
    };
    let own = format!("localhost:{}", hook.port);
    let verify = "tls: failed to verify certificate: x509: ";
    let unknown = format!("{verify}certificate signed by unknown authority");
    let table = [
        (hook.hook("/", bundle(&stranger.bundle)), post(&own, &unknown)),
        (
            hook.hook("/", bundle(&STANDARD.encode("not PEM"))),
            "could not get REST client: unable to load root certificates: unable to parse bytes as PEM block"
                .to_owned(),
        ),
        (
            expired.hook("/", value!({})),
            post(
                &format!("localhost:{}", expired.port),
                &format!("{verify}certificate has expired or is not yet valid"),
            ),
        ),
    ];
    for (hook, expected) in table {
        assert_eq!(failure(&server, VALIDATING, hook).await, expected);
    }
    // Nobody listens at the first port.
    let why = failure(&server, VALIDATING, hook.hook("/", url("https://127.0.0.1:1/".to_owned()))).await;
    assert!(why.ends_with("dial tcp 127.0.0.1:1: connect: connection refused"), "{why}");
    let other_name = hook.hook("/", url(format!("https://127.0.0.1:{}/", hook.port)));
    let why = failure(&server, VALIDATING, other_name).await;
    assert!(why.contains(verify), "{why}");
    assert!(hook.take().is_empty());
}

/// A webhook that takes connections and never answers holds up nobody but those who wait for it.
#[tokio::test]
async fn a_webhook_that_hangs_costs_only_its_own_requests() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, _| hang()).await;
    configure(&server, VALIDATING, "w", vec![hook.hook("/", value!({"timeoutSeconds": 30i64}))]).await;
    let waiting = async { futures::future::join_all((0..50).map(|_| create_map(&server))).await };
    let others = async {
        namespace(&server, "other", value!({})).await;
        let configuration = format!("{VALIDATING}/w");
        get(&server, &configuration).await.success();
        call(&server, "DELETE", &configuration, &Value::Null).await.success();
        server.registry.hub.catch_up().await.unwrap();
        create_map(&server).await.success();
    };
    tokio::select! {
        _ = waiting => panic!("they are answered"),
        done = tokio::time::timeout(Duration::from_secs(20), others) => done.unwrap(),
    }
}
