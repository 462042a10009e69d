//! The conformance tests of webhooks, with the server as their subject.

use tokio::sync::Semaphore;

use super::*;

#[tokio::test]
async fn collections_of_configurations_are_listed_and_deleted() {
    let hook =
        Webhook::start(|path, _| if path == "/deny" { deny("no maps") } else { add_data("patched") }).await;
    for (collection, path) in [(MUTATING, "/patch"), (VALIDATING, "/deny")] {
        let server = TestServer::start().await;
        for index in 0..10 {
            configure(&server, collection, &format!("w{index}"), vec![hook.hook(path, value!({}))]).await;
        }
        let selected = format!("{collection}?labelSelector=test%3Dyes");
        assert_eq!(get(&server, &selected).await.success().get("items").items().count(), 10);
        let reply = create_map(&server).await;
        match collection {
            MUTATING => assert_eq!(reply.success().str_at("data.patched"), "yes"),
            _ => assert_eq!(reply.code, 400),
        }
        call(&server, "DELETE", &selected, &Value::Null).await.success();
        server.registry.hub.catch_up().await.unwrap();
        assert_eq!(create_map(&server).await.success().get("data"), &value!({"key": "value"}));
    }
}

#[tokio::test]
async fn changes_of_a_configuration_are_in_force_at_once() {
    let hook =
        Webhook::start(|path, _| if path == "/deny" { deny("no maps") } else { add_data("patched") }).await;
    for (collection, path) in [(MUTATING, "/patch"), (VALIDATING, "/deny")] {
        let server = TestServer::start().await;
        configure(&server, collection, "w", vec![hook.hook(path, value!({}))]).await;
        let touches = async || {
            server.registry.hub.catch_up().await.unwrap();
            let reply = create_map(&server).await;
            reply.code != 201 || reply.json().str_at("data.patched") == "yes"
        };
        assert!(touches().await);
        let own = format!("{collection}/w");
        let mut configuration = get(&server, &own).await.success();
        let only_updates = hook.hook(path, value!({"rules": [(rule("UPDATE", "", "v1", "configmaps"))]}));
        configuration.set("webhooks", vec![only_updates]);
        let replaced = call(&server, "PUT", &own, &configuration).await.success();
        assert_eq!(replaced.at("metadata.generation").as_i64(), Some(2));
        assert!(!touches().await);
        call(&server, "PATCH", &own, &value!({"webhooks": [(hook.hook(path, value!({})))]})).await.success();
        assert!(touches().await);
    }
}

/// Refuses objects with a certain text, and keeps others waiting.
fn guard(_: &str, request: &Value) -> Answer {
    let mark = match request.str_at("object.kind") {
        "Pod" => request.str_at("object.metadata.labels.mark"),
        _ => request.str_at("object.data.mark"),
    };
    match mark {
        "refuse" => deny("the mark is not wanted"),
        "wait" => hang(),
        _ => allow(),
    }
}

#[tokio::test]
async fn pods_and_config_maps_are_refused() {
    let (server, hook) = (server_for_pods().await, Webhook::start(guard).await);
    namespace(&server, "free", value!({"skip": "yes"})).await;
    let selector = value!({"matchExpressions": [{"key": "skip", "operator": "NotIn", "values": ["yes"]}]});
    let hooks =
        [("pods.example.com", "CREATE", "pods"), ("maps.example.com", "CREATE UPDATE DELETE", "configmaps")];
    let hooks = hooks.map(|(name, operations, resource)| {
        let rules = [rule(operations, "", "v1", resource)];
        let more = value!({"name": name, "namespaceSelector": selector.clone(), "timeoutSeconds": 1i64});
        let mut hook = hook.hook("/", more);
        hook.set("rules", rules.to_vec());
        hook
    });
    configure(&server, VALIDATING, "w", hooks.to_vec()).await;
    let marked_pod =
        |mark: &str| merge_patch(pod("p"), value!({"metadata": {"labels": {"mark": mark}}})).unwrap();
    let refused = |name: &str| {
        let why = format!("admission webhook \"{name}\" denied the request: the mark is not wanted");
        (400, String::new(), why)
    };
    let reply = call(&server, "POST", PODS, &marked_pod("refuse")).await;
    assert_eq!(reply.status(), refused("pods.example.com"));
    let (code, reason, why) = call(&server, "POST", PODS, &marked_pod("wait")).await.status();
    assert_eq!((code, reason.as_str()), (500, "InternalError"));
    let expected = format!(
        "Internal error occurred: failed calling webhook \"pods.example.com\": failed to call webhook: Post \
         \"https://localhost:{}/?timeout=1s\": context deadline exceeded",
        hook.port
    );
    assert_eq!(why, expected);
    call(&server, "POST", PODS, &marked_pod("fine")).await.success();

    let marked = |mark: &str| merge_patch(config_map("m", &[]), value!({"data": {"mark": mark}})).unwrap();
    let refused = refused("maps.example.com");
    let own = format!("{CONFIG_MAPS}/m");
    assert_eq!(call(&server, "POST", CONFIG_MAPS, &marked("refuse")).await.status(), refused);
    call(&server, "POST", CONFIG_MAPS, &marked("fine")).await.success();
    assert_eq!(call(&server, "PUT", &own, &marked("refuse")).await.status(), refused);
    assert_eq!(call(&server, "PATCH", &own, &value!({"data": {"mark": "refuse"}})).await.status(), refused);
    assert_eq!(get(&server, &own).await.success().str_at("data.mark"), "fine");
    call(&server, "POST", "/api/v1/namespaces/free/configmaps", &marked("refuse")).await.success();
}

#[tokio::test]
async fn definitions_are_refused() {
    let (server, hook) = (TestServer::start().await, Webhook::start(|_, _| deny("no definitions")).await);
    let rules = value!([(rule("CREATE", "apiextensions.k8s.io", "*", "customresourcedefinitions"))]);
    configure(&server, VALIDATING, "w", vec![hook.hook("/", value!({"rules": rules}))]).await;
    let reply = call(&server, "POST", custom::DEFINITIONS, &custom::definition(&["v1"])).await;
    let why = "admission webhook \"hook.example.com\" denied the request: no definitions";
    assert_eq!(reply.status(), (400, String::new(), why.to_owned()));
    assert_eq!(get(&server, &format!("{}/things.example.com", custom::DEFINITIONS)).await.code, 404);
}

#[tokio::test]
async fn slow_webhooks_have_the_time_that_they_are_given() {
    let server = TestServer::start().await;
    let (arrived, released) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (arrives, may_go) = (Arc::clone(&arrived), Arc::clone(&released));
    let hook = Webhook::start(move |_, _| {
        arrives.add_permits(1);
        let may_go = Arc::clone(&may_go);
        let later = async move {
            may_go.acquire().await.unwrap().forget();
            value!({"allowed": true})
        };
        Answer::Later(later.boxed())
    })
    .await;
    for (policy, code) in [("Fail", 500), ("Ignore", 201)] {
        let more = value!({"timeoutSeconds": 1i64, "failurePolicy": policy});
        configure(&server, VALIDATING, "w", vec![hook.hook("/", more)]).await;
        let reply = create_map(&server).await;
        assert_eq!(reply.code, code, "{policy} {:?}", reply.bytes);
        arrived.acquire().await.unwrap().forget();
        remove(&server, VALIDATING, "w").await;
    }
    for (seconds, asked) in [(value!(30i64), "30s"), (Value::Null, "10s")] {
        configure(&server, VALIDATING, "w", vec![hook.hook("/", value!({"timeoutSeconds": seconds}))]).await;
        let release = async {
            arrived.acquire().await.unwrap().forget();
            released.add_permits(1);
        };
        let (reply, ()) = tokio::join!(create_map(&server), release);
        reply.success();
        assert_eq!(hook.take().last().unwrap().query, format!("timeout={asked}"));
        remove(&server, VALIDATING, "w").await;
    }
}

#[tokio::test]
async fn mutating_webhooks_are_asked_in_order() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|path, request| match path {
        "/second" if request.at("object.data.first").is_null() => allow(),
        path => add_data(&path[1..]),
    })
    .await;
    let hooks = ["first", "second"];
    let hooks =
        hooks.map(|name| hook.hook(&format!("/{name}"), value!({"name": format!("{name}.example.com")})));
    configure(&server, MUTATING, "w", hooks.to_vec()).await;
    let made = create_map(&server).await.success();
    assert_eq!(made.get("data"), &value!({"first": "yes", "key": "value", "second": "yes"}));
}

#[tokio::test]
async fn what_webhooks_add_to_a_pod_gets_defaults() {
    let server = server_for_pods().await;
    let container = value!({"name": "added", "image": "image:latest"});
    let hook = Webhook::start(move |_, _| {
        patch(value!([{"op": "add", "path": "/spec/initContainers", "value": [(container.clone())]}]))
    })
    .await;
    let rules = value!([(rule("CREATE", "", "v1", "pods"))]);
    configure(&server, MUTATING, "w", vec![hook.hook("/", value!({"rules": rules}))]).await;
    let made = call(&server, "POST", PODS, &pod("p")).await.success();
    let added = made.at("spec.initContainers").items().next().unwrap();
    assert_eq!(added.str_at("name"), "added");
    assert_eq!(added.str_at("terminationMessagePolicy"), "File");
    assert_eq!(added.str_at("imagePullPolicy"), "Always");
}

/// Nor are policies, whose kinds are no more subject to admission than those of webhooks, nor the questions that
/// webhooks themselves ask.
#[tokio::test]
async fn configurations_and_questions_never_reach_webhooks() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|path, _| match path {
        "/patch" => patch(value!([{"op": "add", "path": "/metadata/labels/touched", "value": "yes"}])),
        _ => deny("nothing"),
    })
    .await;
    let rules = ["admissionregistration.k8s.io", "authentication.k8s.io", "authorization.k8s.io"];
    let rules: Vec<Value> = rules.iter().map(|group| rule("*", group, "*", "*/*")).collect();
    for (collection, path) in [(MUTATING, "/patch"), (VALIDATING, "/deny")] {
        let more = value!({"rules": rules.clone()});
        configure(&server, collection, "strict", vec![hook.hook(path, more)]).await;
    }
    let policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";
    let binding = value!({"metadata": {"name": "b", "labels": {"a": "b"}}, "spec": {
        "policyName": "p", "validationActions": ["Deny"]
    }});
    let made = call(&server, "POST", policies, &binding).await.success();
    assert_eq!(made.at("metadata.labels"), &value!({"a": "b"}));
    call(&server, "DELETE", &format!("{policies}/b"), &Value::Null).await.success();
    for collection in [MUTATING, VALIDATING] {
        let other = value!({"metadata": {"name": "other", "labels": {"a": "b"}}});
        let made = call(&server, "POST", collection, &other).await.success();
        assert_eq!(made.at("metadata.labels"), &value!({"a": "b"}));
    }
    let review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let asked = value!({"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}});
    assert_eq!(call(&server, "POST", review, &asked).await.success().at("status.allowed"), &value!(true));
    let review = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    call(&server, "POST", review, &value!({})).await.success();
    for collection in [MUTATING, VALIDATING] {
        remove(&server, collection, "other").await;
        remove(&server, collection, "strict").await;
    }
    assert!(hook.take().is_empty());
}

#[tokio::test]
async fn conditions_that_cannot_be_evaluated_are_not_accepted() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, _| allow()).await;
    for collection in [MUTATING, VALIDATING] {
        let more = value!({"matchConditions": [{"name": "c", "expression": "... [] bad expression"}]});
        let configuration = value!({"metadata": {"name": "w"}, "webhooks": [(hook.hook("/", more))]});
        let (code, _, why) = call(&server, "POST", collection, &configuration).await.status();
        assert_eq!(code, 422);
        assert!(why.contains("webhooks[0].matchConditions[0].expression: Invalid value"), "{why}");
        assert!(why.contains("compilation failed"), "{why}");
    }
}

/// Conditions are evaluated with the request, and the last thing that decides whether a webhook is asked.
#[tokio::test]
async fn webhooks_are_not_asked_about_what_does_not_meet_their_conditions() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, _| allow()).await;
    let conditions = value!({"matchConditions": [
        {"name": "not-skip-me", "expression": "object.metadata.name != 'skip-me'"},
        {"name": "allowed", "expression": "authorizer.requestResource.check('delete').allowed() && request.operation == 'CREATE'"}
    ]});
    for collection in [MUTATING, VALIDATING] {
        configure(&server, collection, "w", vec![hook.hook("/", conditions.clone())]).await;
    }
    call(&server, "POST", CONFIG_MAPS, &config_map("skip-me", &[])).await.success();
    assert!(hook.take().is_empty());
    call(&server, "POST", CONFIG_MAPS, &config_map("other", &[])).await.success();
    assert_eq!(hook.take().len(), 2);
}

#[tokio::test]
async fn a_webhook_that_cannot_be_called_refuses_everything() {
    let server = TestServer::start().await;
    namespace(&server, "closed", value!({"closed": "yes"})).await;
    let hook = Webhook::start(|_, _| allow()).await;
    let mut strict = hook.hook("/", value!({"namespaceSelector": {"matchLabels": {"closed": "yes"}}}));
    // Without the bundle, nobody vouches for the webhook's certificate.
    strict.get_mut("clientConfig").unwrap().remove("caBundle");
    configure(&server, VALIDATING, "w", vec![strict]).await;
    let closed = "/api/v1/namespaces/closed/configmaps";
    let (code, reason, why) = call(&server, "POST", closed, &config_map("m", &[])).await.status();
    assert_eq!((code, reason.as_str()), (500, "InternalError"));
    assert!(
        why.starts_with("Internal error occurred: failed calling webhook \"hook.example.com\": "),
        "{why}"
    );
    assert!(hook.take().is_empty());
    create_map(&server).await.success();
}
