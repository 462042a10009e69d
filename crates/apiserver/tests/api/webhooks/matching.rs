//! Which requests webhooks are asked about, and what they are told.

use apiserver::user::User;

use super::*;

/// The names of the webhooks that were asked, in order.
fn asked(hook: &Webhook) -> Vec<String> {
    let mut paths: Vec<String> = hook.take().iter().map(|seen| seen.path[1..].to_owned()).collect();
    paths.sort();
    paths
}

/// Webhooks for all operations on these resources, each with a path and a patch.
fn hooks(hook: &Webhook, rules: &Value, each: &[(&str, Value)]) -> Vec<Value> {
    let hook = |(path, patch): &(&str, Value)| {
        let base = value!({"name": format!("{path}.example.com"), "rules": rules.clone()});
        merge_patch(hook.hook(&format!("/{path}"), base), patch.clone()).unwrap()
    };
    each.iter().map(hook).collect()
}

#[tokio::test]
async fn labels_of_objects_select_old_and_new_ones() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, _| allow()).await;
    let rules = value!([(rule("*", "", "v1", "configmaps"))]);
    let all = [
        ("all", value!({})),
        ("labelled", value!({"objectSelector": {"matchLabels": {"a": "b"}}})),
        (
            "unlabelled",
            value!({"objectSelector": {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}}),
        ),
    ];
    configure(&server, VALIDATING, "w", hooks(&hook, &rules, &all)).await;
    let own = format!("{CONFIG_MAPS}/m");
    call(&server, "POST", CONFIG_MAPS, &config_map("m", &[])).await.success();
    assert_eq!(asked(&hook), ["all", "unlabelled"]);
    call(&server, "PATCH", &own, &value!({"metadata": {"labels": {"a": "b"}}})).await.success();
    assert_eq!(asked(&hook), ["all", "labelled", "unlabelled"], "one state is selected by each");
    call(&server, "DELETE", &own, &Value::Null).await.success();
    assert_eq!(asked(&hook), ["all", "labelled"]);
}

#[tokio::test]
async fn labels_of_namespaces_select_what_is_in_them() {
    let server = TestServer::start().await;
    namespace(&server, "labelled", value!({"a": "b"})).await;
    let hook = Webhook::start(|_, _| allow()).await;
    let mut rules = rule("*", "", "v1", "configmaps");
    rules.set("resources", value!(["configmaps", "namespaces", "namespaces/finalize", "persistentvolumes"]));
    let scope = |scope: &str| {
        let mut rule = rules.clone();
        rule.set("scope", scope);
        value!({"rules": [rule]})
    };
    let all = [
        ("cluster", scope("Cluster")),
        ("labelled", value!({"namespaceSelector": {"matchLabels": {"a": "b"}}})),
        ("namespaced", scope("Namespaced")),
    ];
    configure(&server, VALIDATING, "w", hooks(&hook, &value!([(rules.clone())]), &all)).await;
    create_map(&server).await.success();
    assert_eq!(asked(&hook), ["namespaced"]);
    call(&server, "POST", "/api/v1/namespaces/labelled/configmaps", &config_map("m", &[])).await.success();
    assert_eq!(asked(&hook), ["labelled", "namespaced"]);
    let volume = value!({"metadata": {"name": "v"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp"}
    }});
    call(&server, "POST", "/api/v1/persistentvolumes", &volume).await.success();
    assert_eq!(asked(&hook), ["cluster", "labelled"], "a selector of namespaces leaves no other object out");

    // A namespace counts by its new labels, and at its deletion by those that it has.
    let other = value!({"metadata": {"name": "other"}});
    call(&server, "POST", "/api/v1/namespaces", &other).await.success();
    assert_eq!(asked(&hook), ["cluster"]);
    let own = "/api/v1/namespaces/other";
    call(&server, "PATCH", own, &value!({"metadata": {"labels": {"a": "b"}}})).await.success();
    assert_eq!(asked(&hook), ["cluster", "labelled"]);
    server.registry.hub.catch_up().await.unwrap();
    call(&server, "DELETE", own, &Value::Null).await.success();
    let seen = hook.take();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].request.str_at("namespace"), "other");
}

#[tokio::test]
async fn what_a_webhook_sees_of_a_request() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, _| allow()).await;
    let rules = value!([(rule("*", "", "*", "configmaps/*")), (rule("*", "apps", "*", "deployments/*"))]);
    configure(&server, MUTATING, "w", vec![hook.hook("/", value!({"rules": rules}))]).await;
    let mut user = User::new("jane", &["system:masters", "people"]);
    user.uid = "7".to_owned();
    user.extra.insert("example.com/tribe".into(), vec!["a".into(), "b".into()]);
    let json = [("content-type", "application/json")];
    let path = format!("{CONFIG_MAPS}?fieldManager=me");
    let body = json::to_vec(&config_map("m", &[]));
    send(&server, Some(&user), "POST", &path, &json, body).await.success();
    let request = hook.take().remove(0).request;
    assert_eq!(
        request.get("userInfo"),
        &value!({
            "username": "jane", "uid": "7", "groups": ["system:masters", "people", "system:authenticated"],
            "extra": {"example.com/tribe": ["a", "b"]}
        })
    );
    assert_eq!(request.get("kind"), &value!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(request.get("resource"), &value!({"group": "", "version": "v1", "resource": "configmaps"}));
    assert_eq!(request.get("requestKind"), request.get("kind"));
    assert_eq!(
        request.get("options"),
        &value!({
            "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me"
        })
    );
    assert_eq!((request.str_at("operation"), request.get("dryRun")), ("CREATE", &value!(false)));
    assert_eq!((request.str_at("name"), request.str_at("namespace")), ("m", "default"));
    assert!(request.get("oldObject").is_null() && request.get("subResource").is_null());
    assert_eq!(request.str_at("object.data.key"), "value");
    assert_eq!(request.str_at("object.metadata.managedFields.0.manager"), "", "a list has no members");
    assert!(!request.at("object.metadata.managedFields").is_empty());

    let patched = send(
        &server,
        Some(&user),
        "PATCH",
        &format!("{CONFIG_MAPS}/m"),
        &[("content-type", "application/merge-patch+json")],
        r#"{"data": {"key": "other"}}"#,
    )
    .await;
    patched.success();
    let request = hook.take().remove(0).request;
    assert_eq!(request.str_at("operation"), "UPDATE");
    assert_eq!(request.str_at("options.kind"), "UpdateOptions");
    assert_eq!((request.str_at("object.data.key"), request.str_at("oldObject.data.key")), ("other", "value"));

    call(&server, "POST", DEPLOYMENTS, &deployment("d")).await.success();
    hook.take();
    let scale = value!({"metadata": {"name": "d"}, "spec": {"replicas": 3i64}});
    call(&server, "PUT", &format!("{DEPLOYMENTS}/d/scale"), &scale).await.success();
    let request = hook.take().remove(0).request;
    assert_eq!(request.get("kind"), &value!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
    assert_eq!((request.str_at("subResource"), request.str_at("requestSubResource")), ("scale", "scale"));
    assert_eq!(request.str_at("resource.resource"), "deployments");
    assert_eq!(request.at("object.spec.replicas").as_i64(), Some(3));
    assert_eq!(request.at("oldObject.spec.replicas").as_i64(), Some(2));
}

#[tokio::test]
async fn connections_are_refused() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, _| deny("nobody connects")).await;
    let rules = value!([(rule("CONNECT", "", "v1", "*/*"))]);
    configure(&server, VALIDATING, "w", vec![hook.hook("/", value!({"rules": rules.clone()}))]).await;
    let table = [
        (
            "namespaces/default/pods/p/attach?container=c&stdin=true",
            "PodAttachOptions",
            value!({"stdin": true, "container": "c"}),
        ),
        (
            "namespaces/default/pods/p/exec?command=ls&command=-l",
            "PodExecOptions",
            value!({"command": ["ls", "-l"]}),
        ),
        (
            "namespaces/default/pods/p/portforward?ports=80",
            "PodPortForwardOptions",
            value!({"ports": [80i64]}),
        ),
        ("namespaces/default/pods/p/proxy/a/b", "PodProxyOptions", value!({"path": "/a/b"})),
        ("namespaces/default/services/p/proxy/a", "ServiceProxyOptions", value!({"path": "/a"})),
        ("nodes/p/proxy/metrics", "NodeProxyOptions", value!({"path": "/metrics"})),
    ];
    for (path, kind, options) in table {
        let path = format!("/api/v1/{path}");
        let reply = connect(&server, &path).await;
        let why = "admission webhook \"hook.example.com\" denied the request: nobody connects";
        assert_eq!(reply.status(), (400, String::new(), why.to_owned()), "{path}");
        let request = hook.take().remove(0).request;
        assert_eq!(request.str_at("operation"), "CONNECT", "{path}");
        assert_eq!(request.get("kind"), &value!({"group": "", "version": "v1", "kind": kind}));
        assert_eq!(request.str_at("name"), "p");
        assert!(request.get("options").is_null() && request.get("oldObject").is_null());
        assert_eq!(request.str_at("object.kind"), kind);
        for (member, value) in options.as_map().unwrap().iter() {
            assert_eq!(request.get("object").get(member), value, "{path} {member}");
        }
    }
    // What has no labels is not selected by any.
    remove(&server, VALIDATING, "w").await;
    let more = value!({"objectSelector": {"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}});
    let selective = merge_patch(hook.hook("/", value!({"rules": rules})), more).unwrap();
    configure(&server, VALIDATING, "w", vec![selective]).await;
    assert_eq!(connect(&server, "/api/v1/namespaces/default/pods/p/attach").await.code, 404);
    assert!(hook.take().is_empty());
}

#[tokio::test]
async fn dry_runs_are_only_for_webhooks_without_side_effects() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, request| {
        assert_eq!(request.get("dryRun"), &value!(true));
        add_data("known")
    })
    .await;
    let path = format!("{CONFIG_MAPS}?dryRun=All");
    for (collection, effects) in [(MUTATING, "None"), (MUTATING, "NoneOnDryRun")] {
        configure(&server, collection, "w", vec![hook.hook("/", value!({"sideEffects": effects}))]).await;
        let made = call(&server, "POST", &path, &config_map("m", &[])).await.success();
        assert_eq!(made.str_at("data.known"), "yes");
        assert_eq!(hook.take().len(), 1);
        remove(&server, collection, "w").await;
    }
    assert_eq!(get(&server, &format!("{CONFIG_MAPS}/m")).await.code, 404);
}

/// Such configurations could be written before v1 of their API; conditions can fail for some objects.
#[tokio::test]
async fn what_is_stored_but_cannot_be_carried_out_fails() {
    let hook = Webhook::start(|_, _| allow()).await;
    let condition = value!({"matchConditions": [{"name": "c", "expression": "object.data.none == '1'"}]});
    let dry = format!("{CONFIG_MAPS}?dryRun=All");
    let not_evaluated = "configmaps \"m\" is forbidden: expression 'object.data.none == '1'' resulted in error: \
                         no such key: none";
    let table = [
        (
            value!({"sideEffects": "Some"}),
            dry.as_str(),
            Err((400, "admission webhook \"hook.example.com\" does not support dry run")),
        ),
        (
            value!({"sideEffects": "Some", "failurePolicy": "Ignore"}),
            &dry,
            Err((400, "admission webhook \"hook.example.com\" does not support dry run")),
        ),
        (
            value!({"sideEffects": null}),
            &dry,
            Err((
                500,
                "Internal error occurred: failed calling webhook \"hook.example.com\": Webhook SideEffects is nil",
            )),
        ),
        (value!({"sideEffects": "Some"}), CONFIG_MAPS, Ok(1)),
        (
            value!({"admissionReviewVersions": ["v2"]}),
            CONFIG_MAPS,
            Err((
                500,
                "Internal error occurred: failed calling webhook \"hook.example.com\": could not create admission \
                    objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)",
            )),
        ),
        (condition.clone(), CONFIG_MAPS, Err((403, not_evaluated))),
        (merge_patch(condition, value!({"failurePolicy": "Ignore"})).unwrap(), CONFIG_MAPS, Ok(0)),
    ];
    for (more, path, expected) in table {
        for plural in ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"] {
            let configuration = value!({
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": if plural.starts_with('m') { "MutatingWebhookConfiguration" } else { "ValidatingWebhookConfiguration" },
                "metadata": {"name": "w", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"},
                "webhooks": [(hook.hook("/", more.clone()))]
            });
            let store: Arc<dyn store::Store> = Arc::new(store::Embedded::in_memory(clock::Clock::system()));
            let key = format!("/registry/{plural}/w");
            let text = String::from_utf8(json::to_vec(&configuration)).unwrap();
            store.write(store::Write::put(key, text, store::Expect::Any)).await.unwrap();
            let server = TestServer::over(store, &["10.43.0.0/16"]).await;
            let reply = call(&server, "POST", path, &config_map("m", &[])).await;
            match expected {
                Ok(calls) => {
                    assert_eq!((reply.code, hook.take().len()), (201, calls), "{:?}", reply.bytes);
                }
                Err((code, why)) => {
                    let (given, _, message) = reply.status();
                    assert_eq!((given, message.as_str()), (code, why));
                    assert!(hook.take().is_empty());
                }
            }
        }
    }
}
