//! The requirements of the conformance tests of StatefulSets, on the real API server. The tests play the part of the nodes.

use std::sync::Arc;

use client::{DeleteOptions, ListOptions, Patch, Propagation, Request, ResourceType, Target, Verb};
use k8s_openapi::api::apps::v1::{ControllerRevision, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};
use object::ObjectKey;
use serde_json::{Value as Json, json};

use super::real::RealCluster;
use crate::Config;

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced("default", name)
}

/// Creates a set of the name `ss`, with more of its spec.
async fn create(cluster: &RealCluster, replicas: i32, more: Json) {
    let mut set = json!({
        "metadata": {"name": "ss", "namespace": "default"},
        "spec": {
            "replicas": replicas, "serviceName": "test", "selector": {"matchLabels": {"app": "ss"}},
            "template": {"metadata": {"labels": {"app": "ss"}}, "spec": {"containers": [{"name": "c", "image": "one"}]}},
        },
    });
    for (field, value) in more.as_object().unwrap() {
        set["spec"][field] = value.clone();
    }
    let set: StatefulSet = serde_json::from_value(set).unwrap();
    cluster.client.create(&set).await.unwrap();
}

async fn patch(cluster: &RealCluster, subresource: &str, change: Json) {
    let resource = ResourceType::of::<StatefulSet>();
    cluster.client.patch_object(&resource, &key("ss"), subresource, &Patch::Strategic(change)).await.unwrap();
}

fn image(image: &str) -> Json {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})
}

async fn set_ready(cluster: &RealCluster, pod: &str, is_ready: bool) {
    if is_ready {
        return cluster.run_pod(&key(pod)).await;
    }
    let status =
        json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}]}});
    cluster.client.patch::<Pod>(&key(pod), "status", &Patch::Strategic(status)).await.unwrap();
}

/// The set's pods, as `NAME IMAGE`.
fn shown(pods: &[Arc<Pod>]) -> Vec<String> {
    let image = |pod: &Pod| pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap();
    let mut shown: Vec<_> =
        pods.iter().map(|pod| format!("{} {}", pod.metadata.name.as_ref().unwrap(), image(pod))).collect();
    shown.sort();
    shown
}

async fn until_pods(cluster: &RealCluster, wanted: &[&str]) {
    cluster.until::<Pod>(&format!("the pods {wanted:?}"), |pods| shown(pods) == wanted).await;
}

/// Waits until the controller has looked at the present spec, and the status is as wanted.
async fn until_status(
    cluster: &RealCluster,
    what: &str,
    wanted: impl Fn(&StatefulSetStatus) -> bool,
) -> StatefulSetStatus {
    let is_so = |set: &StatefulSet| {
        let status = set.status.clone().unwrap_or_default();
        status.observed_generation == set.metadata.generation && wanted(&status)
    };
    cluster.until_one(what, &key("ss"), is_so).await.status.clone().unwrap()
}

/// Runs the pods until so many of the present template are ready.
async fn until_updated(cluster: &RealCluster, image: &str, ordinals: &[i32]) -> StatefulSetStatus {
    for ordinal in ordinals {
        let (name, wanted) = (format!("ss-{ordinal}"), format!("ss-{ordinal} {image}"));
        cluster.until::<Pod>(&wanted, |pods| shown(pods).contains(&wanted)).await;
        set_ready(cluster, &name, true).await;
    }
    let is_complete = |set: &StatefulSet| {
        let status = set.status.clone().unwrap_or_default();
        let all = set.spec.replicas;
        status.observed_generation == set.metadata.generation
            && status.current_revision == status.update_revision
            && [Some(status.replicas), status.updated_replicas, status.ready_replicas] == [all; 3]
    };
    let complete = cluster.until_one("the end of the update", &key("ss"), is_complete).await;
    complete.status.clone().unwrap()
}

async fn uid(cluster: &RealCluster, pod: &str) -> Option<String> {
    cluster.client.get::<Pod>(&key(pod)).await.unwrap().metadata.uid.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stateful_sets_scale_in_order_and_halt() {
    let cluster = RealCluster::start(Config::default()).await;
    create(&cluster, 3, json!({})).await;
    until_pods(&cluster, &["ss-0 one"]).await;
    set_ready(&cluster, "ss-0", false).await;
    until_status(&cluster, "one that is not ready", |status| {
        status.replicas == 1 && status.ready_replicas.unwrap_or(0) == 0
    })
    .await;
    until_pods(&cluster, &["ss-0 one"]).await;
    set_ready(&cluster, "ss-0", true).await;
    until_pods(&cluster, &["ss-0 one", "ss-1 one"]).await;
    set_ready(&cluster, "ss-1", true).await;
    until_pods(&cluster, &["ss-0 one", "ss-1 one", "ss-2 one"]).await;
    set_ready(&cluster, "ss-2", true).await;
    until_status(&cluster, "three that are ready", |status| status.available_replicas == Some(3)).await;

    // Nothing goes while those before are not ready.
    for pod in ["ss-0", "ss-1", "ss-2"] {
        set_ready(&cluster, pod, false).await;
    }
    until_status(&cluster, "none ready", |status| status.ready_replicas.unwrap_or(0) == 0).await;
    patch(&cluster, "scale", json!({"spec": {"replicas": 0}})).await;
    until_status(&cluster, "a look at the new size", |status| status.replicas == 3).await;
    until_pods(&cluster, &["ss-0 one", "ss-1 one", "ss-2 one"]).await;
    for pod in ["ss-0", "ss-1", "ss-2"] {
        set_ready(&cluster, pod, true).await;
    }
    until_pods(&cluster, &[]).await;
    until_status(&cluster, "none", |status| status.replicas == 0).await;

    let events = cluster.client.list::<Event>("default", &ListOptions::default()).await.unwrap().items;
    let has = |reason: &str, message: &str| {
        events
            .iter()
            .any(|event| event.reason.as_deref() == Some(reason) && event.message.as_deref() == Some(message))
    };
    assert!(has("SuccessfulCreate", "create Pod ss-0 in StatefulSet ss successful"), "{events:#?}");
    assert!(has("SuccessfulDelete", "delete Pod ss-2 in StatefulSet ss successful"), "{events:#?}");
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bursts_of_stateful_sets_wait_for_nothing() {
    let cluster = RealCluster::start(Config::default()).await;
    create(&cluster, 2, json!({"podManagementPolicy": "Parallel"})).await;
    until_pods(&cluster, &["ss-0 one", "ss-1 one"]).await;
    set_ready(&cluster, "ss-0", false).await;
    set_ready(&cluster, "ss-1", false).await;
    patch(&cluster, "scale", json!({"spec": {"replicas": 4}})).await;
    until_pods(&cluster, &["ss-0 one", "ss-1 one", "ss-2 one", "ss-3 one"]).await;
    patch(&cluster, "scale", json!({"spec": {"replicas": 0}})).await;
    until_pods(&cluster, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stateful_sets_roll_forward_and_back() {
    let cluster = RealCluster::start(Config::default()).await;
    create(&cluster, 3, json!({})).await;
    let first = until_updated(&cluster, "one", &[0, 1, 2]).await;
    assert_eq!(first.current_replicas, Some(3));

    patch(&cluster, "", image("two")).await;
    let begun = until_status(&cluster, "a new revision", |status| {
        status.update_revision != first.update_revision && status.updated_replicas == Some(1)
    })
    .await;
    assert_eq!(begun.current_revision, first.current_revision);
    until_pods(&cluster, &["ss-0 one", "ss-1 one", "ss-2 two"]).await;
    let second = until_updated(&cluster, "two", &[2, 1, 0]).await;
    assert_eq!(second.current_replicas, Some(3));

    patch(&cluster, "", image("one")).await;
    let back = until_updated(&cluster, "one", &[2, 1, 0]).await;
    assert_eq!(back.current_revision, first.current_revision, "the old revision is used again");
    let revisions =
        cluster.client.list::<ControllerRevision>("default", &ListOptions::default()).await.unwrap();
    let mut numbers: Vec<_> = revisions.items.iter().map(|revision| revision.revision).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [Some(2), Some(3)]);
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stateful_sets_update_canaries_and_in_phases() {
    let cluster = RealCluster::start(Config::default()).await;
    let strategy = |partition: i32| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}});
    create(&cluster, 3, strategy(3)).await;
    let first = until_updated(&cluster, "one", &[0, 1, 2]).await;
    patch(&cluster, "", image("two")).await;
    until_status(&cluster, "a revision for nobody", |status| status.update_revision != first.update_revision)
        .await;
    until_pods(&cluster, &["ss-0 one", "ss-1 one", "ss-2 one"]).await;

    // The canary.
    patch(&cluster, "", json!({"spec": strategy(2)})).await;
    until_pods(&cluster, &["ss-0 one", "ss-1 one", "ss-2 two"]).await;
    set_ready(&cluster, "ss-2", true).await;
    until_status(&cluster, "one updated", |status| {
        status.ready_replicas == Some(3)
            && status.updated_replicas == Some(1)
            && status.current_replicas == Some(2)
    })
    .await;
    // Each pod comes back as it was.
    for (pod, old) in [("ss-0", uid(&cluster, "ss-0").await), ("ss-2", uid(&cluster, "ss-2").await)] {
        cluster.client.delete::<Pod>(&key(pod), &DeleteOptions::default()).await.unwrap();
        cluster.until_one::<Pod>("another", &key(pod), |pod| pod.metadata.uid != old).await;
        set_ready(&cluster, pod, true).await;
    }
    until_pods(&cluster, &["ss-0 one", "ss-1 one", "ss-2 two"]).await;

    patch(&cluster, "", json!({"spec": strategy(1)})).await;
    until_pods(&cluster, &["ss-0 one", "ss-1 two", "ss-2 two"]).await;
    set_ready(&cluster, "ss-1", true).await;
    patch(&cluster, "", json!({"spec": strategy(0)})).await;
    until_updated(&cluster, "two", &[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scale_of_stateful_sets_is_read_and_set() {
    let cluster = RealCluster::start(Config::default()).await;
    create(&cluster, 1, json!({})).await;
    until_updated(&cluster, "one", &[0]).await;
    patch(&cluster, "scale", json!({"spec": {"replicas": 2}})).await;
    until_pods(&cluster, &["ss-0 one", "ss-1 one"]).await;
    until_status(&cluster, "two", |status| status.replicas == 2).await;
    let target = Target::object(ResourceType::of::<StatefulSet>(), &key("ss")).subresource("scale");
    let answer = cluster.client.connection().call(Request::new(Verb::Get, target)).await.unwrap();
    let scale = json!(answer.body.decode::<Scale>("the scale").unwrap());
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(2), &json!(2)));
    assert_eq!(scale["status"]["selector"], "app=ss");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_stateful_sets_that_are_over_are_replaced() {
    let cluster = RealCluster::start(Config::default()).await;
    create(&cluster, 1, json!({})).await;
    for phase in ["Failed", "Succeeded"] {
        until_pods(&cluster, &["ss-0 one"]).await;
        let old = uid(&cluster, "ss-0").await;
        let over = json!({"status": {"phase": phase, "reason": "Evicted"}});
        cluster.client.patch::<Pod>(&key("ss-0"), "status", &Patch::Strategic(over)).await.unwrap();
        cluster.until_one::<Pod>("another", &key("ss-0"), |pod| pod.metadata.uid != old).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_of_stateful_sets_outlive_their_pods() {
    let cluster = RealCluster::start(Config::default()).await;
    let claim = json!({
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    });
    create(&cluster, 1, json!({"volumeClaimTemplates": [claim]})).await;
    until_pods(&cluster, &["ss-0 one"]).await;
    let claim = cluster.client.get::<PersistentVolumeClaim>(&key("data-ss-0")).await.unwrap();
    assert_eq!(json!(claim.metadata.labels), json!({"app": "ss"}));
    let pod = cluster.client.get::<Pod>(&key("ss-0")).await.unwrap();
    let volumes = json!(pod.spec.as_ref().unwrap().volumes);
    assert_eq!(volumes[0], json!({"name": "data", "persistentVolumeClaim": {"claimName": "data-ss-0"}}));

    let owned = |owner: Option<&'static str>| {
        move |claim: &PersistentVolumeClaim| {
            let owners = claim.metadata.owner_references.as_deref().unwrap_or_default();
            owners.first().map(|owner| owner.kind.as_str()) == owner
        }
    };
    let policy =
        |deleted: &str| json!({"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted}}});
    patch(&cluster, "", policy("Delete")).await;
    set_ready(&cluster, "ss-0", true).await;
    cluster.until_one("its owner", &key("data-ss-0"), owned(Some("StatefulSet"))).await;
    patch(&cluster, "", policy("Retain")).await;
    cluster.until_one("no owner", &key("data-ss-0"), owned(None)).await;

    patch(&cluster, "scale", json!({"spec": {"replicas": 0}})).await;
    until_pods(&cluster, &[]).await;
    let kept = cluster.client.get::<PersistentVolumeClaim>(&key("data-ss-0")).await.unwrap();
    assert_eq!(kept.metadata.uid, claim.metadata.uid);
    cluster
        .log
        .granted(&[
            "statefulset-controller create persistentvolumeclaims",
            "statefulset-controller update persistentvolumeclaims",
            "statefulset-controller create controllerrevisions",
            "statefulset-controller create pods",
            "statefulset-controller delete pods",
            "statefulset-controller update statefulsets/status",
            "statefulset-controller create events",
        ])
        .await;
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stateful_sets_leave_orphans_and_adopt_them() {
    let cluster = RealCluster::start(Config::default()).await;
    create(&cluster, 1, json!({})).await;
    let first = until_updated(&cluster, "one", &[0]).await;
    let pod = uid(&cluster, "ss-0").await;
    let orphan = DeleteOptions { propagation: Some(Propagation::Orphan), ..DeleteOptions::default() };
    cluster.client.delete::<StatefulSet>(&key("ss"), &orphan).await.unwrap();
    cluster.until::<StatefulSet>("its end", <[_]>::is_empty).await;
    let is_orphan = |pod: &Pod| pod.metadata.owner_references.as_deref().unwrap_or_default().is_empty();
    cluster.until_one("an orphan", &key("ss-0"), is_orphan).await;

    create(&cluster, 1, json!({})).await;
    let second = until_updated(&cluster, "one", &[0]).await;
    assert_eq!(uid(&cluster, "ss-0").await, pod, "the same pod");
    assert_eq!(second.current_revision, first.current_revision, "its history too");

    let unlabelled = json!({"metadata": {"labels": {"app": null}}});
    cluster.client.patch::<Pod>(&key("ss-0"), "", &Patch::Merge(unlabelled)).await.unwrap();
    cluster.until_one("that it is let go", &key("ss-0"), is_orphan).await;
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
}
