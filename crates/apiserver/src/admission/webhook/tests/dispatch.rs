//! Requests that pass webhooks behind TLS on the loopback.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use object::{Status, Value, json, value};
use rcgen::{CertificateParams, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::testing::TestServer;

/// A webhook whose answers depend on the path; returns its URL and its certificate in base64.
async fn webhook() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let identity = tls::Identity::from_pem(&certificate.pem(), &key.serialize_pem()).unwrap();
    let config = tls::server(identity, &tls::certificates(&certificate.pem()).unwrap(), &[]).unwrap();
    let (acceptor, listener) =
        (TlsAcceptor::from(Arc::new(config)), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(reply);
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    (url, STANDARD.encode(certificate.pem()))
}

async fn reply(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let review = json::parse(&request.into_body().collect().await?.to_bytes()).unwrap();
    assert_eq!(review.str_at("request.userInfo.username"), "admin");
    let mut response = value!({"uid": review.str_at("request.uid"), "allowed": path != "/deny"});
    match path.as_str() {
        "/hang" => std::future::pending().await,
        "/garbage" => return Ok(Response::new(Full::from("no review"))),
        "/deny" => response.set("status", value!({"message": "no maps", "code": 409})),
        "/patch" => {
            let patch = json::to_vec(&value!([{"op": "add", "path": "/data/patched", "value": "yes"}]));
            response.set("patch", STANDARD.encode(patch));
            response.set("patchType", "JSONPatch");
        }
        _ => {}
    }
    let review =
        value!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response});
    Ok(Response::new(Full::from(json::to_vec(&review))))
}

/// The answer to the creation of a ConfigMap while such a webhook is configured.
async fn create(
    server: &TestServer,
    kind: &str,
    url: &str,
    bundle: &str,
    policy: &str,
) -> Result<Value, Status> {
    let configuration = value!({"metadata": {"name": "w"}, "webhooks": [{
        "name": "maps.example.com", "clientConfig": {"url": url, "caBundle": bundle},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}],
        "failurePolicy": policy, "timeoutSeconds": 1, "sideEffects": "None", "admissionReviewVersions": ["v1"]
    }]});
    let group = "admissionregistration.k8s.io";
    server.create(group, kind, "", configuration).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    let map = value!({"metadata": {"generateName": "m-"}, "data": {"a": "b"}});
    let made = server.create("", "configmaps", "default", map).await;
    server.delete(group, kind, "", "w").await.unwrap();
    made
}

#[tokio::test]
async fn webhooks_change_and_refuse_requests() {
    const MUTATING: &str = "mutatingwebhookconfigurations";
    const VALIDATING: &str = "validatingwebhookconfigurations";
    let (server, (url, bundle)) = (TestServer::start().await, webhook().await);
    let at = |path: &str| format!("{url}{path}");
    let made = create(&server, MUTATING, &at("/patch"), &bundle, "Fail").await.unwrap();
    assert_eq!(made.at("data.patched").as_str(), Some("yes"));
    let table = [
        (MUTATING, "/deny", 409, "admission webhook \"maps.example.com\" denied the request: no maps"),
        (VALIDATING, "/deny", 409, "admission webhook \"maps.example.com\" denied the request: no maps"),
        (VALIDATING, "/patch", 500, "validating webhook may not return response.patch"),
        (VALIDATING, "/hang", 500, "context deadline exceeded"),
        (MUTATING, "/garbage", 500, "failed calling webhook \"maps.example.com\": failed to call webhook: "),
    ];
    for (kind, path, code, why) in table {
        let status = create(&server, kind, &at(path), &bundle, "Fail").await.unwrap_err();
        assert_eq!(status.code, code, "{path} {}", status.message);
        assert!(status.message.contains(why), "{path} {}", status.message);
    }
    create(&server, VALIDATING, &at("/allow"), &bundle, "Fail").await.unwrap();
    create(&server, VALIDATING, &at("/hang"), &bundle, "Ignore").await.unwrap();
    let (_, foreign) = webhook().await;
    let status = create(&server, VALIDATING, &at("/allow"), &foreign, "Fail").await.unwrap_err();
    assert!(status.message.contains("tls: "), "{}", status.message);
}
