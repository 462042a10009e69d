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

/// A token for others, and its header.
async fn token_for_others(server: &TestServer) -> (String, jsonwebtoken::Header) {
    let request = value!({"spec": {"audiences": ["other"], "expirationSeconds": 600}});
    let path = "/api/v1/namespaces/default/serviceaccounts/a/token";
    let token = call(server, "POST", path, &request).await.success();
    let token = token.str_at("status.token").to_owned();
    let header = jsonwebtoken::decode_header(&token).unwrap();
    (token, header)
}

/// Verifies a token as others do: with the published key that its header names.
async fn verify_with_published_key(server: &TestServer, token: &str) {
    let keys = get(server, "/openid/v1/jwks").await;
    assert_eq!(keys.headers["content-type"], "application/jwk-set+json");
    let keys: jsonwebtoken::jwk::JwkSet = serde_json::from_slice(&keys.bytes).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).unwrap();
    let mut validation = jsonwebtoken::Validation::new(header.alg);
    validation.set_audience(&["other"]);
    let key = jsonwebtoken::DecodingKey::from_jwk(key).unwrap();
    jsonwebtoken::decode::<serde_json::Value>(token, &key, &validation).unwrap();
}

/// All fields of upstream's version, in its order.
#[tokio::test]
async fn the_version_has_upstreams_fields() {
    let server = TestServer::start().await;
    let version = get(&server, "/version").await.success();
    let fields: Vec<(&str, &str)> =
        version.entries().map(|(name, value)| (name, value.as_str().unwrap())).collect();
    let expected = [
        ("major", "1"),
        ("minor", "37"),
        ("emulationMajor", "1"),
        ("emulationMinor", "37"),
        ("minCompatibilityMajor", "1"),
        ("minCompatibilityMinor", "36"),
    ];
    assert_eq!(fields[..6], expected);
    let names: Vec<&str> = fields[6..].iter().map(|(name, _)| *name).collect();
    let others =
        ["gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"];
    assert_eq!(names, others);
    assert!(version.str_at("gitVersion").starts_with("v1.37.0+ironhull"));
    assert!(version.str_at("buildDate").parse::<jiff::Timestamp>().is_ok(), "{version:?}");
    assert!(version.str_at("platform").starts_with("linux/"));
}

/// Others verify tokens with what discovery tells, before and after the server has an RSA key.
#[tokio::test]
async fn keys_of_tokens_are_published() {
    let server = TestServer::start().await;
    let discovered = async || {
        let found = get(&server, "/.well-known/openid-configuration").await.success();
        assert!(found.str_at("jwks_uri").ends_with("/openid/v1/jwks"), "{found:?}");
        let found = found.get("id_token_signing_alg_values_supported");
        found.items().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let account = value!({"metadata": {"name": "a"}});
    call(&server, "POST", "/api/v1/namespaces/default/serviceaccounts", &account).await.success();
    assert_eq!(discovered().await, ["ES256"]);
    let (old, header) = token_for_others(&server).await;
    assert_eq!(header.alg, jsonwebtoken::Algorithm::ES256);
    verify_with_published_key(&server, &old).await;

    let made = server.generate_rsa_key();
    tokio::time::timeout(std::time::Duration::from_secs(90), made).await.unwrap().unwrap();
    assert_eq!(discovered().await, ["ES256", "RS256"]);
    let again = server.generate_rsa_key();
    assert!(again.await.is_err(), "there is one");
    let (new, header) = token_for_others(&server).await;
    assert_eq!(header.alg, jsonwebtoken::Algorithm::RS256);
    for token in [old, new] {
        verify_with_published_key(&server, &token).await;
        let review = value!({"spec": {"token": token, "audiences": ["other"]}});
        let path = "/apis/authentication.k8s.io/v1/tokenreviews";
        let answer = call(&server, "POST", path, &review).await.success();
        assert_eq!(answer.str_at("status.user.username"), "system:serviceaccount:default:a", "{answer:?}");
    }
}

/// The parts of the control plane, asked where they run: in this process or over the network.
#[tokio::test]
async fn component_statuses_are_those_of_the_parts() {
    struct Part(Result<(), String>);

    #[async_trait::async_trait]
    impl apiserver::components::Component for Part {
        async fn health(&self) -> Result<(), String> {
            self.0.clone()
        }
    }

    let server = TestServer::start().await;
    server.components().set_scheduler(Part(Ok(())));
    server.components().set_controllers(Part(Err("not running: deployment".into())));
    let statuses = async |query: &str| {
        let list = get(&server, &format!("/api/v1/componentstatuses{query}")).await.success();
        assert_eq!(list.str_at("kind"), "ComponentStatusList");
        let items = list.get("items").items().map(|item| {
            let condition = item.get("conditions").items().next().unwrap();
            assert_eq!(condition.str_at("type"), "Healthy");
            ["status", "message"].map(|field| condition.str_at(field)).join(" ")
                + " "
                + item.str_at("metadata.name")
        });
        items.collect::<Vec<_>>()
    };
    let [controllers, scheduler, store] =
        ["False not running: deployment controller-manager", "True ok scheduler", "True ok etcd-0"];
    assert_eq!(statuses("").await, [controllers, scheduler, store]);
    assert_eq!(statuses("?fieldSelector=metadata.name%3Dscheduler").await, [scheduler]);
    assert_eq!(statuses("?labelSelector=a").await, [""; 0]);
    let one = get(&server, "/api/v1/componentstatuses/scheduler").await.success();
    assert_eq!((one.str_at("kind"), one.str_at("metadata.name")), ("ComponentStatus", "scheduler"));
    let (code, _, message) = get(&server, "/api/v1/componentstatuses/other").await.status();
    assert_eq!((code, message.as_str()), (404, "componentstatuses \"other\" not found"));
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
