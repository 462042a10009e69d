//! Disruption budgets with the real API server: what the controller counts is what evictions may use up. The tests play
//! the part of the nodes.

use std::sync::Arc;

use apiserver::catalogue::{Definition, ScalePaths, Version};
use apiserver::testing::TestServer;
use client::{ClientError, DeleteOptions, ListOptions, Object, Patch};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Event, Pod, ServiceAccount};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use object::ObjectKey;
use serde_json::{Value as Json, json};

use super::real::RealCluster;
use super::web;
use crate::Config;

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced("default", name)
}

async fn create<K: Object>(cluster: &RealCluster, object: Json) -> K {
    cluster.client.create::<K>(&serde_json::from_value(object).unwrap()).await.unwrap()
}

async fn budget(cluster: &RealCluster, name: &str, spec: Json) {
    let mut spec = spec;
    if spec["selector"].is_null() {
        spec["selector"] = json!({"matchLabels": {"app": name}});
    }
    let budget = json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec});
    create::<PodDisruptionBudget>(cluster, budget).await;
}

/// Waits until a budget shows `healthy/desired of expected, allowed reason`, observed.
async fn shows(cluster: &RealCluster, name: &str, expected: &str) -> PodDisruptionBudgetStatus {
    let text = |budget: &PodDisruptionBudget| {
        let status = budget.status.clone().unwrap_or_default();
        let number = |number: Option<i32>| number.unwrap_or(-1);
        let (healthy, desired) = (number(status.current_healthy), number(status.desired_healthy));
        let (of, allowed) = (number(status.expected_pods), number(status.disruptions_allowed));
        let condition = status.conditions.iter().flatten().find(|one| one.type_ == "DisruptionAllowed");
        let reason = condition.map(|one| one.reason.clone()).unwrap_or_default();
        format!("{healthy}/{desired} of {of}, {allowed} {reason}")
    };
    let shown = |budget: &PodDisruptionBudget| text(budget) == expected;
    cluster.until_one(expected, &key(name), shown).await.status.clone().unwrap()
}

async fn pods(cluster: &RealCluster, app: &str) -> Vec<ObjectKey> {
    let all =
        cluster.client.list::<Pod>("default", &ListOptions::labels(format!("app={app}"))).await.unwrap();
    all.items.iter().map(|pod| client::key_of(&**pod)).collect()
}

async fn evict(cluster: &RealCluster, pod: &ObjectKey) -> Result<Json, ClientError> {
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": &*pod.name}});
    cluster.client.create_subresource::<Pod, _, _>(pod, "eviction", &eviction).await
}

async fn has_event(cluster: &RealCluster, reason: &str, message: &str) {
    let told = |events: &[Arc<Event>]| {
        events.iter().any(|event| {
            event.reason.as_deref() == Some(reason)
                && event.message.as_deref() == Some(message)
                && event.source.as_ref().and_then(|source| source.component.as_deref())
                    == Some("controllermanager")
        })
    };
    cluster.until::<Event>(message, told).await;
}

/// As `kubectl drain` does it: evict, and again while the budget refuses.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn evictions_go_on_as_replacements_become_ready() {
    let cluster = RealCluster::start(Config::default()).await;
    budget(&cluster, "web", json!({"maxUnavailable": "34%"})).await;
    let status = shows(&cluster, "web", "0/0 of 0, 0 InsufficientPods").await;
    assert_eq!(status.observed_generation, Some(1));
    has_event(&cluster, "NoPods", "No matching pods found").await;

    cluster.client.create(&web("one", 3)).await.unwrap();
    shows(&cluster, "web", "0/1 of 3, 0 InsufficientPods").await;
    cluster.until::<Pod>("three pods", |pods| pods.len() == 3).await;
    let first = pods(&cluster, "web").await;
    for pod in &first {
        cluster.run_pod(pod).await;
    }
    shows(&cluster, "web", "3/1 of 3, 2 SufficientPods").await;
    evict(&cluster, &first[0]).await.unwrap();
    evict(&cluster, &first[1]).await.unwrap();
    let refused = evict(&cluster, &first[2]).await.unwrap_err();
    assert!(
        refused.is_too_many_requests() && refused.status().unwrap().has_cause("DisruptionBudget"),
        "{refused:?}"
    );
    shows(&cluster, "web", "1/1 of 3, 0 InsufficientPods").await;

    // The replacements.
    let is_new = |pod: &&Pod| !first.contains(&client::key_of(*pod));
    let replaced = |all: &[Arc<Pod>]| all.iter().map(|pod| &**pod).filter(is_new).count() == 2;
    cluster.until::<Pod>("the replacements", replaced).await;
    for pod in pods(&cluster, "web").await.iter().filter(|pod| !first.contains(pod)) {
        cluster.run_pod(pod).await;
    }
    let status = shows(&cluster, "web", "3/1 of 3, 2 SufficientPods").await;
    assert_eq!(status.disrupted_pods, None);
    evict(&cluster, &first[2]).await.unwrap();

    // The scale counts, not the pods.
    let larger = Patch::Merge(json!({"spec": {"replicas": 6}}));
    cluster.client.patch::<Deployment>(&key("web"), "", &larger).await.unwrap();
    shows(&cluster, "web", "2/3 of 6, 0 InsufficientPods").await;
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
}

/// A pod of the given controller.
async fn owned(cluster: &RealCluster, name: &str, owner: Json) {
    held(cluster, name, owner, &[]).await;
}

/// The same, with finalizers.
async fn held(cluster: &RealCluster, name: &str, owner: Json, finalizers: &[&str]) {
    let mut owner = owner;
    owner["controller"] = true.into();
    let pod = json!({
        "metadata": {
            "name": name, "namespace": "default", "labels": {"app": "fleet"}, "ownerReferences": [owner],
            "finalizers": finalizers,
        },
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    create::<Pod>(cluster, pod).await;
    cluster.run_pod(&key(name)).await;
}

fn definition(kind: &str, scale: Option<ScalePaths>) -> Definition {
    let singular = kind.to_lowercase();
    let version = Version {
        name: "v1".to_owned(),
        served: true,
        schema: object::value!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}),
        has_status: false,
        columns: Vec::new(),
        selectable: Vec::new(),
        scale,
        deprecation: None,
    };
    Definition {
        group: "example.com".to_owned(),
        plural: format!("{singular}s"),
        list_kind: format!("{kind}List"),
        kind: kind.to_owned(),
        singular,
        short_names: Vec::new(),
        categories: Vec::new(),
        scope: schema::Scope::Namespaced,
        versions: vec![version],
        stored_version: "v1".to_owned(),
        conversion: None,
        terminating: false,
    }
}

/// Makes a custom resource, and returns a reference to it.
async fn custom(server: &TestServer, kind: &str) -> Json {
    let path = format!("/apis/example.com/v1/namespaces/default/{}s", kind.to_lowercase());
    let object = object::value!({
        "apiVersion": "example.com/v1", "kind": kind, "metadata": {"name": "it"}, "spec": {"size": 4i64}
    });
    let made = server.json("POST", &path, &object).await.unwrap();
    json!({"apiVersion": "example.com/v1", "kind": kind, "name": "it", "uid": made.str_at("metadata.uid")})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controllers_of_any_kind_have_scales_or_the_budget_says_that_it_failed() {
    let server = Arc::new(TestServer::start().await);
    let scale = ScalePaths {
        spec_replicas: ScalePaths::names(".spec.size"),
        status_replicas: ScalePaths::names(".status.size"),
        selector: None,
    };
    server.catalogue().add(definition("Fleet", Some(scale))).await.unwrap();
    server.catalogue().add(definition("Thing", None)).await.unwrap();
    let cluster = RealCluster::over(Arc::clone(&server), Config::default()).await;
    cluster.until_one::<ServiceAccount>("the account of pods", &key("default"), |_| true).await;
    budget(&cluster, "fleet", json!({"minAvailable": "50%"})).await;

    let fleet = custom(&server, "Fleet").await;
    owned(&cluster, "a", fleet.clone()).await;
    owned(&cluster, "b", fleet.clone()).await;
    owned(&cluster, "c", fleet).await;
    shows(&cluster, "fleet", "3/2 of 4, 1 SufficientPods").await;

    // A controller that has no scale, and one that does not exist.
    let thing = custom(&server, "Thing").await;
    owned(&cluster, "d", thing).await;
    let why = "things.example.com does not implement the scale subresource";
    fails(&cluster, why).await;
    let refused = evict(&cluster, &key("a")).await.unwrap_err();
    let causes = &refused.status().unwrap().details.as_ref().unwrap().causes;
    let text = format!(
        "The disruption budget fleet does not allow evicting pods currently because it failed sync: {why}"
    );
    assert_eq!(causes[0].message, text);
    remove(&cluster, "d").await;
    shows(&cluster, "fleet", "3/2 of 4, 1 SufficientPods").await;
    // The garbage collector deletes it, but it stays.
    let gone = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "gone", "uid": "u"});
    held(&cluster, "d", gone, &["example.com/stays"]).await;
    fails(&cluster, "found no controllers for pod \"d\"").await;
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
    cluster.log.granted(&["disruption-controller get fleets/scale"]).await;
}

/// Waits until the budget shows that it failed, and why.
async fn fails(cluster: &RealCluster, why: &str) {
    let status = |budget: &PodDisruptionBudget| budget.status.clone().unwrap_or_default();
    let failed = |budget: &PodDisruptionBudget| {
        let conditions = status(budget).conditions.unwrap_or_default();
        conditions.iter().any(|one| one.reason == "SyncFailed" && one.status == "False" && one.message == why)
            && status(budget).disruptions_allowed == Some(0)
    };
    cluster.until_one(why, &key("fleet"), failed).await;
    let event = format!("Failed to calculate the number of expected pods: {why}");
    has_event(cluster, "CalculateExpectedPodCountFailed", &event).await;
}

async fn remove(cluster: &RealCluster, pod: &str) {
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    cluster.client.delete::<Pod>(&key(pod), &now).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_hear_of_pods_without_controllers_and_of_several_budgets() {
    let cluster = RealCluster::start(Config::default()).await;
    budget(&cluster, "fleet", json!({"maxUnavailable": 1})).await;
    let alone = json!({
        "metadata": {"name": "alone", "namespace": "default", "labels": {"app": "fleet"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    });
    create::<Pod>(&cluster, alone).await;
    cluster.run_pod(&key("alone")).await;
    shows(&cluster, "fleet", "1/0 of 0, 0 InsufficientPods").await;
    let unmanaged =
        |events: &[Arc<Event>]| events.iter().any(|event| event.reason.as_deref() == Some("UnmanagedPods"));
    cluster.until::<Event>("the event of pods without controllers", unmanaged).await;

    budget(&cluster, "all", json!({"minAvailable": 0, "selector": {}})).await;
    shows(&cluster, "all", "1/0 of 1, 1 SufficientPods").await;
    let label = Patch::Merge(json!({"metadata": {"labels": {"more": "labels"}}}));
    cluster.client.patch::<Pod>(&key("alone"), "", &label).await.unwrap();
    let text = "Pod \"default\"/\"alone\" matches multiple PodDisruptionBudgets.  Chose \"all\" arbitrarily.";
    has_event(&cluster, "MultiplePodDisruptionBudgets", text).await;

    // A disruption that did not come, long ago.
    let stale = Patch::Strategic(json!({"status": {"conditions": [{
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "m",
        "lastTransitionTime": "2020-01-01T00:00:00Z",
    }]}}));
    cluster.client.patch::<Pod>(&key("alone"), "status", &stale).await.unwrap();
    let spared = |pod: &Pod| {
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let mut targets = conditions.filter(|one| one.type_ == "DisruptionTarget");
        targets.any(|one| one.status == "False" && one.reason.is_none() && one.message.is_none())
    };
    cluster.until_one("the end of the condition", &key("alone"), spared).await;
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
}
