//! The admission plugins: their order, and those that are off by default.

use std::sync::Arc;

use apiserver::Extensions;
use apiserver::admission::configuration::Configuration;
use apiserver::admission::{Plugin, Selection};
use apiserver::testing::{TestServer, admin, value_of};
use apiserver::user::User;
use object::{Status, Value, json, value};

/// A server with these plugins, which are configured by this document each.
async fn server(plugins: &[&str], configuration: Value) -> TestServer {
    let names: Vec<String> = plugins.iter().map(|name| (*name).to_owned()).collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admission.json");
    let list: Vec<Value> = match configuration.is_null() {
        true => Vec::new(),
        false => vec![value!({"name": (plugins[0]), "configuration": configuration})],
    };
    let document = value!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": list
    });
    std::fs::write(&path, json::to_vec(&document)).unwrap();
    let server = TestServer::with(Extensions {
        admission: Configuration::read(&path).unwrap(),
        selection: Selection::read(&names, &[]).unwrap(),
        ..Extensions::default()
    })
    .await;
    server.create("", "serviceaccounts", "default", value!({"metadata": {"name": "default"}})).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
    server
}

fn pod(name: &str, spec: Value) -> Value {
    let pod = value!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}});
    object::patch::merge_patch(pod, value!({"spec": spec})).unwrap()
}

async fn create(server: &TestServer, pod: Value) -> Result<Value, Status> {
    server.create("", "pods", "default", pod).await
}

/// The end of a refusal's message, behind the object.
fn why(result: Result<Value, Status>) -> (u16, String) {
    let status = result.unwrap_err();
    let behind = status.message.split_once("is forbidden: ").map(|(_, why)| why.to_owned());
    (status.code, behind.unwrap_or(status.message))
}

/// Changes an object by a merge patch.
async fn change(server: &TestServer, path: &str, patch: &Value) -> Result<Value, Status> {
    let body = json::to_bytes(patch);
    let answer = server.request(&admin(), "PATCH", path, "application/merge-patch+json", body).await?;
    Ok(value_of(answer))
}

/// Writes an annotation of the namespace, and waits until plugins see it.
async fn annotate(server: &TestServer, annotations: Value) {
    let patch = value!({"metadata": {"annotations": annotations}});
    change(server, "/api/v1/namespaces/default", &patch).await.unwrap();
    server.registry.hub.catch_up().await.unwrap();
}

#[tokio::test]
async fn services_get_no_external_addresses() {
    let server = server(&["DenyServiceExternalIPs"], Value::Null).await;
    let service = |ips: Value| value!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80i64}], "externalIPs": ips}});
    let told = (403, "Use of external IPs is denied by admission control".to_owned());
    let one = value!(["192.0.2.1"]);
    assert_eq!(why(server.create("", "services", "default", service(one.clone())).await), told);
    server.create("", "services", "default", service(value!([]))).await.unwrap();
    let add = value!({"spec": {"externalIPs": one}});
    assert_eq!(why(change(&server, "/api/v1/namespaces/default/services/s", &add).await), told);
}

/// Those that a Service has may stay, and become fewer.
#[tokio::test]
async fn services_keep_the_external_addresses_that_they_have() {
    let store: Arc<dyn store::Store> = Arc::new(store::Embedded::in_memory(clock::Clock::system()));
    let open = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    let ips = value!(["192.0.2.1", "192.0.2.2"]);
    let spec = value!({"ports": [{"port": 80i64}], "externalIPs": ips});
    open.create("", "services", "default", value!({"metadata": {"name": "s"}, "spec": spec})).await.unwrap();
    let selection = Selection::read(&["DenyServiceExternalIPs".to_owned()], &[]).unwrap();
    let extensions = Extensions { selection, ..Extensions::default() };
    let closed = TestServer::extended(store, &["10.43.0.0/16"], extensions).await;
    let patch = |ips: Value| value!({"spec": {"externalIPs": ips}});
    let path = "/api/v1/namespaces/default/services/s";
    change(&closed, path, &value!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
    change(&closed, path, &patch(value!(["192.0.2.2"]))).await.unwrap();
    assert_eq!(change(&closed, path, &patch(value!(["192.0.2.1"]))).await.unwrap_err().code, 403);
}

/// A user who may write but not delete does not decide who owns an object, and so when it is deleted.
#[tokio::test]
async fn owners_are_for_those_who_may_delete() {
    let server = server(&["OwnerReferencesPermissionEnforcement"], Value::Null).await;
    let grant = async |name: &str, rules: Value| {
        let group = "rbac.authorization.k8s.io";
        server
            .create(group, "roles", "default", value!({"metadata": {"name": name}, "rules": rules}))
            .await
            .unwrap();
        let binding = value!({
            "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "alice"}]
        });
        server.create(group, "rolebindings", "default", binding).await.unwrap();
        server.registry.hub.catch_up().await.unwrap();
    };
    let alice = User { name: "alice".to_owned(), ..User::default() };
    let create = async |name: &str, blocks: bool, kind: &str| {
        let owner = value!({
            "apiVersion": "apps/v1", "kind": kind, "name": "d", "uid": "u-1", "blockOwnerDeletion": blocks
        });
        let map = value!({"metadata": {"name": name, "ownerReferences": [owner]}});
        let path = "/api/v1/namespaces/default/configmaps";
        server.request(&alice, "POST", path, "application/json", json::to_bytes(&map)).await.map(value_of)
    };
    grant("write", value!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]}])).await;
    let told = why(create("a", false, "Deployment").await);
    assert_eq!(told, (403, "cannot set an ownerRef on a resource you can't delete: , <nil>".to_owned()));
    grant("delete", value!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["delete"]}])).await;
    create("a", false, "Deployment").await.unwrap();
    let told = why(create("b", true, "Deployment").await);
    let wanted = "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>";
    assert_eq!(told, (403, wanted.to_owned()));
    let (code, told) = why(create("b", true, "Nonsense").await);
    let wanted = "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion apps/v1 Kind Nonsense: ";
    assert!(code == 403 && told.starts_with(wanted), "{told}");
    grant(
        "finalize",
        value!([{"apiGroups": ["apps"], "resources": ["deployments/finalizers"], "verbs": ["update"]}]),
    )
    .await;
    create("b", true, "Deployment").await.unwrap();
}

#[tokio::test]
async fn images_are_always_pulled() {
    let server = server(&["AlwaysPullImages"], Value::Null).await;
    let spec = value!({
        "initContainers": [{"name": "i", "image": "i:1", "imagePullPolicy": "Never"}],
        "containers": [{"name": "c", "image": "i:1", "imagePullPolicy": "IfNotPresent"}],
        "volumes": [{"name": "v", "image": {"reference": "i:1", "pullPolicy": "Never"}}, {"name": "e", "emptyDir": {}}]
    });
    let made = create(&server, pod("p", spec)).await.unwrap();
    let lists = ["spec.initContainers", "spec.containers"].map(|list| made.at(list).items());
    let policies: Vec<&str> =
        lists.into_iter().flatten().map(|container| container.str_at("imagePullPolicy")).collect();
    assert_eq!(policies, ["Always", "Always"]);
    // Otherwise somebody could read an image through a volume that they may not pull.
    let volumes = made.at("spec.volumes").items().filter(|volume| !volume.get("image").is_null());
    let policies: Vec<&str> = volumes.map(|volume| volume.str_at("image.pullPolicy")).collect();
    assert_eq!(policies, ["Always"]);
}

#[tokio::test]
async fn a_pod_tolerates_the_taints_of_what_it_asks_for() {
    let server = server(&["ExtendedResourceToleration"], Value::Null).await;
    let amounts = value!({"cpu": "1", "example.com/b": "1", "example.com/a": "2"});
    let spec = value!({
        "containers": [{"name": "c", "image": "i", "resources": {"limits": amounts}}],
        "tolerations": [{"key": "example.com/a", "operator": "Exists", "effect": "NoSchedule"}]
    });
    let made = create(&server, pod("p", spec)).await.unwrap();
    let tolerated: Vec<String> = made
        .at("spec.tolerations")
        .items()
        .filter(|one| one.str_at("key").starts_with("example.com/"))
        .map(|one| ["key", "operator", "effect"].map(|member| one.str_at(member)).join(" "))
        .collect();
    assert_eq!(tolerated, ["example.com/a Exists NoSchedule", "example.com/b Exists NoSchedule"]);
}

#[tokio::test]
async fn required_anti_affinity_is_for_hosts() {
    let server = server(&["LimitPodHardAntiAffinityTopology"], Value::Null).await;
    let apart = |key: &str| {
        let term = value!({"labelSelector": {"matchLabels": {"a": "b"}}, "topologyKey": key});
        value!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
    };
    create(&server, pod("host", apart("kubernetes.io/hostname"))).await.unwrap();
    let told = "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey topology.kubernetes.io/zone but only key kubernetes.io/hostname is allowed";
    let zone = create(&server, pod("zone", apart("topology.kubernetes.io/zone"))).await;
    assert_eq!(why(zone), (403, told.to_owned()));
}

#[tokio::test]
async fn namespaces_come_with_their_first_object() {
    let provides = server(&["NamespaceAutoProvision"], Value::Null).await;
    let map = || value!({"metadata": {"name": "m"}});
    let dry = provides.json("POST", "/api/v1/namespaces/new/configmaps?dryRun=All", &map()).await;
    assert_eq!(dry.unwrap_err().code, 404);
    provides.create("", "configmaps", "new", map()).await.unwrap();
    assert_eq!(provides.get("", "namespaces", "", "new").await.unwrap().str_at("status.phase"), "Active");
    let exists = server(&["NamespaceExists"], Value::Null).await;
    exists.create("", "configmaps", "default", map()).await.unwrap();
    let told = why(exists.create("", "configmaps", "none", map()).await);
    assert_eq!(told, (404, "namespaces \"none\" not found".to_owned()));
}

#[tokio::test]
async fn pods_run_on_the_nodes_of_their_namespace() {
    let configuration = value!({"podNodeSelectorPluginConfig": {
        "clusterDefaultNodeSelector": "env=test", "default": "env=test,disk=ssd,region=a"
    }});
    let server = server(&["PodNodeSelector"], configuration).await;
    let selects = |selector: Value| value!({"nodeSelector": selector});
    let made = create(&server, pod("a", selects(value!({"disk": "ssd"})))).await.unwrap();
    assert_eq!(made.at("spec.nodeSelector"), &value!({"disk": "ssd", "env": "test"}));
    let conflicts = "pod node label selector conflicts with its namespace node label selector";
    let other = create(&server, pod("b", selects(value!({"env": "other"})))).await;
    assert_eq!(why(other), (403, conflicts.to_owned()));
    let beyond = "pod node label selector labels conflict with its namespace whitelist";
    let more = create(&server, pod("c", selects(value!({"more": "x"})))).await;
    assert_eq!(why(more), (403, beyond.to_owned()));
    annotate(&server, value!({"scheduler.alpha.kubernetes.io/node-selector": "region=a"})).await;
    let made = create(&server, pod("d", value!({}))).await.unwrap();
    assert_eq!(made.at("spec.nodeSelector"), &value!({"region": "a"}));
    annotate(&server, value!({"scheduler.alpha.kubernetes.io/node-selector": "region"})).await;
    let wrong = why(create(&server, pod("e", value!({}))).await);
    assert_eq!(wrong, (500, "invalid selector: region".to_owned()));
}

#[tokio::test]
async fn pods_have_the_tolerations_of_their_namespace() {
    let toleration = |key: &str, value: &str| value!({"key": key, "operator": "Equal", "value": value, "effect": "NoSchedule"});
    let configuration = value!({
        "apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1", "kind": "Configuration",
        "default": [(toleration("by", "cluster"))]
    });
    let server = server(&["PodTolerationRestriction"], configuration).await;
    let seen = |pod: &Value| -> Vec<String> {
        let keys = pod.at("spec.tolerations").items();
        let keys = keys.map(|one| format!("{}={}", one.str_at("key"), one.str_at("value")));
        keys.filter(|key| {
            !key.starts_with("node.kubernetes.io/n") && !key.starts_with("node.kubernetes.io/u")
        })
        .collect()
    };
    let made = create(&server, pod("a", value!({}))).await.unwrap();
    assert_eq!(seen(&made), ["by=cluster"]);
    let burstable =
        value!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]});
    let made = create(&server, pod("b", burstable)).await.unwrap();
    assert_eq!(seen(&made), ["by=cluster", "node.kubernetes.io/memory-pressure="]);
    let list = |list: Vec<Value>| String::from_utf8(json::to_vec(&Value::from(list))).unwrap();
    let everything = value!({"operator": "Exists", "effect": "NoExecute"});
    annotate(
        &server,
        value!({
            "scheduler.alpha.kubernetes.io/defaultTolerations": (list(vec![toleration("by", "namespace")])),
            "scheduler.alpha.kubernetes.io/tolerationsWhitelist":
                (list(vec![toleration("by", "namespace"), toleration("own", "x"), everything]))
        }),
    )
    .await;
    let own = |value: &str| value!({"tolerations": [(toleration("own", value))]});
    let made = create(&server, pod("c", own("x"))).await.unwrap();
    assert_eq!(seen(&made), ["own=x", "by=namespace"]);
    let told = "pod tolerations (possibly merged with namespace default tolerations) conflict with its namespace whitelist";
    assert_eq!(why(create(&server, pod("d", own("y"))).await), (500, told.to_owned()));
}

#[tokio::test]
async fn events_come_no_faster_than_they_may() {
    let configuration = value!({
        "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration",
        "limits": [
            {"type": "Namespace", "qps": 1i64, "burst": 2i64},
            {"type": "User", "qps": 1i64, "burst": 2i64},
            {"type": "Server", "qps": 1000i64, "burst": 1000i64}
        ]
    });
    let server = server(&["EventRateLimit"], configuration).await;
    // What is not stored costs nothing.
    let events = "/api/v1/namespaces/default/events?dryRun=All";
    for _ in 0..20 {
        let event = value!({"metadata": {"generateName": "e"}, "involvedObject": {"namespace": "default"}});
        server.json("POST", events, &event).await.unwrap();
    }
    let mut refusal = None;
    for at in 0..100 {
        let event = value!({
            "metadata": {"name": (format!("e{at}"))}, "source": {"component": "test"},
            "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"}, "reason": "r", "type": "Normal"
        });
        refusal = server.create("", "events", "default", event).await.err();
        assert!(at > 1 || refusal.is_none(), "{refusal:?}");
        if refusal.is_some() {
            break;
        }
    }
    let refusal = refusal.expect("a hundred events take less than a hundred seconds");
    let told = "Too many requests: [limit reached on type Namespace for key default, limit reached on type User for key admin]";
    assert_eq!((refusal.code, refusal.message.as_str()), (429, told));
    for _ in 0..20 {
        let event = value!({
            "metadata": {"generateName": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z", "reason": "r", "action": "a",
            "reportingController": "example.com/c", "reportingInstance": "i", "type": "Normal",
            "regarding": {"namespace": "default"}
        });
        server.create("events.k8s.io", "events", "default", event).await.unwrap();
    }
    server.create("", "configmaps", "default", value!({"metadata": {"name": "m"}})).await.unwrap();
}

/// A pod that is older than the plugin gets the toleration with its next update, and once only.
#[tokio::test]
async fn pods_with_requests_tolerate_memory_pressure() {
    let store: Arc<dyn store::Store> = Arc::new(store::Embedded::in_memory(clock::Clock::system()));
    let before = TestServer::over(Arc::clone(&store), &["10.43.0.0/16"]).await;
    before.create("", "serviceaccounts", "default", value!({"metadata": {"name": "default"}})).await.unwrap();
    let spec = value!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "1"}}}]});
    create(&before, pod("p", spec)).await.unwrap();
    let selection = Selection::read(&["PodTolerationRestriction".to_owned()], &[]).unwrap();
    let extensions = Extensions { selection, ..Extensions::default() };
    let server = TestServer::extended(store, &["10.43.0.0/16"], extensions).await;
    for round in 0..2 {
        let patch = value!({"metadata": {"labels": {"round": (round.to_string())}}});
        let pod = change(&server, "/api/v1/namespaces/default/pods/p", &patch).await.unwrap();
        let keys = pod.at("spec.tolerations").items().map(|one| one.str_at("key"));
        assert_eq!(keys.filter(|key| *key == "node.kubernetes.io/memory-pressure").count(), 1);
    }
}

/// Lists as long as an object may be are not compared with one another item by item.
#[tokio::test]
async fn long_lists_are_no_burden() {
    let plugins = ["ExtendedResourceToleration", "PodTolerationRestriction", "DenyServiceExternalIPs"];
    let server = server(&plugins, Value::Null).await;
    let many: Vec<Value> = (0..15_000)
        .map(|at| value!({"key": (format!("example.com/k{at}")), "operator": "Exists", "effect": "NoSchedule"}))
        .collect();
    let amounts: Vec<(String, Value)> =
        (0..3_000).map(|at| (format!("example.com/k{at}"), Value::from("1"))).collect();
    let mut limits = value!({});
    amounts.into_iter().for_each(|(name, amount)| limits.set(name, amount));
    let spec = value!({
        "containers": [{"name": "c", "image": "i", "resources": {"limits": limits}}], "tolerations": many
    });
    let made = create(&server, pod("p", spec)).await.unwrap();
    let count = made.at("spec.tolerations").items().count();
    assert!(count >= 15_000);
    let patch = value!({"metadata": {"labels": {"a": "b"}}});
    let changed = change(&server, "/api/v1/namespaces/default/pods/p", &patch).await.unwrap();
    assert_eq!(changed.at("spec.tolerations").items().count(), count);
}

#[test]
fn mistakes_in_limits_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admission.json");
    let read = |limits: Value| {
        let configuration = value!({
            "apiVersion": "eventratelimit.admission.k8s.io/v1alpha1", "kind": "Configuration", "limits": limits
        });
        let plugins = value!([{"name": "EventRateLimit", "configuration": configuration}]);
        let document = value!({
            "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AdmissionConfiguration", "plugins": plugins
        });
        std::fs::write(&path, json::to_vec(&document)).unwrap();
        let error = Configuration::read(&path).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    assert_eq!(read(value!([])), "Configuration is invalid: limits: Invalid value: []: must not be empty");
    let told = read(value!([{"type": "Nobody", "qps": 0i64, "burst": 1i64, "cacheSize": (-1i64)}]));
    for part in [
        "limits[0].type: Unsupported value: \"Nobody\"",
        "limits[0].qps: Invalid value: 0: must be positive",
        "limits[0].cacheSize: Invalid value: -1: must not be negative",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

/// Upstream's 27 that are on by default, except those that act only where there is something that is not here, and in
/// the place of two the one that is all three of certificates.
const DEFAULT: [&str; 22] = [
    "NamespaceLifecycle",
    "LimitRanger",
    "ServiceAccount",
    "NodeRestriction",
    "TaintNodesByCondition",
    "PodSecurity",
    "Priority",
    "DefaultTolerationSeconds",
    "DefaultStorageClass",
    "PersistentVolumeClaimResize",
    "RuntimeClass",
    "CertificateApproval",
    "DefaultIngressClass",
    "PodTopologyLabels",
    "NodeDeclaredFeatureValidator",
    "PodResizeValidator",
    "test",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionWebhook",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionWebhook",
    "ResourceQuota",
];

struct FromOutside;

impl Plugin for FromOutside {
    fn name(&self) -> &'static str {
        "test"
    }
}

#[tokio::test]
async fn the_chain_is_in_upstreams_order_and_every_name_has_its_plugin() {
    let more = || vec![Arc::new(FromOutside) as Arc<dyn Plugin>];
    let server = TestServer::with(Extensions { plugins: more(), ..Extensions::default() }).await;
    assert_eq!(server.registry.admission.names(), DEFAULT);
    let off = [
        "NamespaceAutoProvision",
        "NamespaceExists",
        "LimitPodHardAntiAffinityTopology",
        "AlwaysPullImages",
        "PodNodeSelector",
        "PodTolerationRestriction",
        "EventRateLimit",
        "ExtendedResourceToleration",
        "OwnerReferencesPermissionEnforcement",
        "DenyServiceExternalIPs",
    ];
    let selection = Selection::read(&off.map(str::to_owned), &[]).unwrap();
    let all = TestServer::with(Extensions { selection, ..Extensions::default() }).await;
    let before = |name: &str| match name {
        "NamespaceLifecycle" => vec!["NamespaceAutoProvision"],
        "LimitRanger" => vec!["NamespaceExists", "LimitPodHardAntiAffinityTopology"],
        "PodSecurity" => vec!["AlwaysPullImages"],
        "Priority" => vec!["PodNodeSelector"],
        "DefaultStorageClass" => {
            vec!["PodTolerationRestriction", "EventRateLimit", "ExtendedResourceToleration"]
        }
        "PersistentVolumeClaimResize" => vec!["OwnerReferencesPermissionEnforcement"],
        "PodTopologyLabels" => vec!["DenyServiceExternalIPs"],
        _ => Vec::new(),
    };
    let wanted = DEFAULT.into_iter().filter(|name| *name != "test");
    let wanted: Vec<&str> = wanted.flat_map(|name| before(name).into_iter().chain([name])).collect();
    assert_eq!(all.registry.admission.names(), wanted);
}
