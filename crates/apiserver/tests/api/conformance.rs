//! Conformance tests about single kinds that are no plain rounds of all operations. The titles of upstream's tests are above ours;
//! `docs/sig-*.md` have the tables of both.

use std::sync::Arc;

use apiserver::testing::{TestServer, admin};
use object::{Value, value};

use crate::support::*;

/// "[sig-node] ConfigMap should fail to create ConfigMap with empty key", "[sig-node] Secrets should fail to create secret due to
/// empty secret key".
#[tokio::test]
async fn keys_are_not_empty() {
    let server = TestServer::start().await;
    for (plural, value) in [("configmaps", "value-1"), ("secrets", "dmFsdWUtMQ==")] {
        let object = value!({"metadata": {"name": "empty-key"}, "data": {"": value}});
        let path = format!("/api/v1/namespaces/default/{plural}");
        let (code, reason, message) = call(&server, "POST", &path, &object).await.status();
        assert_eq!((code, reason.as_str()), (422, "Invalid"), "{plural}");
        assert!(message.contains("data[]: Invalid value: \"\""), "{message}");
    }
}

/// "[sig-api-machinery] Namespaces should patch a Namespace", "... should apply an update to a Namespace", "... should apply changes
/// to a namespace status", "... should apply a finalizer to a Namespace".
#[tokio::test]
async fn namespaces_are_changed_in_all_their_parts() {
    let server = TestServer::start().await;
    call(&server, "POST", "/api/v1/namespaces", &value!({"metadata": {"name": "n"}})).await.success();
    let path = "/api/v1/namespaces/n";
    let label = value!({"metadata": {"labels": {"testLabel": "testValue"}}});
    call(&server, "PATCH", path, &label).await.success();
    let mut read = get(&server, path).await.success();
    assert_eq!(read.str_at("metadata.labels.testLabel"), "testValue");
    read.entry("metadata").entry("labels").set("more", "updated");
    call(&server, "PUT", path, &read).await.success();
    assert_eq!(get(&server, path).await.success().str_at("metadata.labels.more"), "updated");

    let status = format!("{path}/status");
    assert_eq!(get(&server, &status).await.success().str_at("status.phase"), "Active");
    let condition =
        |kind: &str| value!({"type": kind, "status": "True", "reason": "E2E", "message": "set by a test"});
    let patch = value!({"metadata": {"annotations": {"e2e": "yes"}}, "status": {"conditions": [condition("StatusPatch")]}});
    let mut patched = call(&server, "PATCH", &status, &patch).await.success();
    let kinds = |object: &Value| -> Vec<String> {
        object.at("status.conditions").items().map(|condition| condition.str_at("type").to_owned()).collect()
    };
    assert_eq!((patched.str_at("status.phase"), kinds(&patched)), ("Active", vec!["StatusPatch".to_owned()]));
    let both = value!([condition("StatusPatch"), condition("StatusUpdate")]);
    patched.set_path(&["status", "conditions"], both);
    call(&server, "PUT", &status, &patched).await.success();
    assert_eq!(kinds(&get(&server, path).await.success()), ["StatusPatch", "StatusUpdate"]);

    let finalizers = async |wanted: Value| {
        let mut object = get(&server, path).await.success();
        object.set_path(&["spec", "finalizers"], wanted);
        call(&server, "PUT", &format!("{path}/finalize"), &object).await.success();
        get(&server, path).await.success().at("spec.finalizers").clone()
    };
    let ours = value!(["kubernetes", "e2e.example.com/fakeFinalizer"]);
    assert_eq!(finalizers(ours.clone()).await, ours);
    assert_eq!(finalizers(value!(["kubernetes"])).await, value!(["kubernetes"]));
}

/// "[sig-auth] SubjectReview should support SubjectReview API operations".
#[tokio::test]
async fn reviews_answer_as_the_server_does() {
    let server = TestServer::start().await;
    let group = "rbac.authorization.k8s.io";
    let name = "system:serviceaccount:default:e2e";
    let rules = value!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]);
    server
        .create(group, "roles", "default", value!({"metadata": {"name": "r"}, "rules": rules}))
        .await
        .unwrap();
    let binding = value!({
        "metadata": {"name": "r"}, "roleRef": {"apiGroup": group, "kind": "Role", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "namespace": "default", "name": "e2e"}]
    });
    server.create(group, "rolebindings", "default", binding).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    for (resource, allowed) in [("configmaps", true), ("secrets", false)] {
        let spec = value!({"user": name, "resourceAttributes": {"namespace": "default", "verb": "list", "resource": resource}});
        for path in [
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews",
        ] {
            let mut review = value!({"spec": (spec.clone())});
            if path.contains("local") {
                review.set("metadata", value!({"namespace": "default"}));
            }
            let answer = call(&server, "POST", path, &review).await.success();
            assert_eq!(answer.at("status.allowed").as_bool(), Some(allowed), "{path} {resource}");
        }
        let as_account = [("impersonate-user", name)];
        let path = format!("/api/v1/namespaces/default/{resource}");
        let code = send(&server, Some(&admin()), "GET", &path, &as_account, "").await.code;
        assert_eq!(code, if allowed { 200 } else { 403 }, "{resource}");
    }
}

/// "[sig-auth] ServiceAccounts should allow opting out of API token automount": what account and pod say, and whether the pod gets
/// a token.
#[tokio::test]
async fn tokens_are_mounted_unless_someone_opts_out() {
    let server = TestServer::start().await;
    let table = [
        (None, None, true),
        (Some(true), None, true),
        (Some(false), None, false),
        (None, Some(true), true),
        (Some(true), Some(true), true),
        (Some(false), Some(true), true),
        (None, Some(false), false),
        (Some(true), Some(false), false),
        (Some(false), Some(false), false),
    ];
    for (index, (of_account, of_pod, expected)) in table.into_iter().enumerate() {
        let name = format!("a{index}");
        let mut account = value!({"metadata": {"name": name.as_str()}});
        if let Some(wanted) = of_account {
            account.set("automountServiceAccountToken", wanted);
        }
        server.create("", "serviceaccounts", "default", account).await.unwrap();
        server.registry.hub.catch_up().await.unwrap();
        let mut pod = pod(&name);
        let spec = pod.entry("spec");
        spec.remove("automountServiceAccountToken");
        spec.set("serviceAccountName", name.as_str());
        if let Some(wanted) = of_pod {
            spec.set("automountServiceAccountToken", wanted);
        }
        let made = call(&server, "POST", PODS, &pod).await.success();
        let container = made.at("spec.containers").items().next().unwrap();
        let path = "/var/run/secrets/kubernetes.io/serviceaccount";
        let mounted = container.get("volumeMounts").items().any(|mount| mount.str_at("mountPath") == path);
        assert_eq!(mounted, expected, "{of_account:?} {of_pod:?}");
    }
}

/// "[sig-storage] CSIInlineVolumes should support CSIVolumeSource in Pod API".
#[tokio::test]
async fn pods_may_name_drivers_of_volumes() {
    let server = server_for_pods().await;
    let driver =
        value!({"metadata": {"name": "inline.example.com"}, "spec": {"volumeLifecycleModes": ["Ephemeral"]}});
    call(&server, "POST", "/apis/storage.k8s.io/v1/csidrivers", &driver).await.success();
    let mut inline = pod("inline");
    inline.set_path(&["spec", "volumes"], value!([{"name": "v", "csi": {"driver": "inline.example.com"}}]));
    call(&server, "POST", PODS, &inline).await.success();
    let path = format!("{PODS}/inline");
    let volume = |pod: &Value| pod.at("spec.volumes").items().next().unwrap().str_at("csi.driver").to_owned();
    assert_eq!(volume(&get(&server, &path).await.success()), "inline.example.com");
    let list = get(&server, &format!("{PODS}?labelSelector=app%3Dinline")).await.success();
    assert_eq!(list.get("items").items().map(volume).collect::<Vec<_>>(), ["inline.example.com"]);
    let patched =
        call(&server, "PATCH", &path, &value!({"metadata": {"labels": {"inline": "patched"}}})).await;
    assert_eq!(patched.success().str_at("metadata.labels.inline"), "patched");
    call(&server, "DELETE", &path, &Value::Null).await.success();
    assert_eq!(get(&server, &path).await.code, 404);
}

/// "[sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup", "... should locate the groupVersion and a
/// resource within each APIGroup", "[sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept
/// headers".
#[tokio::test]
async fn discovery_names_every_group_version_and_resource() {
    let server = TestServer::start().await;
    let groups = get(&server, "/apis").await.success();
    for group in groups.get("groups").items() {
        let preferred = group.str_at("preferredVersion.groupVersion");
        let versions: Vec<&str> =
            group.get("versions").items().map(|version| version.str_at("groupVersion")).collect();
        assert!(versions.contains(&preferred), "{preferred} in {versions:?}");
        let alone = get(&server, &format!("/apis/{}", group.str_at("name"))).await.success();
        assert_eq!(alone.str_at("preferredVersion.groupVersion"), preferred);
        for version in versions {
            let list = get(&server, &format!("/apis/{version}")).await.success();
            assert_eq!(list.str_at("groupVersion"), version);
            assert!(
                list.get("resources").items().any(|resource| !resource.str_at("name").is_empty()),
                "{version}"
            );
        }
    }
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let mut found = std::collections::BTreeSet::new();
    for path in ["/api", "/apis"] {
        let reply = send(&server, Some(&admin()), "GET", path, &accept, "").await;
        assert_eq!(reply.headers["content-type"], accept[0].1, "{path}");
        let list = reply.success();
        assert_eq!(list.str_at("kind"), "APIGroupDiscoveryList");
        for group in list.get("items").items() {
            for version in group.get("versions").items() {
                for resource in version.get("resources").items() {
                    let place = (
                        group.str_at("metadata.name"),
                        version.str_at("version"),
                        resource.str_at("resource"),
                    );
                    found.insert((place.0.to_owned(), place.1.to_owned(), place.2.to_owned()));
                }
            }
        }
    }
    for def in schema::resources() {
        let place = (def.group.to_string(), def.version.to_string(), def.plural.to_string());
        assert!(found.contains(&place), "{place:?}");
    }
}

/// "[sig-api-machinery] Watchers should observe add, update, and delete watch notifications on configmaps", "... should receive
/// events on concurrent watches in same order".
#[tokio::test]
async fn watchers_agree_with_each_other() {
    let server = TestServer::start().await;
    let watch = async |selector: &str| {
        Watch::open(&server, &format!("{CONFIG_MAPS}?watch=true&labelSelector=watch+in+({selector})")).await
    };
    let (mut a, mut b, mut both) = (watch("A").await, watch("B").await, watch("A,B").await);
    let mut versions = Vec::new();
    for (name, label) in [("a", "A"), ("b", "B")] {
        let item = format!("{CONFIG_MAPS}/{name}");
        call(&server, "POST", CONFIG_MAPS, &config_map(name, &[("watch", label)])).await.success();
        for round in ["1", "2"] {
            call(&server, "PATCH", &item, &value!({"data": {"mutation": round}})).await.success();
        }
        call(&server, "DELETE", &item, &Value::Null).await.success();
        let own = if label == "A" { &mut a } else { &mut b };
        for event in ["ADDED", "MODIFIED", "MODIFIED", "DELETED"] {
            let event = format!("{event} {name}");
            let seen = own.expect(&event).await;
            assert_eq!(both.expect(&event).await, seen);
            versions.push((event, seen.str_at("metadata.resourceVersion").to_owned()));
        }
    }
    // Each of those versions is where another watch may begin; it sees what came after, in the same order.
    for begin in 0..versions.len() {
        let path = format!("{CONFIG_MAPS}?watch=true&resourceVersion={}", versions[begin].1);
        let mut later = Watch::open(&server, &path).await;
        for (event, version) in &versions[begin + 1..] {
            assert_eq!(later.expect(event).await.str_at("metadata.resourceVersion"), version);
        }
    }
}

/// "[sig-api-machinery] Servers with support for API chunking should support continue listing from the last key if the original version
/// has been compacted away, though the list is inconsistent [Slow]".
#[tokio::test]
async fn pages_go_on_when_their_version_is_compacted_away() {
    let store: Arc<dyn store::Store> = Arc::new(store::Embedded::in_memory(clock::Clock::system()));
    let server = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    for number in 0..8 {
        call(&server, "POST", CONFIG_MAPS, &config_map(&format!("m{number}"), &[])).await.success();
    }
    let whole = get(&server, CONFIG_MAPS).await.success();
    let version = whole.str_at("metadata.resourceVersion").to_owned();
    call(&server, "POST", CONFIG_MAPS, &config_map("m8", &[])).await.success();
    let exact = format!("resourceVersion={version}&resourceVersionMatch=Exact");
    let first = get(&server, &format!("{CONFIG_MAPS}?{exact}&limit=2")).await.success();
    let token = first.str_at("metadata.continue").to_owned();
    let last = call(&server, "POST", CONFIG_MAPS, &config_map("m9", &[])).await.success();
    let last = last.str_at("metadata.resourceVersion").parse().unwrap();
    server.registry.hub.catch_up().await.unwrap();
    store.compact(store::Revision(last)).await.unwrap();
    server.registry.hub.forget_before(store::Revision(last));

    let refused = get(&server, &format!("{CONFIG_MAPS}?limit=2&continue={token}")).await;
    assert_eq!((refused.status().0, refused.status().1.as_str()), (410, "Expired"));
    let mut token = refused.json().str_at("metadata.continue").to_owned();
    let (mut seen, mut versions) = (2, std::collections::BTreeSet::new());
    while !token.is_empty() {
        let page = get(&server, &format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.success();
        let count = i64::try_from(page.get("items").items().count()).unwrap();
        assert!(count <= 2);
        seen += count;
        versions.insert(page.str_at("metadata.resourceVersion").to_owned());
        token = page.str_at("metadata.continue").to_owned();
        let remaining = page.at("metadata.remainingItemCount").as_i64();
        let left = (seen < 10).then_some(10 - seen);
        assert_eq!(remaining, left, "after {seen}");
    }
    assert_eq!((seen, versions.len()), (10, 1), "those made meanwhile are seen too: {versions:?}");
}
