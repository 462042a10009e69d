//! Objects in the store that cannot be read (KEP-3926).

use std::sync::Arc;

use apiserver::testing::{TestServer, admin};
use apiserver::user::User;
use clock::Clock;
use object::{Value, value};
use store::{Embedded, Expect, Store, Write};

use crate::support::*;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const KEY: &str = "/registry/configmaps/default/bad";
const IGNORE: &str = "ignoreStoreReadErrorWithClusterBreakingPotential";
const NETWORKS: &[&str] = &["10.43.0.0/16"];

/// A server over a store in which one ConfigMap cannot be read.
async fn damaged() -> (TestServer, Arc<dyn Store>) {
    let store: Arc<dyn Store> = Arc::new(Embedded::in_memory(Clock::system()));
    let server = TestServer::over(Arc::clone(&store), NETWORKS).await;
    call(&server, "POST", MAPS, &config_map("good", &[])).await.success();
    store.write(Write::put(KEY, "{", Expect::Absent)).await.unwrap();
    (server, store)
}

fn unsafely(name: &str) -> String {
    format!("{MAPS}/{name}?{IGNORE}=true")
}

async fn delete(server: &TestServer, path: &str) -> Reply {
    call(server, "DELETE", path, &Value::Null).await
}

#[tokio::test]
async fn what_would_show_an_object_that_cannot_be_read_fails() {
    let (first, store) = damaged().await;
    // One that starts with it knows it, too.
    let second = TestServer::over(Arc::clone(&store), NETWORKS).await;
    let why = format!(
        "StorageError: corrupt object, Code: 7, Key: {KEY}, ResourceVersion: 0, AdditionalErrorMsg: object not \
         decodable revision="
    );
    for server in [&first, &second] {
        for list in [MAPS, "/api/v1/configmaps", &format!("{MAPS}?watch=1")] {
            let reply = get(server, list).await;
            let cause = reply.json().at("details.causes").items().next().cloned().unwrap_or_default();
            assert_eq!((cause.str_at("reason"), cause.str_at("field")), ("UnexpectedServerResponse", KEY));
            let (code, reason, message) = reply.status();
            assert_eq!((code, &*reason), (500, "StorageReadError"));
            let told = format!("failed to read one or more configmaps from the storage: {why}");
            assert!(message.starts_with(&told), "{message}");
        }
        let merge = value!({"data": {"a": "b"}});
        let bad = format!("{MAPS}/bad");
        for reply in
            [get(server, &bad).await, call(server, "PATCH", &bad, &merge).await, delete(server, &bad).await]
        {
            let (code, reason, message) = reply.status();
            assert_eq!((code, &*reason), (500, "InternalError"));
            assert!(message.starts_with(&format!("Internal error occurred: {why}")), "{message}");
        }
        // Nothing else suffers.
        get(server, &format!("{MAPS}/good")).await.success();
        get(server, "/api/v1/namespaces/kube-system/configmaps").await.success();
        get(server, "/api/v1/namespaces/default/secrets").await.success();
    }
    delete(&first, &unsafely("bad")).await.success();
    for server in [&first, &second] {
        assert_eq!(get(server, &format!("{MAPS}/bad")).await.code, 404);
        get(server, MAPS).await.success();
    }
}

#[tokio::test]
async fn only_what_cannot_be_read_is_deleted_unread() {
    let (server, _store) = damaged().await;
    let (code, reason, message) = delete(&server, &unsafely("good")).await.status();
    assert_eq!((code, &*reason), (409, "Conflict"));
    assert!(message.ends_with("unsafe deletion is not allowed because the object is decodable from storage"));
    assert_eq!(delete(&server, &unsafely("none")).await.code, 404);
    get(&server, &format!("{MAPS}/good")).await.success();

    // It says everything about the deletion, alone.
    let (code, _, message) = delete(&server, &format!("{MAPS}?{IGNORE}=true")).await.status();
    let begin = format!("DeleteOptions.meta.k8s.io \"\" is invalid: {IGNORE}: Invalid value: true: ");
    let of_collection = "is not allowed with DELETECOLLECTION, try again after removing the option";
    assert_eq!((code, message), (422, format!("{begin}{of_collection}")));
    for (option, path) in [
        (value!({"gracePeriodSeconds": 0i64}), ".gracePeriodSeconds"),
        (value!({"propagationPolicy": "Orphan"}), ".propagationPolicy"),
        (value!({"orphanDependents": false}), ".orphanDependents"),
        (value!({"preconditions": {"uid": "u"}}), ".preconditions"),
    ] {
        let mut options = option;
        options.set(IGNORE, true);
        let reply = call(&server, "DELETE", &format!("{MAPS}/bad"), &options).await;
        let (code, _, message) = reply.status();
        assert_eq!((code, message), (422, format!("{begin}cannot be set together with {path}")));
    }

    let dry = delete(&server, &format!("{}&dryRun=All", unsafely("bad"))).await.success();
    assert_eq!(dry.str_at("status"), "Success");
    assert_eq!(get(&server, MAPS).await.code, 500, "it is still there");
    let mut options = Value::map();
    options.set(IGNORE, true);
    let gone = call(&server, "DELETE", &format!("{MAPS}/bad"), &options).await.success();
    assert_eq!((gone.str_at("details.name"), gone.str_at("details.kind")), ("bad", "ConfigMap"));
    get(&server, MAPS).await.success();
}

#[tokio::test]
async fn a_deletion_of_what_cannot_be_read_takes_a_right_of_its_own() {
    let (server, _store) = damaged().await;
    let jane = User::new("jane", &[]);
    let grant = async |name: &str, verb: &str| {
        let rules = value!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": [verb]}]);
        let role = value!({"metadata": {"name": name}, "rules": rules});
        let group = "rbac.authorization.k8s.io";
        let path = format!("/apis/{group}/v1/namespaces/default");
        call(&server, "POST", &format!("{path}/roles"), &role).await.success();
        let binding = value!({
            "metadata": {"name": name}, "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "jane"}]
        });
        call(&server, "POST", &format!("{path}/rolebindings"), &binding).await.success();
        server.registry.hub.catch_up().await.unwrap();
    };
    grant("deleter", "delete").await;
    let ask = async || send(&server, Some(&jane), "DELETE", &unsafely("bad"), &[], "").await;
    let (code, reason, message) = ask().await.status();
    assert_eq!((code, &*reason), (403, "Forbidden"));
    let why =
        "configmaps \"bad\" is forbidden: not permitted to do \"unsafe-delete-ignore-read-errors\", reason: ";
    assert!(message.starts_with(why), "{message}");
    grant("unsafe", "unsafe-delete-ignore-read-errors").await;
    ask().await.success();
    let again = send(&server, Some(&admin()), "DELETE", &unsafely("bad"), &[], "").await;
    assert_eq!(again.code, 404);
}
