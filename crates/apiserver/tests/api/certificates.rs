//! Signing requests: who may approve and sign.

use apiserver::handler::Peer;
use apiserver::testing::TestServer;
use apiserver::user::User;
use base64::Engine;
use object::{Value, value};

fn request(name: &str, organization: &str) -> Value {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "jane");
    params.distinguished_name.push(rcgen::DnType::OrganizationName, organization);
    let pem = params.serialize_request(&key).unwrap().pem().unwrap();
    value!({"metadata": {"name": name}, "spec": {
        "request": base64::engine::general_purpose::STANDARD.encode(pem),
        "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]
    }})
}

fn text(value: &Value) -> String {
    String::from_utf8(object::json::to_vec(value)).unwrap()
}

/// Some certificate, in base64.
fn certificate() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let pem = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
    base64::engine::general_purpose::STANDARD.encode(pem)
}

#[tokio::test]
async fn each_part_of_a_request_is_changed_in_its_own_way() {
    let server = TestServer::start().await;
    let (group, plural) = ("certificates.k8s.io", "certificatesigningrequests");
    let mut jane = request("jane", "dev");
    jane.entry("spec").set("username", "root");
    jane.set(
        "status",
        value!({"certificate": (certificate()), "conditions": [{"type": "Approved", "status": "True"}]}),
    );
    let made = server.create(group, plural, "", jane).await.unwrap();
    let admin = apiserver::testing::admin();
    assert_eq!(made.str_at("spec.username"), admin.name);
    assert!(made.get("status").is_empty(), "{made:?}");
    let change = |part: &str, patch: Value| {
        let path = format!("/apis/{group}/v1/{plural}/jane{part}");
        let (server, admin) = (&server, &admin);
        async move {
            let answer =
                server.request(admin, "PATCH", &path, "application/merge-patch+json", text(&patch)).await;
            answer.map(apiserver::testing::value_of)
        }
    };
    let approved =
        || value!({"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "Known"}]}});
    let issued = |certificate: &str| value!({"status": {"certificate": certificate}});
    // The object itself: nothing but metadata changes.
    let same = change(
        "",
        value!({"spec": {"username": "root", "usages": []}, "status": (approved().get("status").clone())}),
    )
    .await;
    assert_eq!(same.unwrap().at("spec"), made.at("spec"));
    let refused = change("/status", approved()).await.unwrap_err();
    let expected = "status.conditions: Forbidden: updates may not add a condition of type \"Approved\"";
    assert!(refused.code == 422 && refused.message.ends_with(expected), "{}", refused.message);
    // An approval has its time, and brings no certificate.
    let mut both = approved();
    both.entry("status").set("certificate", certificate());
    let done = change("/approval", both).await.unwrap();
    assert!(done.at("status.certificate").is_empty(), "{done:?}");
    let condition = done.at("status.conditions").items().next().unwrap();
    assert!(
        !condition.str_at("lastUpdateTime").is_empty() && !condition.str_at("lastTransitionTime").is_empty()
    );
    let refused = change("/approval", value!({"status": {"conditions": []}})).await.unwrap_err();
    assert!(refused.message.contains("may not remove"), "{}", refused.message);
    let refused = change("/status", issued("eA==")).await.unwrap_err();
    assert!(refused.message.contains("status.certificate: Invalid value"), "{}", refused.message);
    change("/status", issued(&certificate())).await.unwrap();
    let refused = change("/status", issued(&certificate())).await.unwrap_err();
    assert!(
        refused.message.ends_with("updates may not modify existing certificate content"),
        "{}",
        refused.message
    );
}

#[tokio::test]
async fn approval_and_signature_are_the_signers_to_allow() {
    let server = TestServer::start().await;
    let (group, plural) = ("certificates.k8s.io", "certificatesigningrequests");
    let refused = server.create(group, plural, "", request("root", "system:masters")).await.unwrap_err();
    let expected =
        "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
    assert!(refused.code == 403 && refused.message.ends_with(expected), "{}", refused.message);
    server.create(group, plural, "", request("jane", "dev")).await.unwrap();
    // May write approvals, but not for this signer.
    let rules = value!([{"apiGroups": [group], "resources": ["certificatesigningrequests/approval", "certificatesigningrequests/status"], "verbs": ["patch"]}]);
    let role = value!({"metadata": {"name": "half"}, "rules": rules});
    server.create("rbac.authorization.k8s.io", "clusterroles", "", role).await.unwrap();
    let binding = value!({"metadata": {"name": "half"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "half"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "half"}]});
    server.create("rbac.authorization.k8s.io", "clusterrolebindings", "", binding).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    let certificate = text(&value!({"status": {"certificate": (certificate())}}));
    let table = [
        (
            "approval",
            r#"{"status":{"conditions":[{"type":"Approved","status":"True"}]}}"#.to_owned(),
            "approve",
        ),
        ("status", certificate, "sign"),
    ];
    for (part, patch, verb) in table {
        let path = format!("/apis/{group}/v1/{plural}/jane/{part}");
        let send = |user: User| {
            let (server, path, patch) = (&server, &path, patch.clone());
            async move { server.request(&user, "PATCH", path, "application/merge-patch+json", patch).await }
        };
        let refused = send(User::new("half", &[])).await.unwrap_err();
        let expected = format!(
            "user not permitted to {verb} requests with signerName \"kubernetes.io/kube-apiserver-client\""
        );
        assert!(refused.message.ends_with(&expected), "{}", refused.message);
        send(apiserver::testing::admin()).await.unwrap();
    }
}

#[tokio::test]
async fn a_certificate_that_has_ended_opens_nothing_on_an_old_connection() {
    let server = TestServer::start().await;
    let now = server.registry.clock.now();
    for (seconds, code) in [(60, 200), (-1, 401)] {
        let end = now.saturating_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
        let peer = Peer { user: Some(apiserver::testing::admin()), user_until: Some(end), address: None };
        let body = http_body_util::Full::new(bytes::Bytes::new());
        let request = http::Request::get("/api/v1/nodes").body(body).unwrap();
        let answer = std::sync::Arc::clone(&server).handle(request, peer).await;
        assert_eq!(answer.status(), code, "{seconds}");
    }
}
