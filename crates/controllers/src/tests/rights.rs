//! Each controller acts under its own account. Its role is sufficient, and a controller whose role lacks a rule reports
//! that.

use std::sync::Arc;
use std::time::Duration;

use apiserver::testing::TestServer;
use client::{DeleteOptions, ListOptions, Object, Patch, Propagation};
use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use k8s_openapi::api::core::v1::{
    ConfigMap, Endpoints, Event, Namespace, Node, Pod, ReplicationController, ResourceQuota, Secret, Service,
    ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{IPAddress, ServiceCIDR};
use k8s_openapi::api::rbac::v1::ClusterRole;
use object::ObjectKey;
use serde_json::{Value as Json, json};

use super::real::RealCluster;
use crate::framework::{Action, Executor, Plan};
use crate::{Config, Signer, Signers};

fn make<K: Object>(object: Json) -> K {
    serde_json::from_value(object).unwrap()
}

fn template(labels: &Json, image: &str) -> Json {
    json!({"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}]}})
}

async fn create<K: Object>(cluster: &RealCluster, object: Json) -> K {
    cluster.client.create(&make::<K>(object)).await.unwrap()
}

async fn change<K: Object>(cluster: &RealCluster, key: &str, change: Json) {
    let key = match key.split_once('/') {
        Some((namespace, name)) => ObjectKey::namespaced(namespace, name),
        None => ObjectKey::cluster(key),
    };
    cluster.client.patch::<K>(&key, "", &Patch::Merge(change)).await.unwrap();
}

async fn remove<K: Object>(cluster: &RealCluster, key: &str) {
    let key = match key.split_once('/') {
        Some((namespace, name)) => ObjectKey::namespaced(namespace, name),
        None => ObjectKey::cluster(key),
    };
    cluster.client.delete::<K>(&key, &DeleteOptions::default()).await.unwrap();
}

fn config() -> Config {
    Config {
        cluster_cidrs: vec!["10.42.0.0/16".parse().unwrap()],
        cluster_dns: vec!["10.43.0.10".parse().unwrap()],
        root_ca: Some("PEM".into()),
        node_monitor_grace: SignedDuration::from_secs(2),
        ..Config::default()
    }
}

/// Workloads of all kinds, that grow, shrink, change and go, adopt and let go.
async fn workloads(cluster: &RealCluster) {
    let labels = |name: &str| json!({"app": name});
    let selector = |name: &str| json!({"matchLabels": labels(name)});
    // Orphans to adopt.
    for (name, of) in [("orphan-a", "set"), ("orphan-b", "rc"), ("orphan-c", "daemon")] {
        let mut orphan = template(&labels(of), "i");
        orphan["metadata"]["name"] = name.into();
        orphan["metadata"]["namespace"] = "default".into();
        create::<Pod>(cluster, orphan).await;
    }
    let mut orphan = json!({"metadata": {"name": "orphan", "namespace": "default", "labels": labels("web")}});
    orphan["spec"] =
        json!({"replicas": 0, "selector": selector("web"), "template": template(&labels("web"), "old")});
    create::<ReplicaSet>(cluster, orphan).await;
    create::<Deployment>(cluster, json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"replicas": 2, "revisionHistoryLimit": 0, "selector": selector("web"), "strategy": {"type": "Recreate"},
                 "template": template(&labels("web"), "one")},
    })).await;
    create::<ReplicaSet>(
        cluster,
        json!({
            "metadata": {"name": "set", "namespace": "default"},
            "spec": {"replicas": 2, "selector": selector("set"), "template": template(&labels("set"), "i")},
        }),
    )
    .await;
    create::<ReplicationController>(
        cluster,
        json!({
            "metadata": {"name": "rc", "namespace": "default"},
            "spec": {"replicas": 2, "template": template(&labels("rc"), "i")},
        }),
    )
    .await;
    create::<DaemonSet>(
        cluster,
        json!({
            "metadata": {"name": "daemon", "namespace": "default"},
            "spec": {"selector": selector("daemon"), "template": template(&labels("daemon"), "one")},
        }),
    )
    .await;
    cluster
        .log
        .granted(&[
            "deployment-controller create replicasets",
            "deployment-controller update deployments/status",
            "deployment-controller patch replicasets",
            "deployment-controller get deployments",
            "replicaset-controller create pods",
            "replicaset-controller update replicasets/status",
            "replicaset-controller patch pods",
            "replicaset-controller get replicasets",
            "replication-controller create pods",
            "replication-controller update replicationcontrollers/status",
            "replication-controller patch pods",
            "replication-controller get replicationcontrollers",
            "daemon-set-controller create controllerrevisions",
            "daemon-set-controller create pods",
            "daemon-set-controller update daemonsets/status",
            "daemon-set-controller patch pods",
            "daemon-set-controller get daemonsets",
        ])
        .await;
    let smaller = json!({"spec": {"replicas": 1}});
    change::<ReplicaSet>(cluster, "default/set", smaller.clone()).await;
    change::<ReplicationController>(cluster, "default/rc", smaller.clone()).await;
    change::<Deployment>(cluster, "default/web", smaller).await;
    change::<DaemonSet>(
        cluster,
        "default/daemon",
        json!({"spec": {"template": template(&labels("daemon"), "two")}}),
    )
    .await;
    cluster
        .log
        .granted(&[
            "deployment-controller update replicasets",
            "replicaset-controller delete pods",
            "replication-controller delete pods",
            "daemon-set-controller delete pods",
            "deployment-controller create events",
            "replicaset-controller create events",
            "replication-controller create events",
            "daemon-set-controller create events",
        ])
        .await;
    // When the rollout is complete, the empty ReplicaSet that was adopted is beyond the history.
    for pod in cluster.client.list::<Pod>("default", &ListOptions::labels("app=web")).await.unwrap().items {
        cluster.run_pod(&client::key_of(&*pod)).await;
    }
    cluster.log.granted(&["deployment-controller delete replicasets"]).await;
}

/// Services with pods, with hand-made endpoints and with load balancers.
async fn services(cluster: &RealCluster) {
    create::<Service>(
        cluster,
        json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "set"}, "ports": [{"port": 80}], "type": "LoadBalancer"},
        }),
    )
    .await;
    create::<Service>(
        cluster,
        json!({
            "metadata": {"name": "manual", "namespace": "default"}, "spec": {"ports": [{"port": 80}]},
        }),
    )
    .await;
    create::<Endpoints>(
        cluster,
        json!({
            "metadata": {"name": "manual", "namespace": "default"},
            "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 80}]}],
        }),
    )
    .await;
    cluster
        .log
        .granted(&[
            "endpoint-controller create endpoints",
            "endpointslice-controller create endpointslices",
            "endpointslicemirroring-controller create endpointslices",
            "clusterdns-controller create services",
        ])
        .await;
    let pods = cluster.client.list::<Pod>("default", &ListOptions::labels("app=set")).await.unwrap();
    for pod in pods.items {
        bind(cluster, &pod, "n1").await;
        cluster.run_pod(&client::key_of(&*pod)).await;
    }
    cluster
        .log
        .granted(&[
            "endpoint-controller update endpoints",
            "endpointslice-controller update endpointslices",
            "service-controller update services/status",
        ])
        .await;
    remove::<Endpoints>(cluster, "default/manual").await;
    cluster.log.granted(&["endpointslicemirroring-controller delete endpointslices"]).await;
    // An address that no Service has, and a Service whose address is gone.
    let all = cluster.client.list::<IPAddress>("", &ListOptions::default()).await.unwrap();
    let of_manual = all.items.iter().find(|ip| ip.spec.parent_ref.name == "manual").unwrap();
    remove::<IPAddress>(cluster, of_manual.metadata.name.as_deref().unwrap()).await;
    create::<ServiceCIDR>(
        cluster,
        json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["10.99.0.0/24"]}}),
    )
    .await;
    cluster
        .log
        .granted(&[
            "service-cidrs-controller patch servicecidrs",
            "service-cidrs-controller patch servicecidrs/status",
            "ipallocator-repair-controller create ipaddresses",
        ])
        .await;
    let quota =
        json!({"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": {"services": "100"}}});
    create::<ResourceQuota>(cluster, quota).await;
    cluster.log.granted(&["resourcequota-controller update resourcequotas/status"]).await;
    remove::<Service>(cluster, "default/web").await;
}

async fn bind(cluster: &RealCluster, pod: &Pod, node: &str) {
    let binding = json!({"metadata": {"name": pod.metadata.name}, "target": {"kind": "Node", "name": node}});
    let key = client::key_of(pod);
    let _: Json = cluster.client.create_subresource::<Pod, _, _>(&key, "binding", &binding).await.unwrap();
}

/// Nodes that come, fall silent and go, and pods without one.
async fn nodes(cluster: &RealCluster) {
    create::<Node>(cluster, json!({"metadata": {"name": "n1"}})).await;
    let ready = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
        "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}],
    }});
    let key = ObjectKey::cluster("n1");
    cluster.client.patch::<Node>(&key, "status", &Patch::Merge(ready)).await.unwrap();
    cluster.log.granted(&["node-controller patch nodes"]).await;
}

/// What happens to a silent node.
async fn silence(cluster: &RealCluster) {
    let intolerant = json!({
        "metadata": {"name": "intolerant", "namespace": "default"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "i"}], "tolerations": [
            {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}]},
    });
    create::<Pod>(cluster, intolerant).await;
    cluster.run_pod(&ObjectKey::namespaced("default", "intolerant")).await;
    cluster
        .log
        .granted(&[
            "node-controller update nodes/status",
            "node-controller patch pods/status",
            "node-controller delete pods",
            "node-controller create events",
        ])
        .await;
    // One that was deleted before it had a node.
    let mut held = template(&json!({}), "i");
    held["metadata"] = json!({"name": "held", "namespace": "default", "finalizers": ["test/hold"]});
    create::<Pod>(cluster, held).await;
    remove::<Pod>(cluster, "default/held").await;
    cluster.log.granted(&["pod-garbage-collector delete pods"]).await;
    change::<Pod>(cluster, "default/held", json!({"metadata": {"finalizers": null}})).await;
}

/// Namespaces, and what each has.
async fn namespaces(cluster: &RealCluster) {
    create::<Namespace>(cluster, json!({"metadata": {"name": "shop"}})).await;
    cluster
        .log
        .granted(&[
            "service-account-controller create serviceaccounts",
            "root-ca-cert-publisher create configmaps",
        ])
        .await;
    let tampered = json!({"data": {"ca.crt": "evil"}});
    let account = ObjectKey::namespaced("shop", "kube-root-ca.crt");
    cluster.until_one::<ConfigMap>("the authority", &account, |_| true).await;
    change::<ConfigMap>(cluster, "shop/kube-root-ca.crt", tampered).await;
    cluster.log.granted(&["root-ca-cert-publisher update configmaps"]).await;
    let pod = ObjectKey::namespaced("shop", "default");
    cluster.until_one::<ServiceAccount>("the account", &pod, |_| true).await;
    let mut pod = template(&json!({}), "i");
    pod["metadata"] = json!({"name": "p", "namespace": "shop"});
    create::<Pod>(cluster, pod).await;
    remove::<Namespace>(cluster, "shop").await;
    cluster
        .log
        .granted(&[
            "namespace-controller list configmaps",
            "namespace-controller deletecollection pods",
            "namespace-controller update namespaces/status",
            "namespace-controller update namespaces/finalize",
        ])
        .await;
}

/// Tokens, their signatures, and certificates.
async fn credentials(cluster: &RealCluster) {
    let token = |id: &str, expiration: &str| {
        json!({
            "metadata": {"name": format!("bootstrap-token-{id}"), "namespace": "kube-system"}, "type": "bootstrap.kubernetes.io/token",
            "stringData": {"token-id": id, "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true", "expiration": expiration},
        })
    };
    create::<ConfigMap>(cluster, json!({"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": "x"}})).await;
    create::<Secret>(cluster, token("abcdef", "")).await;
    create::<Secret>(cluster, token("fedcba", "2020-01-01T00:00:00Z")).await;
    cluster.log.granted(&["bootstrap-signer update configmaps", "token-cleaner delete secrets"]).await;
    let (request, key) = crate::certificates::tests::pkcs10("system:node:n9", "system:nodes", &[]);
    drop(key);
    create::<CertificateSigningRequest>(cluster, json!({
        "metadata": {"name": "csr"},
        "spec": {
            "request": k8s_openapi::ByteString(request.into_bytes()), "usages": ["digital signature", "client auth"],
            "signerName": "kubernetes.io/kube-apiserver-client-kubelet",
        },
    })).await;
    cluster
        .log
        .granted(&[
            "certificate-controller create subjectaccessreviews",
            "certificate-controller list certificatesigningrequests",
            "certificate-controller update certificatesigningrequests/approval",
            "certificate-controller update certificatesigningrequests/status",
        ])
        .await;
}

/// Owners that go, with their dependents and without.
/// Roles that are made of others, of which one goes again.
async fn roles(cluster: &RealCluster) {
    let rule =
        |resource: &str| json!([{"apiGroups": ["example.com"], "verbs": ["get"], "resources": [resource]}]);
    let label = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    create::<ClusterRole>(
        cluster,
        json!({"metadata": {"name": "part", "labels": label}, "rules": rule("widgets")}),
    )
    .await;
    let has = |role: &ClusterRole| {
        role.rules.iter().flatten().any(|rule| {
            rule.resources
                .as_ref()
                .is_some_and(|resources| resources.iter().any(|resource| resource == "widgets"))
        })
    };
    // By way of each other.
    for name in ["view", "edit", "admin"] {
        cluster.until_one::<ClusterRole>("the gathered rule", &ObjectKey::cluster(name), has).await;
    }
    let key = ObjectKey::cluster("view");
    let view = cluster.client.get::<ClusterRole>(&key).await.unwrap();
    remove::<ClusterRole>(cluster, "part").await;
    for name in ["view", "edit", "admin"] {
        cluster
            .until_one::<ClusterRole>("the end of the rule", &ObjectKey::cluster(name), |role| !has(role))
            .await;
    }
    let after = cluster.client.get::<ClusterRole>(&key).await.unwrap();
    assert_eq!(after.rules.unwrap().len(), view.rules.unwrap().len() - 1);
}

async fn garbage(cluster: &RealCluster) {
    let orphan = DeleteOptions { propagation: Some(Propagation::Orphan), ..DeleteOptions::default() };
    let key = ObjectKey::namespaced("default", "set");
    cluster.client.delete::<ReplicaSet>(&key, &orphan).await.unwrap();
    remove::<Deployment>(cluster, "default/web").await;
    cluster
        .log
        .granted(&[
            "generic-garbage-collector get replicasets",
            "generic-garbage-collector delete replicasets",
            "generic-garbage-collector patch pods",
            "generic-garbage-collector patch replicasets",
        ])
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_of_each_controller_suffices() {
    let server = Arc::new(TestServer::start().await);
    let lifetime = SignedDuration::from_hours(1);
    let authority = &server.pki.client;
    let signer = Arc::new(Signer::new(authority.certificate(), authority.key(), lifetime).unwrap());
    let signers = Signers { client: Arc::clone(&signer), kubelet_serving: signer };
    let cluster = RealCluster::over(server, Config { signers: Some(signers), ..config() }).await;
    let account = ObjectKey::namespaced("default", "default");
    cluster.until_one::<ServiceAccount>("the account of pods", &account, |_| true).await;
    nodes(&cluster).await;
    workloads(&cluster).await;
    services(&cluster).await;
    namespaces(&cluster).await;
    credentials(&cluster).await;
    roles(&cluster).await;
    silence(&cluster).await;
    garbage(&cluster).await;
    cluster
        .until::<EndpointSlice>("the end of a Service's slices", |slices| {
            slices.iter().all(|slice| !slice.metadata.name.as_deref().unwrap_or_default().starts_with("web-"))
        })
        .await;
    // All informers read under an identity that may read, and nothing was refused to anybody.
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
}

/// Rights that the test above does not exercise: they need more time, or a broken cluster.
#[tokio::test]
async fn rights_for_rare_cases_are_there() {
    use apiserver::authz::{Attributes, Target};
    let server = TestServer::start().await;
    for (account, verb, group, resource, subresource) in [
        ("disruption-controller", "patch", "", "pods", "status"),
        ("disruption-controller", "get", "example.com", "fleets", "scale"),
        ("pod-garbage-collector", "get", "", "nodes", ""),
        ("pod-garbage-collector", "patch", "", "pods", "status"),
        ("certificate-controller", "delete", "certificates.k8s.io", "certificatesigningrequests", ""),
        ("ipallocator-repair-controller", "delete", "networking.k8s.io", "ipaddresses", ""),
        ("ipallocator-repair-controller", "create", "", "events", ""),
        ("daemon-set-controller", "delete", "apps", "controllerrevisions", ""),
        ("daemon-set-controller", "update", "apps", "controllerrevisions", ""),
        ("daemon-set-controller", "patch", "apps", "controllerrevisions", ""),
        ("statefulset-controller", "delete", "apps", "controllerrevisions", ""),
        ("statefulset-controller", "update", "apps", "controllerrevisions", ""),
        ("statefulset-controller", "patch", "apps", "controllerrevisions", ""),
        ("statefulset-controller", "get", "apps", "statefulsets", ""),
        ("endpoint-controller", "delete", "", "endpoints", ""),
        ("endpointslice-controller", "delete", "discovery.k8s.io", "endpointslices", ""),
        ("endpointslice-controller", "create", "", "events", ""),
        ("endpointslicemirroring-controller", "update", "discovery.k8s.io", "endpointslices", ""),
        ("clusterdns-controller", "create", "discovery.k8s.io", "endpointslices", ""),
        ("clusterdns-controller", "delete", "discovery.k8s.io", "endpointslices", ""),
    ] {
        let user = apiserver::user::User::service_account("kube-system", account, "");
        let target =
            Target::Resource { group, version: "v1", resource, subresource, namespace: "default", name: "x" };
        let allowed = server.authorizer.authorize(&Attributes::new(&user, verb, target)).await.is_allowed();
        assert!(allowed, "{account} {verb} {resource}/{subresource}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_controller_without_a_rule_fails_for_all_to_see() {
    let server = Arc::new(TestServer::start().await);
    let (group, name) = ("rbac.authorization.k8s.io", "system:controller:replication-controller");
    let mut role = server.get(group, "clusterroles", "", name).await.unwrap();
    let rules: Vec<object::Value> = role
        .get("rules")
        .items()
        .filter(|rule| !rule.get("resources").items().any(|resource| resource.as_str() == Some("pods")))
        .cloned()
        .collect();
    role.set("rules", rules);
    let path = format!("/apis/{group}/v1/clusterroles/{name}");
    server.json("PUT", &path, &role).await.unwrap();
    let cluster = RealCluster::over(server, Config::default()).await;
    create::<ReplicationController>(
        &cluster,
        json!({
            "metadata": {"name": "rc", "namespace": "default"},
            "spec": {"replicas": 1, "template": template(&json!({"app": "rc"}), "i")},
        }),
    )
    .await;
    let why = "pods is forbidden: User \"system:serviceaccount:kube-system:replication-controller\" cannot create resource \
               \"pods\" in API group \"\" in the namespace \"default\"";
    let shown = |rc: &ReplicationController| {
        let mut conditions = rc.status.iter().flat_map(|status| status.conditions.iter().flatten());
        conditions.any(|condition| condition.message.as_deref() == Some(why))
    };
    cluster.until_one("the condition", &ObjectKey::namespaced("default", "rc"), shown).await;
    let told = |events: &[Arc<Event>]| {
        events.iter().any(|event| event.message.as_deref() == Some(&*format!("Error creating: {why}")))
    };
    cluster.until::<Event>("the event", told).await;
    let refused = cluster.log.refused();
    assert!(
        !refused.is_empty()
            && refused.iter().all(|line| line.starts_with("replication-controller create pods: ")),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_eviction_is_an_action() {
    let cluster = RealCluster::start(Config::default()).await;
    let mut pod = template(&json!({}), "i");
    pod["metadata"] = json!({"name": "p", "namespace": "default"});
    let pod = create::<Pod>(&cluster, pod).await;
    let recorder = client::Recorder::start(cluster.client.clone(), "test", "");
    let executor = Executor::new(cluster.client.clone(), recorder);
    let other = Pod {
        metadata: {
            let mut meta = pod.metadata.clone();
            meta.uid = Some("other".into());
            meta
        },
        ..pod.clone()
    };
    for (pod, goes) in [(&other, false), (&pod, true)] {
        let mut plan = Plan::default();
        plan.then(Action::evict(&crate::pods::lean(pod)));
        let failed = executor.failures(plan).await;
        assert_eq!(failed.is_empty(), goes, "{failed:?}");
    }
    cluster.until::<Pod>("its end", <[_]>::is_empty).await;
    tokio::time::timeout(Duration::from_secs(10), cluster.log.granted(&["admin create pods/eviction"]))
        .await
        .unwrap();
}
