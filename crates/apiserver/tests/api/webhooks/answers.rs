//! What the client gets of a webhook's answer.

use super::*;

/// The answer to a creation while one webhook gives this response.
async fn answered(server: &TestServer, collection: &str, response: Value, more: Value) -> Reply {
    let hook = Webhook::start(move |_, _| Answer::Response(response.clone())).await;
    configure(server, collection, "w", vec![hook.hook("/", more)]).await;
    let reply = create_map(server).await;
    assert_eq!(hook.take().len(), 1);
    remove(server, collection, "w").await;
    reply
}

#[tokio::test]
async fn refusals_have_the_status_of_the_webhook() {
    let server = TestServer::start().await;
    let denied = "admission webhook \"hook.example.com\" denied the request";
    let table: Vec<(Value, u16, &str, String)> = vec![
        (Value::Null, 400, "", format!("{denied} without explanation")),
        (value!({"message": "no"}), 400, "", format!("{denied}: no")),
        (value!({"reason": "Expired"}), 400, "Expired", format!("{denied}: Expired")),
        (
            value!({"message": "no", "reason": "Forbidden", "code": 403i64}),
            403,
            "Forbidden",
            format!("{denied}: no"),
        ),
        (value!({"message": "no", "code": 200i64, "status": "Success"}), 400, "", format!("{denied}: no")),
        (value!({"message": "no", "code": 599i64}), 599, "", format!("{denied}: no")),
        (value!({"message": "no", "code": 1000i64}), 400, "", format!("{denied}: no")),
        (value!({"message": "no", "code": (-1i64)}), 400, "", format!("{denied}: no")),
        (value!({"message": "no", "code": 500i64, "reason": "Own"}), 500, "Own", format!("{denied}: no")),
    ];
    for collection in [MUTATING, VALIDATING] {
        for (status, code, reason, message) in &table {
            let response = value!({"allowed": false, "status": status.clone()});
            let reply = answered(&server, collection, response, value!({})).await;
            assert_eq!(reply.status(), (*code, (*reason).to_owned(), message.clone()));
        }
        // A refusal is not a failure.
        let response = value!({"allowed": false, "status": {
            "message": "no", "code": 429i64,
            "details": {"name": "n", "kind": "k", "causes": [{"field": "data"}], "retryAfterSeconds": 7i64}
        }});
        let reply = answered(&server, collection, response, value!({"failurePolicy": "Ignore"})).await;
        assert_eq!(reply.code, 429);
        assert_eq!(reply.headers["retry-after"], "7");
        let status = reply.json();
        assert_eq!((status.str_at("status"), status.str_at("details.name")), ("Failure", "n"));
        assert_eq!(status.at("details.causes").items().next().unwrap().str_at("field"), "data");
    }
}

#[tokio::test]
async fn the_first_refusal_in_the_order_of_the_webhooks_counts() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|path, _| if path == "/allow" { allow() } else { deny(path) }).await;
    let hooks = ["/allow", "/one", "/two"];
    let hooks = hooks.map(|path| hook.hook(path, value!({"name": format!("{}.example.com", &path[1..])})));
    configure(&server, VALIDATING, "w", hooks.to_vec()).await;
    let (_, _, why) = create_map(&server).await.status();
    assert_eq!(why, "admission webhook \"one.example.com\" denied the request: /one");
    assert_eq!(hook.take().len(), 3, "all are asked");
}

#[tokio::test]
async fn warnings_reach_the_client() {
    let server = TestServer::start().await;
    for allowed in [true, false] {
        for collection in [MUTATING, VALIDATING] {
            let response = value!({"allowed": allowed, "warnings": ["first", "sec\"ond"], "auditAnnotations": {"a": "b"}});
            let reply = answered(&server, collection, response, value!({})).await;
            assert_eq!(
                reply.warnings(),
                [r#"299 - "first""#, r#"299 - "sec\"ond""#],
                "{collection} {allowed}"
            );
        }
    }
}

#[tokio::test]
async fn webhooks_may_speak_the_older_version() {
    let server = TestServer::start().await;
    for versions in [value!(["v1beta1"]), value!(["v2", "v1beta1", "v1"])] {
        let hook = Webhook::start(|_, request| {
            let mut response = match add_data("known") {
                Answer::Response(response) => response,
                _ => Value::Null,
            };
            // Neither was required.
            response.remove("patchType");
            response.set("uid", format!("not {}", request.str_at("uid")));
            Answer::Response(response)
        })
        .await;
        let more = value!({"admissionReviewVersions": versions});
        configure(&server, MUTATING, "w", vec![hook.hook("/", more)]).await;
        assert_eq!(create_map(&server).await.success().str_at("data.known"), "yes");
        remove(&server, MUTATING, "w").await;
    }
}

/// Whatever has warned before a request was refused: decoding, the kind, webhooks. Deprecations come first, and nothing
/// comes twice.
#[tokio::test]
async fn refusals_carry_the_warnings_of_all_before_them() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|path, _| {
        Answer::Response(value!({"allowed": (path != "/deny"), "warnings": [path, "again"]}))
    })
    .await;
    let rules = value!({"rules": [(rule("CREATE", "", "v1", "endpoints")), (rule("CREATE", "apps", "v1", "deployments"))]});
    configure(&server, MUTATING, "w", vec![hook.hook("/first", rules.clone())]).await;
    configure(&server, VALIDATING, "w", vec![hook.hook("/deny", rules)]).await;
    let body = value!({"metadata": {"name": "e"}, "unknown": 1i64});
    let reply = call(&server, "POST", "/api/v1/namespaces/default/endpoints", &body).await;
    assert_eq!(reply.code, 400);
    let told = ["v1 Endpoints is deprecated", r#"unknown field \"unknown\""#, "/first", "again", "/deny"];
    let warnings = reply.warnings();
    assert_eq!(warnings.len(), told.len(), "{warnings:?}");
    for (warning, told) in warnings.iter().zip(told) {
        assert!(warning.contains(told), "{told}: {warnings:?}");
    }
    // The kind warns between the two phases of admission.
    let reply =
        call(&server, "POST", "/apis/apps/v1/namespaces/default/deployments", &deployment("a.b")).await;
    assert_eq!(reply.code, 400);
    let told = ["/first", "again", "metadata.name: this is used in Pod names", "/deny"];
    let warnings = reply.warnings();
    assert_eq!(warnings.len(), told.len(), "{warnings:?}");
    for (warning, told) in warnings.iter().zip(told) {
        assert!(warning.contains(told), "{told}: {warnings:?}");
    }
    // A failure before admission has warnings too.
    let wrong = value!({"metadata": {"name": "other"}, "unknown": 1i64});
    let reply = call(&server, "PUT", "/api/v1/namespaces/default/configmaps/m", &wrong).await;
    assert_eq!(reply.code, 400);
    assert_eq!(reply.warnings(), [r#"299 - "unknown field \"unknown\"""#]);
}

/// The time of a request is that of all webhooks together.
#[tokio::test]
async fn all_phases_share_the_time_of_the_request() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|path, _| match path {
        "/slow" => Answer::Later(Box::pin(async {
            tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
            value!({"allowed": true})
        })),
        _ => allow(),
    })
    .await;
    let long = value!({"timeoutSeconds": 30i64});
    configure(&server, MUTATING, "w", vec![hook.hook("/slow", long.clone())]).await;
    configure(&server, VALIDATING, "w", vec![hook.hook("/last", long)]).await;
    let path = "/api/v1/namespaces/default/configmaps?timeout=20s";
    call(&server, "POST", path, &config_map("m", &[])).await.success();
    let seconds = |seen: &Seen| -> u64 {
        seen.query.trim_start_matches("timeout=").trim_end_matches('s').parse().unwrap()
    };
    let seen: Vec<u64> = hook.take().iter().map(seconds).collect();
    assert!(seen.len() == 2 && seen[0] <= 20 && seen[1] < seen[0], "{seen:?}");
}
