//! Differences from upstream that other suites, clients and bug reports showed.

use apiserver::testing::{TestServer, admin};
use object::{Value, value};

use crate::support::*;

/// JSON that is not laid out for people ends with a line, as Go's encoders end it: objects, lists and statuses.
#[tokio::test]
async fn json_ends_with_a_line() {
    let server = TestServer::start().await;
    for path in ["/api/v1/namespaces/default", "/api/v1/namespaces", "/api/v1/namespaces/none"] {
        let reply = get(&server, path).await;
        assert!(reply.bytes.ends_with(b"}\n"), "{path}: {:?}", reply.bytes);
    }
}

/// The features of the YAML parser depend on what else is built with it.
#[tokio::test]
async fn yaml_may_have_comments() {
    let server = TestServer::start().await;
    let yaml = "apiVersion: v1 # x\n# x\nkind: ConfigMap\nmetadata: # x\n  name: a # x\ndata:\n  a: b # x\n";
    let headers = [("content-type", "application/yaml")];
    let made = send(&server, Some(&admin()), "POST", CONFIG_MAPS, &headers, yaml).await;
    assert_eq!(made.code, 201, "{}", String::from_utf8_lossy(&made.bytes));
    assert_eq!(made.json().str_at("data.a"), "b");
}

/// A client that means an object that is gone, as a controller does whose cache is behind, makes no new one.
#[tokio::test]
async fn an_update_of_what_is_gone_is_a_conflict() {
    let server = TestServer::start().await;
    let path = "/api/v1/namespaces/default/endpoints";
    let made = call(&server, "POST", path, &value!({"metadata": {"name": "e"}})).await.success();
    let item = format!("{path}/e");
    call(&server, "DELETE", &item, &Value::Null).await.success();
    let (code, reason, message) = call(&server, "PUT", &item, &made).await.status();
    assert_eq!((code, reason.as_str()), (409, "Conflict"), "{message}");
    let mut anew = made.clone();
    anew.entry("metadata").remove("uid");
    let again = call(&server, "PUT", &item, &anew).await.success();
    assert_ne!(again.at("metadata.uid"), made.at("metadata.uid"));
}

/// What has no rows is not shown as a table.
#[tokio::test]
async fn a_review_is_no_table() {
    let server = TestServer::start().await;
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let table =
        [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io"), ("content-type", "application/json")];
    let review = r#"{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}"#;
    let refused = send(&server, Some(&admin()), "POST", path, &table, review).await;
    assert_eq!(refused.code, 406, "{:?}", refused.bytes);
}

#[tokio::test]
async fn options_is_no_verb() {
    let server = TestServer::start().await;
    for path in ["/api/v1/namespaces", "/api/v1/namespaces/default"] {
        let (code, reason, message) = send(&server, Some(&admin()), "OPTIONS", path, &[], "").await.status();
        assert_eq!((code, reason.as_str()), (405, "MethodNotAllowed"), "{path}");
        assert_eq!(message, "the server does not allow this method on the requested resource");
    }
}

#[tokio::test]
async fn a_deletion_says_once_what_becomes_of_dependents() {
    let server = TestServer::start().await;
    call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let item = format!("{CONFIG_MAPS}/a");
    let both = value!({"orphanDependents": true, "propagationPolicy": "Background"});
    let query = format!("{item}?orphanDependents=true&propagationPolicy=Background");
    for (path, body) in [(&item, &both), (&query, &Value::Null)] {
        let (code, _, message) = call(&server, "DELETE", path, body).await.status();
        assert_eq!(code, 422, "{message}");
        let why = "orphanDependents and deletionPropagation cannot be both set";
        assert!(message.ends_with(why), "{message}");
    }
}

#[tokio::test]
async fn health_is_many_checks() {
    let server = TestServer::start().await;
    let text = async |path: &str| {
        let reply = get(&server, path).await;
        (reply.code, String::from_utf8(reply.bytes.to_vec()).unwrap())
    };
    for endpoint in ["healthz", "livez", "readyz"] {
        assert_eq!(text(&format!("/{endpoint}")).await, (200, "ok".to_owned()));
        let (code, verbose) = text(&format!("/{endpoint}?verbose&exclude=etcd&exclude=none")).await;
        assert_eq!(code, 200);
        let lines: Vec<&str> = verbose.lines().collect();
        assert!(lines.starts_with(&["[+]ping ok", "[+]log ok", "[+]etcd excluded: ok"]), "{verbose}");
        assert!(lines.contains(&"[+]poststarthook/rbac/bootstrap-roles ok"), "{verbose}");
        let end = [
            r#"warn: some health checks cannot be excluded: no matches for "none""#.to_owned(),
            format!("{endpoint} check passed"),
        ];
        assert!(lines.ends_with(&end.each_ref().map(String::as_str)), "{verbose}");
        assert_eq!(verbose.contains("[+]informer-sync ok"), endpoint == "readyz", "{verbose}");
        assert_eq!(text(&format!("/{endpoint}/etcd")).await, (200, "ok".to_owned()));
        assert_eq!(text(&format!("/{endpoint}/none")).await.0, 404);
    }
}

/// Others verify tokens with what discovery tells.
#[tokio::test]
async fn keys_of_tokens_are_published() {
    let server = TestServer::start().await;
    let found = get(&server, "/.well-known/openid-configuration").await.success();
    assert!(found.str_at("jwks_uri").ends_with("/openid/v1/jwks"), "{found:?}");
    let keys = get(&server, "/openid/v1/jwks").await;
    assert_eq!(keys.headers["content-type"], "application/jwk-set+json");
    let key = keys.json().get("keys").items().next().unwrap().clone();
    assert_eq!((key.str_at("kty"), key.str_at("crv"), key.str_at("alg")), ("EC", "P-256", "ES256"));
    let account = value!({"metadata": {"name": "a"}});
    call(&server, "POST", "/api/v1/namespaces/default/serviceaccounts", &account).await.success();
    let request = value!({"spec": {"audiences": ["other"], "expirationSeconds": 600}});
    let path = "/api/v1/namespaces/default/serviceaccounts/a/token";
    let token = call(&server, "POST", path, &request).await.success();
    let token = token.str_at("status.token");
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.kid.as_deref(), Some(key.str_at("kid")));
    let decoding = jsonwebtoken::DecodingKey::from_ec_components(key.str_at("x"), key.str_at("y")).unwrap();
    let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
    validation.set_audience(&["other"]);
    jsonwebtoken::decode::<serde_json::Value>(token, &decoding, &validation).unwrap();
}

#[tokio::test]
async fn what_should_no_longer_be_used_is_warned_of() {
    let server = TestServer::start().await;
    for (path, warning) in [
        ("/api/v1/componentstatuses", "v1 ComponentStatus is deprecated in v1.19+"),
        (
            "/api/v1/namespaces/default/endpoints",
            "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
        ),
    ] {
        let warnings = get(&server, path).await.warnings();
        assert!(warnings.iter().any(|found| found.contains(warning)), "{path}: {warnings:?}");
    }
    assert!(get(&server, "/api/v1/namespaces").await.warnings().is_empty());
}
