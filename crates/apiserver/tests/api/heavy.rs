//! Bodies designed to be expensive, and their effect on other clients.

use std::sync::Arc;
use std::time::Duration;

use apiserver::testing::admin;
use bytes::Bytes;
use object::value;

use crate::support::*;

/// Far beyond what any of these requests may take, in builds without optimization too.
const HEAVY_WITHIN: Duration = Duration::from_secs(60);
/// How large an answer may be that refuses a request.
const REFUSAL_BYTES_MAX: usize = 2 << 20;
const BODY_BYTES: usize = 3_000_000;
const SERVICES: &str = "/api/v1/namespaces/default/services";

/// A text again and again between two others, as large as a body may be; `{}` in it becomes a number.
fn repeated(before: &str, text: &str, after: &str, bytes: usize) -> Bytes {
    let mut body = before.to_owned();
    let mut index = 0;
    while body.len() + text.len() + after.len() + 20 < bytes {
        if index > 0 {
            body.push(',');
        }
        body.push_str(&text.replace("%", &index.to_string()));
        index += 1;
    }
    (body + after).into()
}

fn pod(bytes: usize, before: &str, text: &str, after: &str) -> Bytes {
    let before = format!(r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"p"}},"spec":{{{before}"#);
    repeated(&before, text, &format!("{after}}}}}"), bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_costs_more_than_its_size() {
    let server = server_for_pods().await;
    call(&server, "POST", CONFIG_MAPS, &config_map("m", &[])).await.success();
    let map = format!("{CONFIG_MAPS}/m");
    let service = |kind: &str, port: &str| {
        let before = format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"s"}},"spec":{{"type":"{kind}","ports":["#
        );
        repeated(&before, port, "]}}", 2_000_000)
    };
    call(&server, "POST", SERVICES, &value!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 1i64}]}
    }))
    .await
    .success();
    let ports = repeated("", r#"{"port":%,"protocol":"TCP"}"#, "", 1_000_000);
    let ports = String::from_utf8_lossy(&ports);
    let ordered = format!(r#"{{"spec":{{"ports":[{ports}],"$setElementOrder/ports":[{ports}]}}}}"#);
    let one = r#""containers":[{"name":"c","image":"i"}]"#;
    let mounts = format!(
        r#"{},"volumeMounts":["#,
        r#""containers":[{"name":"c","image":"i","volumeDevices":[{"name":"x","devicePath":"/x"}]"#
    );
    let json = "application/json";
    let large = BODY_BYTES;
    let cases = [
        ("40,000 empty containers", "POST", PODS, json, pod(120_000, r#""containers":["#, "{}", "]")),
        ("empty containers", "POST", PODS, json, pod(large, r#""containers":["#, "{}", "]")),
        ("containers", "POST", PODS, json, pod(large, r#""containers":["#, r#"{"name":"c%","image":"i"}"#, "]")),
        ("one name", "POST", PODS, json, pod(large, r#""containers":["#, r#"{"name":"c","image":"i"}"#, "]")),
        ("tolerations", "POST", PODS, json, pod(large, &format!(r#"{one},"tolerations":["#), r#"{"key":"k%"}"#, "]")),
        ("mounts", "POST", PODS, json, pod(large, &mounts, r#"{"name":"v%","mountPath":"/%"}"#, "]}]")),
        ("unknown fields", "POST", PODS, json, pod(large, &format!("{one},"), r#""x%":1"#, "")),
        ("keys", "PATCH", &map, "application/merge-patch+json", repeated(r#"{"data":{"#, r#""k%":"v""#, "}}", large)),
        ("keys", "PATCH", &map, "application/strategic-merge-patch+json",
            repeated(r#"{"data":{"#, r#""k%":"v""#, "}}", large)),
        ("operations", "PATCH", &map, "application/json-patch+json",
            repeated("[", r#"{"op":"add","path":"/data/k%","value":"v"}"#, "]", 500_000)),
        ("aliases", "POST", CONFIG_MAPS, "application/yaml",
            "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n".into()),
        ("ports", "POST", SERVICES, json, service("ClusterIP", r#"{"port":1,"name":"p%"}"#)),
        ("ports of nodes", "POST", SERVICES, json, service("NodePort", r#"{"port":%,"nodePort":30000}"#)),
        ("ordered ports", "PATCH", "/api/v1/namespaces/default/services/s",
            "application/strategic-merge-patch+json", ordered.into()),
        ("owners", "POST", CONFIG_MAPS, json, repeated(r#"{"metadata":{"name":"o","ownerReferences":["#,
            r#"{"apiVersion":"v1","kind":"P","name":"n%","uid":"u","controller":true}"#, "]}}", large)),
        ("nesting", "POST", CONFIG_MAPS, json, "[".repeat(large).into()),
    ];
    for (what, method, path, content_type, body) in cases {
        let content_type = [("content-type", content_type)];
        let user = admin();
        let sent = send(&server, Some(&user), method, path, &content_type, body);
        let reply = tokio::time::timeout(HEAVY_WITHIN, sent).await.unwrap_or_else(|_| panic!("{what}"));
        assert!(
            reply.code == 201 || reply.code == 200 || (400..500).contains(&reply.code),
            "{what}: {}",
            reply.code
        );
        assert!(reply.code < 300 || reply.bytes.len() < REFUSAL_BYTES_MAX, "{what}: {}", reply.bytes.len());
        let warnings: usize = reply.warnings().iter().map(String::len).sum();
        assert!(warnings < 10_000, "{what}: {warnings} bytes of warnings");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_requests_pass_heavy_ones() {
    let server = Arc::new(server_for_pods().await);
    let body = pod(70_000, r#""containers":["#, "{}", "]");
    let mut heavy = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (server, body) = (Arc::clone(&server), body.clone());
        heavy.spawn(async move {
            let json = [("content-type", "application/json")];
            let reply = send(&server, Some(&admin()), "POST", PODS, &json, body).await;
            assert_eq!(reply.code, 422);
        });
    }
    // All of these are answered before the heavy requests are.
    let mut answered = 0;
    while heavy.try_join_next().is_none() || answered == 0 {
        let namespaces = get(&server, "/api/v1/namespaces/default").await;
        assert_eq!(namespaces.code, 200);
        answered += 1;
        tokio::task::yield_now().await;
    }
    assert!(answered > 1 && heavy.len() > 5, "{answered} answers before the first of the heavy ones");
    while heavy.join_next().await.is_some_and(|done| done.is_ok()) {}
    assert_eq!(heavy.len(), 0);
}

#[tokio::test]
async fn an_answer_tells_a_hundred_errors() {
    let server = server_for_pods().await;
    let body = pod(120_000, r#""containers":["#, "{}", "]");
    let json = [("content-type", "application/json")];
    let reply = send(&server, Some(&admin()), "POST", PODS, &json, body).await;
    let (code, reason, message) = reply.status();
    assert_eq!((code, &*reason), (422, "Invalid"));
    assert!(message.contains("spec.containers[0].name: Required value"), "{}", &message[..300]);
    assert!(message.ends_with("more errors omitted]"), "{}", &message[message.len() - 100..]);
    assert_eq!(reply.json().at("details.causes").items().len(), 101);
}
