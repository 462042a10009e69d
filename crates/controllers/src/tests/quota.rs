//! Quotas with the real API server: what it admits is charged, and the controller counts what becomes free.

use std::collections::BTreeMap;
use std::sync::Arc;

use apiserver::catalogue::{Definition, Version};
use apiserver::testing::TestServer;
use client::{DeleteOptions, Object, Patch};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, ResourceQuota, Service, ServiceAccount};
use object::ObjectKey;
use serde_json::{Value as Json, json};

use super::real::RealCluster;
use crate::Config;

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced("quotas", name)
}

/// Waits until what is used is this, in the order of names.
async fn used(cluster: &RealCluster, name: &str, expected: &str) {
    let shown = |quota: &ResourceQuota| {
        let status = quota.status.clone().unwrap_or_default();
        let used: BTreeMap<_, _> = status.used.unwrap_or_default();
        let used: Vec<String> = used.iter().map(|(name, amount)| format!("{name}={}", amount.0)).collect();
        used.join(" ")
    };
    cluster.until_one::<ResourceQuota>(expected, &key(name), |quota| shown(quota) == expected).await;
}

async fn create<K: Object>(cluster: &RealCluster, name: &str, spec: Json) -> Result<K, client::ClientError> {
    let object = json!({"metadata": {"name": name, "namespace": "quotas"}, "spec": spec});
    cluster.client.create::<K>(&serde_json::from_value(object).unwrap()).await
}

async fn delete<K: Object>(cluster: &RealCluster, name: &str) {
    let now = DeleteOptions { grace_period_seconds: Some(0), ..DeleteOptions::default() };
    cluster.client.delete::<K>(&key(name), &now).await.unwrap();
}

fn pod(cpu: &str) -> Json {
    json!({"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": cpu}}}]})
}

async fn cluster() -> RealCluster {
    let server = Arc::new(TestServer::start().await);
    let any = object::value!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let version = Version {
        name: "v1".into(),
        served: true,
        schema: any,
        has_status: false,
        columns: Vec::new(),
        selectable: Vec::new(),
        scale: None,
        deprecation: None,
    };
    let gadgets = Definition {
        group: "example.com".into(),
        plural: "gadgets".into(),
        singular: "gadget".into(),
        kind: "Gadget".into(),
        list_kind: "GadgetList".into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope: schema::Scope::Namespaced,
        versions: vec![version],
        stored_version: "v1".into(),
        conversion: None,
        terminating: false,
    };
    server.catalogue().add(gadgets).await.unwrap();
    let gadget = |name: &str| object::value!({"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": name}});
    server.create("", "namespaces", "", object::value!({"metadata": {"name": "quotas"}})).await.unwrap();
    for name in ["a", "b"] {
        server.json("POST", "/apis/example.com/v1/namespaces/quotas/gadgets", &gadget(name)).await.unwrap();
    }
    let cluster =
        RealCluster::over(server, Config { root_ca: Some("PEM".into()), ..Config::default() }).await;
    cluster.until_one::<ServiceAccount>("the account of pods", &key("default"), |_| true).await;
    cluster.until_one::<ConfigMap>("the root CA", &key("kube-root-ca.crt"), |_| true).await;
    cluster
}

#[tokio::test]
async fn what_is_used_follows_what_comes_and_goes() {
    let cluster = cluster().await;
    let hard = json!({"pods": "2", "cpu": "3", "services": "5", "services.nodeports": "1", "count/gadgets.example.com": "3", "configmaps": "9"});
    create::<ResourceQuota>(&cluster, "q", json!({"hard": hard})).await.unwrap();
    used(
        &cluster,
        "q",
        "configmaps=1 count/gadgets.example.com=2 cpu=0 pods=0 services=0 services.nodeports=0",
    )
    .await;
    create::<Pod>(&cluster, "a", pod("1")).await.unwrap();
    create::<Pod>(&cluster, "b", pod("500m")).await.unwrap();
    let refused = create::<Pod>(&cluster, "c", pod("1")).await.unwrap_err();
    assert!(
        refused.to_string().contains("exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"),
        "{refused}"
    );
    create::<Service>(&cluster, "s", json!({"type": "NodePort", "ports": [{"port": 1}]})).await.unwrap();
    used(
        &cluster,
        "q",
        "configmaps=1 count/gadgets.example.com=2 cpu=1500m pods=2 services=1 services.nodeports=1",
    )
    .await;
    // A pod that has ended counts no more, and neither does one that is gone.
    let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
    cluster.client.patch::<Pod>(&key("a"), "status", &ended).await.unwrap();
    used(
        &cluster,
        "q",
        "configmaps=1 count/gadgets.example.com=2 cpu=500m pods=1 services=1 services.nodeports=1",
    )
    .await;
    delete::<Pod>(&cluster, "b").await;
    let inside = Patch::Merge(json!({"spec": {"type": "ClusterIP"}}));
    cluster.client.patch::<Service>(&key("s"), "", &inside).await.unwrap();
    used(
        &cluster,
        "q",
        "configmaps=1 count/gadgets.example.com=2 cpu=0 pods=0 services=1 services.nodeports=0",
    )
    .await;
    // Limits follow the spec, and what others write into the status does not last.
    let change =
        Patch::Merge(json!({"spec": {"hard": {"pods": "7", "cpu": null, "services.nodeports": null}}}));
    cluster.client.patch::<ResourceQuota>(&key("q"), "", &change).await.unwrap();
    used(&cluster, "q", "configmaps=1 count/gadgets.example.com=2 pods=0 services=1").await;
    let lie = Patch::Merge(json!({"status": {"hard": {"pods": "1"}}}));
    cluster.client.patch::<ResourceQuota>(&key("q"), "status", &lie).await.unwrap();
    let limit =
        |quota: &ResourceQuota| quota.status.as_ref()?.hard.as_ref()?.get("pods").map(|pods| pods.0.clone());
    cluster
        .until_one::<ResourceQuota>("the limit of the spec", &key("q"), |quota| {
            limit(quota).as_deref() == Some("7")
        })
        .await;
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn a_quota_that_is_used_up_frees_what_goes() {
    let cluster = cluster().await;
    create::<ResourceQuota>(&cluster, "q", json!({"hard": {"configmaps": "4"}})).await.unwrap();
    used(&cluster, "q", "configmaps=1").await;
    for round in 0..3 {
        for index in 0..3 {
            create_map(&cluster, &format!("m{round}-{index}")).await.unwrap();
        }
        let refused = create_map(&cluster, "too-many").await.unwrap_err();
        assert!(refused.to_string().contains("exceeded quota"), "{refused}");
        used(&cluster, "q", "configmaps=4").await;
        for index in 0..3 {
            delete::<ConfigMap>(&cluster, &format!("m{round}-{index}")).await;
        }
        used(&cluster, "q", "configmaps=1").await;
    }
}

async fn create_map(cluster: &RealCluster, name: &str) -> Result<ConfigMap, client::ClientError> {
    let object = json!({"metadata": {"name": name, "namespace": "quotas"}});
    cluster.client.create::<ConfigMap>(&serde_json::from_value(object).unwrap()).await
}
