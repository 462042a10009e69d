//! Reading and writing objects.

use std::sync::Arc;

use apiserver::testing::{TestServer, admin};
use apiserver::user::User;
use object::{Value, value};

use crate::support::*;

fn names(list: &Value) -> Vec<&str> {
    list.get("items").items().map(|item| item.str_at("metadata.name")).collect()
}

#[tokio::test]
async fn an_object_is_made_read_and_changed() {
    let server = TestServer::start().await;
    let made = call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await;
    assert_eq!(made.code, 201);
    let made = made.json();
    assert_eq!(made.str_at("metadata.namespace"), "default");
    for member in ["uid", "resourceVersion", "creationTimestamp"] {
        assert!(!made.at("metadata").str_at(member).is_empty(), "{member}");
    }
    let path = format!("{CONFIG_MAPS}/a");
    assert_eq!(get(&server, &path).await.success(), made);
    let mut changed = made.clone();
    changed.set("data", value!({"key": "other"}));
    let stored = call(&server, "PUT", &path, &changed).await.success();
    assert_ne!(stored.at("metadata.resourceVersion"), made.at("metadata.resourceVersion"));
    assert_eq!(stored.at("metadata.uid"), made.at("metadata.uid"));
    // The old version is stale now.
    let (code, reason, message) = call(&server, "PUT", &path, &changed).await.status();
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(
        message
            .starts_with("Operation cannot be fulfilled on configmaps \"a\": the object has been modified")
    );
    // Without a version the change is unconditional, and one that changes nothing makes no new version.
    let mut free = stored.clone();
    free.entry("metadata").remove("resourceVersion");
    let again = call(&server, "PUT", &path, &free).await.success();
    assert_eq!(again.at("metadata.resourceVersion"), stored.at("metadata.resourceVersion"));
}

#[tokio::test]
async fn generated_names_differ() {
    let server = TestServer::start().await;
    let object = value!({"metadata": {"generateName": "x-"}});
    let one = call(&server, "POST", CONFIG_MAPS, &object).await.success();
    let two = call(&server, "POST", CONFIG_MAPS, &object).await.success();
    let (one, two) = (one.str_at("metadata.name"), two.str_at("metadata.name"));
    assert!(one.starts_with("x-") && one.len() == 7 && one != two, "{one} {two}");
}

#[tokio::test]
async fn lists_come_in_pages_of_one_version() {
    let server = TestServer::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        call(&server, "POST", CONFIG_MAPS, &config_map(name, &[])).await.success();
    }
    let first = get(&server, &format!("{CONFIG_MAPS}?limit=2")).await.success();
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first.at("metadata.remainingItemCount").as_i64(), Some(3));
    // Later pages do not show changes in between.
    call(&server, "POST", CONFIG_MAPS, &config_map("bb", &[])).await.success();
    server.delete("", "configmaps", "default", "c").await.unwrap();
    let mut token = first.str_at("metadata.continue").to_owned();
    let (mut seen, mut remaining) = (Vec::new(), Vec::new());
    while !token.is_empty() {
        let page = get(&server, &format!("{CONFIG_MAPS}?limit=2&continue={token}")).await.success();
        assert_eq!(page.at("metadata.resourceVersion"), first.at("metadata.resourceVersion"));
        seen.extend(names(&page).into_iter().map(str::to_owned));
        remaining.push(page.at("metadata.remainingItemCount").as_i64());
        token = page.str_at("metadata.continue").to_owned();
    }
    assert_eq!(seen, ["c", "d", "e"]);
    assert_eq!(remaining, [Some(1), None]);
    let whole = get(&server, CONFIG_MAPS).await.success();
    assert_eq!(names(&whole), ["a", "b", "bb", "d", "e"]);
    assert!(whole.at("metadata.continue").is_null());
}

#[tokio::test]
async fn pages_of_a_past_version_are_what_there_was() {
    let server = TestServer::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        call(&server, "POST", CONFIG_MAPS, &config_map(name, &[])).await.success();
    }
    let whole = get(&server, CONFIG_MAPS).await.success();
    let version = whole.str_at("metadata.resourceVersion").to_owned();
    call(&server, "POST", CONFIG_MAPS, &config_map("bb", &[])).await.success();
    server.delete("", "configmaps", "default", "c").await.unwrap();
    let exact = format!("resourceVersion={version}&resourceVersionMatch=Exact");
    let past = get(&server, &format!("{CONFIG_MAPS}?{exact}")).await.success();
    assert_eq!(names(&past), ["a", "b", "c", "d", "e"]);
    let (mut seen, mut remaining) = (Vec::new(), Vec::new());
    let mut query = format!("{exact}&limit=2");
    loop {
        let page = get(&server, &format!("{CONFIG_MAPS}?{query}")).await.success();
        assert_eq!(page.str_at("metadata.resourceVersion"), version);
        seen.extend(names(&page).into_iter().map(str::to_owned));
        remaining.push(page.at("metadata.remainingItemCount").as_i64());
        let token = page.str_at("metadata.continue");
        if token.is_empty() {
            break;
        }
        query = format!("limit=2&continue={token}");
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    assert_eq!(remaining, [Some(3), Some(1), None]);
}

/// The API server relies on no guarantee of a store that etcd does not give.
#[tokio::test]
async fn a_store_that_keeps_no_more_than_etcd_serves_the_api() {
    let store: Arc<dyn store::Store> = Arc::new(store::suite::EtcdLike::new());
    let server = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    for name in ["a", "b", "c"] {
        call(&server, "POST", CONFIG_MAPS, &config_map(name, &[])).await.success();
    }
    let mut changed = config_map("a", &[]);
    changed.set("data", value!({"k": "v"}));
    let changed = call(&server, "PUT", &format!("{CONFIG_MAPS}/a"), &changed).await.success();
    let version = changed.str_at("metadata.resourceVersion").to_owned();
    server.delete("", "configmaps", "default", "b").await.unwrap();
    let list = get(&server, CONFIG_MAPS).await.success();
    assert_eq!(names(&list), ["a", "c"]);
    let exact = format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact&limit=2");
    let page = get(&server, &exact).await.success();
    assert_eq!((names(&page), page.at("metadata.remainingItemCount").as_i64()), (vec!["a", "b"], Some(1)));
    let mut stale = config_map("a", &[]);
    stale.entry("metadata").set("resourceVersion", "1");
    assert_eq!(call(&server, "PUT", &format!("{CONFIG_MAPS}/a"), &stale).await.code, 409);
    // Another server over the same store reads it all, in pages.
    let other = TestServer::over(store, &["10.43.0.0/16"]).await;
    assert_eq!(names(&get(&other, CONFIG_MAPS).await.success()), ["a", "c"]);
    // It was not there at that time: only the store knows.
    let page = get(&other, &exact).await.success();
    assert_eq!((names(&page), page.at("metadata.remainingItemCount").as_i64()), (vec!["a", "b"], Some(1)));
}

#[tokio::test]
async fn selectors_pick_by_labels_and_fields() {
    let server = server_for_pods().await;
    for (name, labels) in [
        ("a", &[("app", "web"), ("tier", "1")][..]),
        ("b", &[("app", "web")]),
        ("c", &[("app", "db")]),
        ("d", &[]),
    ] {
        call(&server, "POST", CONFIG_MAPS, &config_map(name, labels)).await.success();
    }
    let table = [
        ("labelSelector=app%3Dweb", "a b"),
        ("labelSelector=app%21%3Dweb", "c d"),
        ("labelSelector=app+in+(web,db),tier", "a"),
        ("labelSelector=app+notin+(web)", "c d"),
        ("labelSelector=%21app", "d"),
        ("labelSelector=app%3Dweb,%21tier", "b"),
        ("fieldSelector=metadata.name%3Dc", "c"),
        ("fieldSelector=metadata.name%21%3Dc", "a b d"),
        ("fieldSelector=metadata.namespace%3Dother", ""),
    ];
    for (query, expected) in table {
        let list = get(&server, &format!("{CONFIG_MAPS}?{query}")).await.success();
        assert_eq!(names(&list).join(" "), expected, "{query}");
    }
    for name in ["p", "q"] {
        call(&server, "POST", PODS, &pod(name)).await.success();
    }
    let binding = value!({"target": {"kind": "Node", "name": "n"}});
    assert_eq!(call(&server, "POST", &format!("{PODS}/p/binding"), &binding).await.code, 201);
    for (selector, expected) in [
        ("spec.nodeName%3Dn", "p"),
        ("spec.nodeName%3D", "q"),
        ("status.phase%3DPending", "p q"),
        ("status.phase%21%3DPending", ""),
    ] {
        let list = get(&server, &format!("/api/v1/pods?fieldSelector={selector}")).await.success();
        assert_eq!(names(&list).join(" "), expected, "{selector}");
    }
}

#[tokio::test]
async fn resource_versions_of_reads_are_kept() {
    let server = TestServer::start().await;
    let made = call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let version = made.str_at("metadata.resourceVersion");
    call(&server, "POST", CONFIG_MAPS, &config_map("b", &[])).await.success();
    let exact =
        get(&server, &format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=Exact")).await;
    assert_eq!(names(&exact.success()), ["a"]);
    let newer = format!("{CONFIG_MAPS}?resourceVersion={version}&resourceVersionMatch=NotOlderThan");
    assert_eq!(names(&get(&server, &newer).await.success()), ["a", "b"]);
    assert_eq!(names(&get(&server, &format!("{CONFIG_MAPS}?resourceVersion=0")).await.success()), ["a", "b"]);
    // Query, code, and what the message speaks of; others are with the tests of lists and watches.
    for (query, code, part) in
        [("limit=x", 400, "strconv.ParseInt: parsing \"x\""), ("labelSelector=%2C%2C", 400, "")]
    {
        let (got, _, message) = get(&server, &format!("{CONFIG_MAPS}?{query}")).await.status();
        assert_eq!(got, code, "{query}: {message}");
        assert!(message.contains(part), "{query}: {message}");
    }
}

#[tokio::test]
async fn status_and_scale_are_parts_of_their_own() {
    let server = TestServer::start().await;
    let made = call(&server, "POST", DEPLOYMENTS, &deployment("d")).await.success();
    let mut changed = made.clone();
    changed.set_path(&["spec", "replicas"], 7i64.into());
    changed.set("status", value!({"observedGeneration": 1i64, "replicas": 2i64}));
    let after = call(&server, "PUT", &format!("{DEPLOYMENTS}/d/status"), &changed).await.success();
    assert_eq!(after.at("spec.replicas").as_i64(), Some(2));
    assert_eq!(after.at("status.replicas").as_i64(), Some(2));
    assert_eq!(after.at("metadata.generation").as_i64(), Some(1));
    let mut changed = after.clone();
    changed.set_path(&["spec", "replicas"], 3i64.into());
    changed.set("status", value!({"replicas": 9i64}));
    let after = call(&server, "PUT", &format!("{DEPLOYMENTS}/d"), &changed).await.success();
    assert_eq!(after.at("spec.replicas").as_i64(), Some(3));
    assert_eq!(after.at("status.replicas").as_i64(), Some(2));
    assert_eq!(after.at("metadata.generation").as_i64(), Some(2));
    let path = format!("{DEPLOYMENTS}/d/scale");
    let mut scale = get(&server, &path).await.success();
    assert_eq!((scale.str_at("kind"), scale.str_at("apiVersion")), ("Scale", "autoscaling/v1"));
    assert_eq!(scale.str_at("status.selector"), "app=d");
    scale.set_path(&["spec", "replicas"], 0i64.into());
    let after = call(&server, "PUT", &path, &scale).await.success();
    assert!(after.at("spec.replicas").is_empty());
    let patched = call(&server, "PATCH", &path, &value!({"spec": {"replicas": 4i64}})).await.success();
    assert_eq!(patched.at("spec.replicas").as_i64(), Some(4));
    // The scale of the old version is stale.
    let (code, ..) = call(&server, "PUT", &path, &scale).await.status();
    assert_eq!(code, 409);
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let server = TestServer::start().await;
    let made = call(&server, "POST", &format!("{CONFIG_MAPS}?dryRun=All"), &config_map("a", &[])).await;
    assert_eq!(made.code, 201);
    assert_eq!(get(&server, &format!("{CONFIG_MAPS}/a")).await.code, 404);
    let stored = call(&server, "POST", CONFIG_MAPS, &config_map("a", &[])).await.success();
    let path = format!("{CONFIG_MAPS}/a?dryRun=All");
    let patched = call(&server, "PATCH", &path, &value!({"data": {"key": "dry"}})).await.success();
    assert_eq!(patched.str_at("data.key"), "dry");
    call(&server, "DELETE", &path, &Value::Null).await.success();
    assert_eq!(get(&server, &format!("{CONFIG_MAPS}/a")).await.success(), stored);
    let service =
        value!({"metadata": {"name": "s"}, "spec": {"clusterIP": "10.43.0.77", "ports": [{"port": 80i64}]}});
    for _ in 0..2 {
        // The address is given back each time.
        let path = "/api/v1/namespaces/default/services?dryRun=All";
        call(&server, "POST", path, &service).await.success();
    }
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let server = server_for_pods().await;
    call(&server, "POST", PODS, &pod("p")).await.success();
    let binding = value!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}});
    let path = format!("{PODS}/p/binding");
    assert_eq!(call(&server, "POST", &path, &binding).await.code, 201);
    let bound = get(&server, &format!("{PODS}/p")).await.success();
    assert_eq!(bound.str_at("spec.nodeName"), "n");
    assert_eq!(bound.at("metadata.generation").as_i64(), Some(1));
    let conditions = bound.at("status.conditions");
    let scheduled = conditions.items().find(|condition| condition.str_at("type") == "PodScheduled");
    assert_eq!(scheduled.map(|condition| condition.str_at("status")), Some("True"));
    let (code, reason, message) = call(&server, "POST", &path, &binding).await.status();
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(message.contains("pod p is already assigned to node \"n\""), "{message}");
}

#[tokio::test]
async fn a_budget_stops_evictions() {
    let server = server_for_pods().await;
    call(&server, "POST", PODS, &pod("p")).await.success();
    call(&server, "POST", PODS, &pod("q")).await.success();
    for name in ["p", "q"] {
        let ready = value!([{"type": "Ready", "status": "True"}]);
        let status = value!({"status": {"phase": "Running", "conditions": ready}});
        call(&server, "PATCH", &format!("{PODS}/{name}/status"), &status).await.success();
    }
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = value!({
        "metadata": {"name": "b"}, "spec": {"minAvailable": 1i64, "selector": {"matchLabels": {"app": "p"}}}
    });
    call(&server, "POST", budgets, &budget).await.success();
    let status = value!({"status": {
        "observedGeneration": 1i64, "disruptionsAllowed": 0i64, "currentHealthy": 1i64, "desiredHealthy": 1i64,
        "expectedPods": 1i64
    }});
    call(&server, "PATCH", &format!("{budgets}/b/status"), &status).await.success();
    let eviction =
        |name: &str| value!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}});
    let refused = call(&server, "POST", &format!("{PODS}/p/eviction"), &eviction("p")).await;
    let (code, reason, message) = refused.status();
    assert_eq!((code, reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(message, "Cannot evict pod as it would violate the pod's disruption budget.");
    assert_eq!(
        refused.json().at("details.causes").items().next().unwrap().str_at("reason"),
        "DisruptionBudget"
    );
    assert_eq!(call(&server, "POST", &format!("{PODS}/q/eviction"), &eviction("q")).await.code, 201);
    assert_eq!(get(&server, &format!("{PODS}/q")).await.code, 404);
}

#[tokio::test]
async fn tokens_of_service_accounts_are_good_until_the_account_goes() {
    let server = server_for_pods().await;
    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let request = value!({"spec": {"expirationSeconds": 600i64}});
    let answer = call(&server, "POST", path, &request).await;
    assert_eq!(answer.code, 201);
    let token = answer.json().str_at("status.token").to_owned();
    let authorization = format!("Bearer {token}");
    let whoami = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let review = send(&server, None, "POST", whoami, &headers, "{}").await.success();
    assert_eq!(review.str_at("status.userInfo.username"), "system:serviceaccount:default:default");
    let groups: Vec<&str> = review.at("status.userInfo.groups").items().filter_map(Value::as_str).collect();
    for group in ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"] {
        assert!(groups.contains(&group), "{groups:?}");
    }
    let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
    let review = call(&server, "POST", reviews, &value!({"spec": {"token": token.as_str()}})).await.success();
    assert_eq!(review.at("status.authenticated").as_bool(), Some(true));
    server.delete("", "serviceaccounts", "default", "default").await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    let (code, reason, _) = send(&server, None, "POST", whoami, &headers, "{}").await.status();
    assert_eq!((code, reason.as_str()), (401, "Unauthorized"));
    let short = value!({"spec": {"expirationSeconds": 5i64}});
    server.create("", "serviceaccounts", "default", value!({"metadata": {"name": "default"}})).await.unwrap();
    let (code, _, message) = call(&server, "POST", path, &short).await.status();
    assert_eq!(code, 422);
    assert!(
        message.contains(
            "spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes"
        ),
        "{message}"
    );
}

#[tokio::test]
async fn impersonation_takes_a_right_and_gives_the_others() {
    let server = TestServer::start().await;
    let as_jane = [("impersonate-user", "jane"), ("impersonate-group", "dev")];
    let (code, _, message) = send(&server, Some(&admin()), "GET", CONFIG_MAPS, &as_jane, "").await.status();
    assert_eq!(code, 403);
    assert_eq!(
        message,
        "configmaps is forbidden: User \"jane\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\""
    );
    let nobody = User::new("nobody", &[]);
    let (code, _, message) = send(&server, Some(&nobody), "GET", CONFIG_MAPS, &as_jane, "").await.status();
    assert_eq!(code, 403);
    assert!(
        message.starts_with(
            "users \"jane\" is forbidden: User \"nobody\" cannot impersonate resource \"users\""
        ),
        "{message}"
    );
    let groups_only = [("impersonate-group", "dev")];
    assert_eq!(send(&server, Some(&admin()), "GET", CONFIG_MAPS, &groups_only, "").await.code, 400);
}

#[tokio::test]
async fn answers_take_the_form_that_is_asked_for() {
    let server = server_for_pods().await;
    call(&server, "POST", PODS, &pod("p")).await.success();
    let accept = |value: &'static str| [("accept", value)];
    let user = admin();
    let table = accept("application/json;as=Table;v=v1;g=meta.k8s.io,application/json");
    let reply = send(&server, Some(&user), "GET", PODS, &table, "").await.success();
    assert_eq!((reply.str_at("kind"), reply.str_at("apiVersion")), ("Table", "meta.k8s.io/v1"));
    let columns: Vec<&str> = reply.get("columnDefinitions").items().map(|c| c.str_at("name")).collect();
    assert_eq!(columns[..5], ["Name", "Ready", "Status", "Restarts", "Age"]);
    let row = reply.get("rows").items().next().unwrap();
    assert_eq!(row.str_at("object.kind"), "PartialObjectMetadata");
    assert_eq!(row.get("cells").items().next().unwrap().as_str(), Some("p"));
    let metadata = accept("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io");
    let reply = send(&server, Some(&user), "GET", PODS, &metadata, "").await.success();
    assert_eq!(reply.str_at("kind"), "PartialObjectMetadataList");
    assert!(reply.get("items").items().next().unwrap().get("spec").is_null());
    let yaml = send(&server, Some(&user), "GET", PODS, &accept("application/yaml"), "").await;
    assert_eq!(yaml.headers["content-type"], "application/yaml");
    assert_eq!(object::yaml::parse(&yaml.bytes).unwrap().str_at("kind"), "PodList");
    let (code, reason, message) =
        send(&server, Some(&user), "GET", PODS, &accept("text/html"), "").await.status();
    assert_eq!((code, reason.as_str()), (406, "NotAcceptable"));
    assert!(
        message.starts_with("only the following media types are accepted: application/json"),
        "{message}"
    );
    let body = [("content-type", "text/plain")];
    let (code, reason, message) = send(&server, Some(&user), "POST", CONFIG_MAPS, &body, "{}").await.status();
    assert_eq!((code, reason.as_str()), (415, "UnsupportedMediaType"));
    assert!(message.starts_with("the body of the request was in an unknown format - accepted media types include: application/json"), "{message}");
    let mut large = config_map("large", &[]);
    large.set("data", value!({"key": "x".repeat(4 << 20)}));
    let (code, reason, _) = call(&server, "POST", CONFIG_MAPS, &large).await.status();
    assert_eq!((code, reason.as_str()), (413, "RequestEntityTooLarge"));
}

#[tokio::test]
async fn a_large_list_is_compressed_for_those_who_accept_it() {
    let server = TestServer::start().await;
    let mut object = config_map("large", &[]);
    object.set("data", value!({"key": "x".repeat(300 << 10)}));
    call(&server, "POST", CONFIG_MAPS, &object).await.success();
    let gzip = [("accept-encoding", "gzip")];
    let packed = send(&server, Some(&admin()), "GET", CONFIG_MAPS, &gzip, "").await;
    assert_eq!(packed.headers["content-encoding"], "gzip");
    assert!(packed.bytes.len() < 100 << 10);
    let plain = get(&server, CONFIG_MAPS).await;
    assert!(plain.headers.get("content-encoding").is_none());
    assert_eq!(names(&plain.success()), ["large"]);
}
