//! Quotas, charged by the server. What the quota controller does is done by the tests.

use std::collections::BTreeSet;
use std::sync::Arc;

use apiserver::Extensions;
use apiserver::admission::configuration::Configuration;
use apiserver::testing::TestServer;
use futures::future::join_all;
use object::{Status, Value, value};

use crate::support::*;

const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";
/// How many clients write at a time.
const CLIENTS: usize = 64;

/// Puts a quota into force with what is used.
async fn limit(server: &TestServer, name: &str, spec: Value, used: Value) {
    let quota = value!({"metadata": {"name": name}, "spec": (spec.clone())});
    let mut quota = server.create("", "resourcequotas", "default", quota).await.unwrap();
    quota.set("status", value!({"hard": (spec.get("hard").clone()), "used": (used)}));
    server.json("PUT", &format!("{QUOTAS}/{name}/status"), &quota).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
}

async fn used(server: &TestServer, name: &str, resource: &str) -> String {
    let quota = server.json("GET", &format!("{QUOTAS}/{name}"), &Value::Null).await.unwrap();
    quota.at("status.used").get(resource).as_str().unwrap_or_default().to_owned()
}

async fn create_map(server: &TestServer, name: String) -> Result<Value, Status> {
    server.json("POST", CONFIG_MAPS, &config_map(&name, &[])).await
}

async fn maps(server: &TestServer) -> usize {
    server.json("GET", CONFIG_MAPS, &Value::Null).await.unwrap().items().len()
}

fn forbidden<T: std::fmt::Debug>(result: Result<T, Status>) -> String {
    let status = result.unwrap_err();
    assert_eq!(status.code(), 403, "{}", status.message);
    status.message
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_clients_at_once_get_exactly_what_is_left() {
    let server = Arc::new(TestServer::start().await);
    limit(
        &server,
        "q",
        value!({"hard": {"configmaps": "12", "count/configmaps": "30"}}),
        value!({"configmaps": "2", "count/configmaps": "0"}),
    )
    .await;
    let creations = (0..CLIENTS).map(|client| {
        let server = Arc::clone(&server);
        tokio::spawn(async move { create_map(&server, format!("m{client}")).await })
    });
    let results: Vec<_> = join_all(creations).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 10);
    assert_eq!(maps(&server).await, 10);
    assert_eq!(used(&server, "q", "configmaps").await, "12");
    assert_eq!(used(&server, "q", "count/configmaps").await, "10");
    for refused in results.into_iter().filter(Result::is_err) {
        let why = "exceeded quota: q, requested: configmaps=1, used: configmaps=12, limited: configmaps=12";
        assert!(forbidden(refused).ends_with(why));
    }
}

/// What the quota controller does: it lets writes in between end, counts, and writes its count if the quota is still as
/// it was. Returns whether it was.
async fn recount(server: &TestServer) -> bool {
    let path = format!("{QUOTAS}/q/status");
    let mut quota = server.json("GET", &format!("{QUOTAS}/q"), &Value::Null).await.unwrap();
    if server.json("PUT", &format!("{path}?dryRun=All"), &quota).await.is_err() {
        return false;
    }
    let count = maps(server).await;
    quota.entry("status").entry("used").set("configmaps", count.to_string());
    server.json("PUT", &path, &quota).await.is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_recount_lets_more_in_than_the_quota_allows() {
    const HARD: usize = 20;
    let server = Arc::new(TestServer::start().await);
    limit(&server, "q", value!({"hard": {"configmaps": (HARD.to_string())}}), value!({"configmaps": "0"}))
        .await;
    let clients = (0..CLIENTS).map(|client| {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let mut made = 0;
            for round in 0..20 {
                let name = format!("m{client}-{round}");
                if create_map(&server, name.clone()).await.is_ok() {
                    made += 1;
                    assert!(maps(&server).await <= HARD);
                    server.delete("", "configmaps", "default", &name).await.unwrap();
                }
            }
            made
        })
    });
    let counting = {
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            loop {
                recount(&server).await;
                tokio::task::yield_now().await;
            }
        })
    };
    let made: Vec<usize> = join_all(clients).await.into_iter().map(Result::unwrap).collect();
    counting.abort();
    let made: usize = made.into_iter().sum();
    assert!(made > HARD, "recounts freed what deletions left: {made}");
    while !recount(&server).await {}
    assert_eq!((maps(&server).await, used(&server, "q", "configmaps").await.as_str()), (0, "0"));
}

#[tokio::test]
async fn what_is_not_stored_is_not_charged() {
    let server = TestServer::start().await;
    limit(&server, "q", value!({"hard": {"configmaps": "2"}}), value!({"configmaps": "0"})).await;
    create_map(&server, "m".into()).await.unwrap();
    let again = create_map(&server, "m".into()).await.unwrap_err();
    assert_eq!((again.code(), used(&server, "q", "configmaps").await.as_str()), (409, "1"));
    let dry = format!("{CONFIG_MAPS}?dryRun=All");
    server.json("POST", &dry, &config_map("dry", &[])).await.unwrap();
    let invalid = value!({"metadata": {"name": "bad"}, "data": {"a b": "c"}});
    assert_eq!(server.json("POST", CONFIG_MAPS, &invalid).await.unwrap_err().code(), 422);
    assert_eq!(used(&server, "q", "configmaps").await, "1");
    create_map(&server, "n".into()).await.unwrap();
    let why = "configmaps \"dry\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, limited: configmaps=2";
    assert_eq!(forbidden(server.json("POST", &dry, &config_map("dry", &[])).await), why);
    // Updates and deletions are free.
    server.json("PUT", &format!("{CONFIG_MAPS}/n"), &config_map("n", &[("a", "b")])).await.unwrap();
    server.delete("", "configmaps", "default", "n").await.unwrap();
    assert_eq!(used(&server, "q", "configmaps").await, "2", "the controller counts what became free");
}

#[tokio::test]
async fn a_quota_is_in_force_when_its_status_says_so() {
    let server = TestServer::start().await;
    let quota = value!({"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "0"}}});
    server.create("", "resourcequotas", "default", quota).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    create_map(&server, "before".into()).await.unwrap();
    let mut quota = server.json("GET", &format!("{QUOTAS}/q"), &Value::Null).await.unwrap();
    quota.set("status", value!({"hard": {"configmaps": "1"}}));
    server.json("PUT", &format!("{QUOTAS}/q/status"), &quota).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    let why = "configmaps \"m\" is forbidden: status unknown for quota: q, resources: configmaps";
    assert_eq!(forbidden(create_map(&server, "m".into()).await), why);
    let elsewhere = server.create("", "configmaps", "kube-system", value!({"metadata": {"name": "m"}}));
    elsewhere.await.unwrap();
}

#[tokio::test]
async fn pods_are_charged_when_they_come_and_when_they_grow() {
    let server = server_for_pods().await;
    let hard = value!({"cpu": "2", "pods": "2", "limits.memory": "1Gi"});
    limit(&server, "q", value!({"hard": (hard)}), value!({"cpu": "0", "pods": "0", "limits.memory": "0"}))
        .await;
    let why = "pods \"p\" is forbidden: failed quota: q: must specify cpu for: main; limits.memory for: main";
    assert_eq!(forbidden(server.json("POST", PODS, &pod("p")).await), why);
    let sized = |name: &str, cpu: &str| {
        let mut pod = pod(name);
        let container = pod.entry("spec").entry("containers").items_mut().next().unwrap();
        container.set("resources", value!({"requests": {"cpu": cpu}, "limits": {"memory": "512Mi"}}));
        pod
    };
    server.json("POST", PODS, &sized("p", "1")).await.unwrap();
    let why = "pods \"r\" is forbidden: exceeded quota: q, requested: cpu=1500m, used: cpu=1, limited: cpu=2";
    assert_eq!(forbidden(server.json("POST", PODS, &sized("r", "1500m")).await), why);
    let resize = format!("{PODS}/p/resize");
    let mut resized = server.json("GET", &resize, &Value::Null).await.unwrap();
    let mut set = |cpu: &str| {
        let container = resized.entry("spec").entry("containers").items_mut().next().unwrap();
        container.entry("resources").entry("requests").set("cpu", cpu);
        resized.entry("metadata").remove("resourceVersion");
        resized.clone()
    };
    let why = "pods \"p\" is forbidden: exceeded quota: q, requested: cpu=2, used: cpu=1, limited: cpu=2";
    assert_eq!(forbidden(server.json("PUT", &resize, &set("3")).await), why);
    server.json("PUT", &resize, &set("1800m")).await.unwrap();
    assert_eq!(used(&server, "q", "cpu").await, "1800m");
    assert_eq!(used(&server, "q", "limits.memory").await, "512Mi");
}

#[tokio::test]
async fn every_quota_must_have_room_and_scopes_decide_which_count() {
    let server = server_for_pods().await;
    let scoped = |scope: &str, pods: &str| value!({"hard": {"pods": pods}, "scopes": [scope]});
    limit(&server, "busy", scoped("NotBestEffort", "9"), value!({"pods": "0"})).await;
    limit(&server, "idle", scoped("BestEffort", "2"), value!({"pods": "0"})).await;
    limit(&server, "idle-too", scoped("BestEffort", "1"), value!({"pods": "0"})).await;
    server.json("POST", PODS, &pod("p")).await.unwrap();
    let why =
        "pods \"r\" is forbidden: exceeded quota: idle-too, requested: pods=1, used: pods=1, limited: pods=1";
    assert_eq!(forbidden(server.json("POST", PODS, &pod("r")).await), why);
    for (quota, expected) in [("busy", "0"), ("idle", "1"), ("idle-too", "1")] {
        assert_eq!(used(&server, quota, "pods").await, expected, "{quota}");
    }
}

#[tokio::test]
async fn services_and_claims_are_charged_for_what_changes() {
    let server = TestServer::start().await;
    let hard = value!({"services": "3", "services.nodeports": "1", "requests.storage": "3Gi", "persistentvolumeclaims": "5"});
    let none = value!({"services": "0", "services.nodeports": "0", "requests.storage": "0", "persistentvolumeclaims": "0"});
    limit(&server, "q", value!({"hard": (hard)}), none).await;
    let service = |kind: &str, ports: i64| {
        let ports: Vec<Value> =
            (0..ports).map(|port| value!({"name": (format!("p{port}")), "port": (port + 1)})).collect();
        value!({"metadata": {"name": "s"}, "spec": {"type": kind, "ports": (ports)}})
    };
    let services = "/api/v1/namespaces/default/services";
    server.json("POST", services, &service("ClusterIP", 2)).await.unwrap();
    let why = "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1";
    let change = |kind: &'static str, ports| {
        let (server, body) = (&server, service(kind, ports));
        async move { call(server, "PATCH", &format!("{services}/s"), &body).await }
    };
    let refused = change("NodePort", 2).await;
    assert_eq!(refused.status(), (403, "Forbidden".to_owned(), why.to_owned()));
    change("NodePort", 1).await.success();
    assert_eq!(used(&server, "q", "services.nodeports").await, "1");
    assert_eq!(used(&server, "q", "services").await, "1");
    let claim = value!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}}});
    let claims = "/api/v1/namespaces/default/persistentvolumeclaims";
    server.json("POST", claims, &claim).await.unwrap();
    // What a status reports is so already.
    let report = value!({"status": {"allocatedResources": {"storage": "4Gi"}}});
    call(&server, "PATCH", &format!("{claims}/c/status"), &report).await.success();
    assert_eq!(used(&server, "q", "requests.storage").await, "4Gi");
}

#[tokio::test]
async fn objects_of_any_resource_can_be_counted() {
    let server = crate::custom::server_with_widgets().await;
    let hard =
        value!({"count/widgets.example.com": "1", "count/deployments.apps": "1", "resourcequotas": "2"});
    let used_before =
        value!({"count/widgets.example.com": "0", "count/deployments.apps": "0", "resourcequotas": "1"});
    limit(&server, "q", value!({"hard": (hard)}), used_before).await;
    let names = ["a", "b"];
    let mut refused = BTreeSet::new();
    for name in names {
        for (path, object) in [
            (crate::custom::WIDGETS, crate::custom::widget(name)),
            (DEPLOYMENTS, deployment(name)),
            (QUOTAS, value!({"metadata": {"name": name}})),
        ] {
            if let Err(status) = server.json("POST", path, &object).await {
                refused.insert(status.message);
            }
        }
    }
    let expected = [
        "deployments.apps \"b\" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=1, limited: count/deployments.apps=1",
        "resourcequotas \"b\" is forbidden: exceeded quota: q, requested: resourcequotas=1, used: resourcequotas=2, limited: resourcequotas=2",
        "widgets.example.com \"b\" is forbidden: exceeded quota: q, requested: count/widgets.example.com=1, used: count/widgets.example.com=1, limited: count/widgets.example.com=1",
    ];
    assert_eq!(refused.iter().map(|message| &**message).collect::<Vec<_>>(), expected);
}

/// The file of `--admission-control-config-file`: pods come only into namespaces with a quota for them.
#[tokio::test]
async fn a_file_says_what_needs_a_quota() {
    const FILE: &str = "
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - {resource: pods, matchContains: [count/pods]}
";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admission.yaml");
    std::fs::write(&path, FILE).unwrap();
    let admission = Configuration::read(&path).unwrap();
    let server = TestServer::with(Extensions { admission, ..Extensions::default() }).await;
    let account = value!({"metadata": {"name": "default"}});
    server.create("", "serviceaccounts", "default", account).await.unwrap();
    let why = "pods \"p\" is forbidden: insufficient quota to consume: count/pods";
    for query in ["", "?dryRun=All"] {
        assert_eq!(forbidden(server.json("POST", &format!("{PODS}{query}"), &pod("p")).await), why);
    }
    create_map(&server, "m".into()).await.unwrap();
    limit(&server, "q", value!({"hard": {"count/pods": "1"}}), value!({"count/pods": "0"})).await;
    server.json("POST", PODS, &pod("p")).await.unwrap();
    assert_eq!(used(&server, "q", "count/pods").await, "1");
    let why = "pods \"r\" is forbidden: exceeded quota: q, requested: count/pods=1, used: count/pods=1, limited: count/pods=1";
    assert_eq!(forbidden(server.json("POST", PODS, &pod("r")).await), why);
}
