//! What mutating webhooks change, and who sees it afterwards.

use std::sync::atomic::{AtomicUsize, Ordering};

use apiserver::Extensions;
use apiserver::admission::{Attributes, Plugin};
use async_trait::async_trait;
use object::Status;
use schema::GroupResource;

use super::*;

/// The paths that were asked, in order.
fn order(hook: &Webhook) -> Vec<String> {
    hook.take().iter().map(|seen| seen.path[1..].to_owned()).collect()
}

fn hooks<const N: usize>(hook: &Webhook, each: [(&str, &str); N]) -> Vec<Value> {
    let one = |(path, policy): (&str, &str)| {
        let more = value!({"name": format!("{path}.example.com"), "reinvocationPolicy": policy});
        hook.hook(&format!("/{path}"), more)
    };
    each.map(one).to_vec()
}

#[tokio::test]
async fn webhooks_see_the_changes_of_later_ones_if_they_want() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|path, request| match path {
        "/once" | "/again" => allow(),
        // The same change as before is none.
        "/steady" => patch(value!([{"op": "add", "path": "/data/steady", "value": "yes"}])),
        "/last" if request.at("object.data.steady").is_null() => deny("too early"),
        path => add_data(&path[1..]),
    })
    .await;
    let all = [("again", "IfNeeded"), ("once", "Never"), ("steady", "IfNeeded"), ("last", "IfNeeded")];
    configure(&server, MUTATING, "w", hooks(&hook, all)).await;
    let made = create_map(&server).await.success();
    assert_eq!(made.get("data"), &value!({"key": "value", "last": "yes", "steady": "yes"}));
    // Nothing has changed since the turn of the last one.
    assert_eq!(order(&hook), ["again", "once", "steady", "last", "again", "steady"]);
    remove(&server, MUTATING, "w").await;

    // Where nothing changes, nobody is asked again.
    configure(&server, MUTATING, "w", hooks(&hook, [("again", "IfNeeded"), ("once", "Never")])).await;
    create_map(&server).await.success();
    assert_eq!(order(&hook), ["again", "once"]);
    remove(&server, MUTATING, "w").await;

    // One alone that has changed something need not see its own change.
    configure(&server, MUTATING, "w", hooks(&hook, [("steady", "IfNeeded")])).await;
    create_map(&server).await.success();
    assert_eq!(order(&hook), ["steady"]);
}

/// Fills in a field where it is missing, as built-in plugins do, and counts how often it is asked.
#[derive(Default)]
struct Filler(AtomicUsize);

#[async_trait]
impl Plugin for Filler {
    fn name(&self) -> &'static str {
        "Filler"
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if what.is(GroupResource::new("", "configmaps")) && what.namespace == "default" {
            self.0.fetch_add(1, Ordering::Relaxed);
            if object.at("data.wanted").as_str().is_some() && object.at("data.filled").is_null() {
                object.entry("data").set("filled", "by a plugin");
            }
        }
        Ok(())
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn plugins_and_webhooks_see_each_others_changes() {
    let filler = Arc::new(Filler::default());
    let plugins: Vec<Arc<dyn Plugin>> = vec![Arc::clone(&filler) as Arc<dyn Plugin>];
    let server = TestServer::with(Extensions { plugins, ..Extensions::default() }).await;
    let hook = Webhook::start(|path, _| match path {
        "/wanted" => add_data("wanted"),
        _ => allow(),
    })
    .await;
    let all = [("wanted", "IfNeeded"), ("never", "Never")];
    configure(&server, MUTATING, "w", hooks(&hook, all)).await;
    filler.0.store(0, Ordering::Relaxed);
    let made = create_map(&server).await.success();
    assert_eq!(made.str_at("data.filled"), "by a plugin");
    assert_eq!(filler.0.load(Ordering::Relaxed), 2);
    assert_eq!(order(&hook), ["wanted", "never", "wanted"], "the plugin has changed its output");
}

/// A quota counts what webhooks have made of a request, and nothing that a validating one has refused.
#[tokio::test]
async fn quotas_are_charged_after_webhooks() {
    let server = TestServer::start().await;
    let quota = value!({"metadata": {"name": "q"}, "spec": {"hard": {"count/configmaps": "1"}}});
    call(&server, "POST", "/api/v1/namespaces/default/resourcequotas", &quota).await.success();
    let status = value!({"status": {"hard": {"count/configmaps": "1"}, "used": {"count/configmaps": "0"}}});
    call(&server, "PATCH", "/api/v1/namespaces/default/resourcequotas/q/status", &status).await.success();
    server.registry.hub.catch_up().await.unwrap();
    let hook = Webhook::start(|_, _| deny("not now")).await;
    configure(&server, VALIDATING, "w", vec![hook.hook("/", value!({}))]).await;
    for _ in 0..3 {
        assert_eq!(create_map(&server).await.code, 400);
    }
    remove(&server, VALIDATING, "w").await;
    create_map(&server).await.success();
    let (code, _, why) = create_map(&server).await.status();
    assert_eq!(code, 403);
    assert!(why.contains("exceeded quota: q"), "{why}");
}

#[tokio::test]
async fn what_webhooks_change_is_validated_and_keeps_its_managers() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|path, _| match path {
        "/invalid" => patch(value!([{"op": "add", "path": "/data/..", "value": "yes"}])),
        "/renamed" => patch(value!([{"op": "replace", "path": "/metadata/name", "value": "Not A Name"}])),
        "/unreadable" => patch(value!([
            {"op": "replace", "path": "/metadata/managedFields", "value": [{"manager": "webhook"}]}
        ])),
        "/unknown" => patch(value!([{"op": "add", "path": "/unknown", "value": "yes"}])),
        path => add_data(&path[1..]),
    })
    .await;
    let with = async |path: &str| {
        configure(&server, MUTATING, "w", vec![hook.hook(path, value!({}))]).await;
        let reply = create_map(&server).await;
        remove(&server, MUTATING, "w").await;
        reply
    };
    for path in ["/invalid", "/renamed"] {
        assert_eq!(with(path).await.status().0, 422, "{path}");
    }
    let reply = with("/unreadable").await;
    assert!(reply.warnings()[0].contains(".metadata.managedFields was in an invalid state after admission"));
    assert!(!reply.success().at("metadata.managedFields").is_empty());
    assert!(with("/unknown").await.success().get("unknown").is_null());
    let made = with("/added").await.success();
    let fields = json::to_vec(made.at("metadata.managedFields"));
    assert!(!String::from_utf8(fields).unwrap().contains("f:added"), "as upstream: only the client manages");
}

#[tokio::test]
async fn the_identity_of_an_object_is_the_servers() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|path, _| match path {
        "/identity" => patch(value!([
            {"op": "replace", "path": "/metadata/uid", "value": "mine"},
            {"op": "replace", "path": "/metadata/creationTimestamp", "value": "2000-01-01T00:00:00Z"},
            {"op": "add", "path": "/metadata/generation", "value": 7},
            {"op": "add", "path": "/metadata/resourceVersion", "value": "7"},
            {"op": "add", "path": "/metadata/deletionTimestamp", "value": "2000-01-01T00:00:00Z"}
        ])),
        "/namespace" => {
            patch(value!([{"op": "replace", "path": "/metadata/namespace", "value": "kube-system"}]))
        }
        "/none" => patch(value!([{"op": "remove", "path": "/metadata"}])),
        name => patch(value!([{"op": "replace", "path": "/metadata/name", "value": (&name[1..])}])),
    })
    .await;
    let with = async |path: &str, method: &str, name: &str| {
        let rules = value!([(rule("*", "", "v1", "configmaps"))]);
        configure(&server, MUTATING, "w", vec![hook.hook(path, value!({"rules": rules}))]).await;
        let path = if method == "POST" { CONFIG_MAPS.to_owned() } else { format!("{CONFIG_MAPS}/{name}") };
        let reply = call(&server, method, &path, &config_map(name, &[])).await;
        remove(&server, MUTATING, "w").await;
        reply
    };
    let made = with("/identity", "POST", "m").await.success();
    let read = get(&server, &format!("{CONFIG_MAPS}/m")).await.success();
    assert_eq!(read.get("metadata"), made.get("metadata"));
    assert_ne!(made.str_at("metadata.uid"), "mine");
    assert!(made.str_at("metadata.creationTimestamp") > "2020");
    assert_ne!(made.str_at("metadata.resourceVersion"), "7");
    assert!(made.at("metadata.deletionTimestamp").is_null() && made.at("metadata.generation").is_null());
    let (code, _, why) = with("/identity", "PUT", "m").await.status();
    assert_eq!(code, 422);
    assert!(why.contains("metadata.uid: Invalid value"), "{why}");

    let (code, _, why) = with("/namespace", "POST", "n").await.status();
    assert_eq!(code, 400);
    assert!(why.starts_with("the namespace of the provided object does not match"), "{why}");
    assert_eq!(with("/none", "POST", "n").await.status().0, 422);
    // A new name is one, but not for an object that others name.
    assert_eq!(with("/other", "POST", "n").await.success().str_at("metadata.name"), "other");
    assert_eq!(
        get(&server, &format!("{CONFIG_MAPS}/other")).await.success().str_at("metadata.name"),
        "other"
    );
    assert_eq!(get(&server, &format!("{CONFIG_MAPS}/n")).await.code, 404);
    assert_eq!(with("/other", "POST", "n").await.status().0, 409, "it exists");
    for method in ["PUT", "PATCH"] {
        assert_eq!(with("/third", method, "m").await.status().0, 422, "{method}");
    }
    let apply = [("content-type", "application/apply-patch+yaml")];
    let rules = value!([(rule("*", "", "v1", "configmaps"))]);
    configure(&server, MUTATING, "w", vec![hook.hook("/third", value!({"rules": rules}))]).await;
    let path = format!("{CONFIG_MAPS}/applied?fieldManager=me");
    let applied = json::to_vec(&config_map("applied", &[]));
    let (code, _, why) = send(&server, Some(&admin()), "PATCH", &path, &apply, applied).await.status();
    assert_eq!(code, 400);
    assert!(why.contains("does not match the name on the URL (applied)"), "{why}");
}

#[tokio::test]
async fn options_of_connections_can_be_changed_and_deletions_cannot() {
    let server = TestServer::start().await;
    let hook = Webhook::start(|_, request| match request.str_at("operation") {
        "CONNECT" => patch(value!([{"op": "add", "path": "/container", "value": "other"}])),
        _ => patch(value!([{"op": "add", "path": "/data", "value": {}}])),
    })
    .await;
    let rules = value!([(rule("CONNECT", "", "v1", "pods/exec")), (rule("DELETE", "", "v1", "configmaps"))]);
    configure(&server, MUTATING, "m", vec![hook.hook("/", value!({"rules": rules.clone()}))]).await;
    let last = Webhook::start(|_, _| deny("seen")).await;
    let rules_of_last = value!([(rule("CONNECT", "", "v1", "pods/exec"))]);
    configure(&server, VALIDATING, "v", vec![last.hook("/", value!({"rules": rules_of_last}))]).await;
    let path = "/api/v1/namespaces/default/pods/p/exec?command=ls&container=c";
    assert_eq!(connect(&server, path).await.code, 400);
    let request = last.take().remove(0).request;
    assert_eq!(
        request.get("object"),
        &value!({
            "kind": "PodExecOptions", "apiVersion": "v1", "container": "other", "command": ["ls"]
        })
    );
    call(&server, "POST", CONFIG_MAPS, &config_map("m", &[])).await.success();
    let (code, _, why) = call(&server, "DELETE", &format!("{CONFIG_MAPS}/m"), &Value::Null).await.status();
    let expected = "Internal error occurred: admission webhook \"hook.example.com\" attempted to modify the object, which \
                    is not supported for this operation";
    assert_eq!((code, why.as_str()), (500, expected));
}
