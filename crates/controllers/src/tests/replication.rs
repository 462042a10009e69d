//! The requirements of the conformance tests of ReplicationControllers, on the real API server. The tests play the part
//! of the nodes.

use std::sync::Arc;

use client::{DeleteOptions, ListOptions, Patch, Propagation, ResourceType};
use k8s_openapi::api::autoscaling::v1::Scale;
use k8s_openapi::api::core::v1::{Event, Pod, ReplicationController};
use object::ObjectKey;
use serde_json::{Value as Json, json};

use super::real::RealCluster;
use crate::Config;

fn key(name: &str) -> ObjectKey {
    ObjectKey::namespaced("default", name)
}

/// A ReplicationController without a selector.
fn controller(name: &str, replicas: i32) -> ReplicationController {
    serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "template": {
            "metadata": {"labels": {"name": name}},
            "spec": {"containers": [{"name": "c", "image": "i"}]},
        }},
    }))
    .unwrap()
}

fn owners(pod: &Pod) -> Vec<&str> {
    pod.metadata.owner_references.iter().flatten().map(|owner| owner.name.as_str()).collect()
}

fn label<'p>(pod: &'p Pod, name: &str) -> Option<&'p str> {
    pod.metadata.labels.as_ref()?.get(name).map(String::as_str)
}

/// Runs the pods until this number is available, and returns the controller.
async fn available(cluster: &RealCluster, name: &str, wanted: i32) -> Arc<ReplicationController> {
    let pods = |all: &[Arc<Pod>]| {
        all.iter().filter(|pod| label(pod, "name") == Some(name)).count() == usize::try_from(wanted).unwrap()
    };
    cluster.until::<Pod>("the pods", pods).await;
    for pod in cluster.client.list::<Pod>("default", &ListOptions::default()).await.unwrap().items {
        if label(&pod, "name") == Some(name) {
            cluster.run_pod(&client::key_of(&*pod)).await;
        }
    }
    let counted = |rc: &ReplicationController| {
        let status = rc.status.clone().unwrap_or_default();
        let some = Some(wanted).filter(|wanted| *wanted > 0);
        status.replicas == wanted
            && [status.ready_replicas, status.available_replicas, status.fully_labeled_replicas] == [some; 3]
            && status.observed_generation == rc.metadata.generation
    };
    cluster.until_one("the counts", &key(name), counted).await
}

async fn patch(cluster: &RealCluster, name: &str, subresource: &str, change: Json) {
    let resource = ResourceType::of::<ReplicationController>();
    let patch = Patch::Strategic(change);
    cluster.client.patch_object(&resource, &key(name), subresource, &patch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replication_controllers_live_their_life() {
    let cluster = RealCluster::start(Config::default()).await;
    let created = cluster.client.create(&controller("rc-test", 1)).await.unwrap();
    let selector = created.spec.as_ref().unwrap().selector.clone();
    assert_eq!(selector, Some([("name".to_owned(), "rc-test".to_owned())].into()), "that of the template");
    assert_eq!(created.metadata.labels, selector);
    available(&cluster, "rc-test", 1).await;

    patch(&cluster, "rc-test", "", json!({"metadata": {"labels": {"test-rc": "patched"}}})).await;
    // Others may write the status; the controller sets it right.
    patch(&cluster, "rc-test", "status", json!({"status": {"readyReplicas": 0, "availableReplicas": 0}}))
        .await;
    available(&cluster, "rc-test", 1).await;
    patch(&cluster, "rc-test", "scale", json!({"spec": {"replicas": 2}})).await;
    let scaled = available(&cluster, "rc-test", 2).await;
    assert_eq!(scaled.metadata.labels.as_ref().unwrap()["test-rc"], "patched");
    let mut replaced = (*scaled).clone();
    replaced.metadata.resource_version = None;
    replaced.status.as_mut().unwrap().available_replicas = Some(1);
    replaced.status.as_mut().unwrap().ready_replicas = Some(1);
    cluster.client.update_status(&replaced).await.unwrap();
    available(&cluster, "rc-test", 2).await;

    let listed =
        cluster.client.list::<ReplicationController>("", &ListOptions::labels("test-rc=patched")).await;
    assert_eq!(listed.unwrap().items.len(), 1);
    let resource = ResourceType::of::<ReplicationController>();
    let background = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
    let selected = ListOptions::labels("test-rc=patched");
    cluster.client.delete_collection(&resource, "default", &background, &selected).await.unwrap();
    cluster.until::<ReplicationController>("its end", <[_]>::is_empty).await;
    cluster.until::<Pod>("the end of its pods", |pods| pods.iter().all(|pod| ends(pod))).await;
    let events = cluster.client.list::<Event>("default", &ListOptions::default()).await.unwrap().items;
    let about = |event: &&Arc<Event>| event.involved_object.kind.as_deref() == Some("ReplicationController");
    let told = events.iter().filter(about).find(|event| event.reason.as_deref() == Some("SuccessfulCreate"));
    let told = told.expect("the creation is told");
    assert!(
        told.message.as_deref().is_some_and(|text| text.starts_with("Created pod: rc-test-")),
        "{told:?}"
    );
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
}

/// A bound pod is terminated by its node, which does not exist here.
fn ends(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scale_of_replication_controllers_is_read_and_set() {
    let cluster = RealCluster::start(Config::default()).await;
    cluster.client.create(&controller("e2e-rc", 1)).await.unwrap();
    available(&cluster, "e2e-rc", 1).await;
    let resource = ResourceType::of::<ReplicationController>();
    let target = client::Target::object(resource, &key("e2e-rc")).subresource("scale");
    let read = || async {
        let request = client::Request::new(client::Verb::Get, target.clone());
        let answer = cluster.client.connection().call(request).await.unwrap();
        answer.body.decode::<Scale>("the scale").unwrap()
    };
    let mut scale = read().await;
    assert_eq!(scale.spec.as_ref().unwrap().replicas, Some(1));
    let status = scale.status.clone().unwrap();
    assert_eq!((status.replicas, status.selector.as_deref()), (1, Some("name=e2e-rc")));
    scale.spec.as_mut().unwrap().replicas = Some(2);
    let request = client::Request::new(client::Verb::Update, target.clone())
        .body(client::ContentType::Json, object::to_value(&scale).unwrap());
    cluster.client.connection().call(request).await.unwrap();
    available(&cluster, "e2e-rc", 2).await;
    assert_eq!(read().await.status.unwrap().replicas, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replication_controllers_adopt_and_release() {
    let cluster = RealCluster::start(Config::default()).await;
    let orphan: Pod = serde_json::from_value(json!({
        "metadata": {"name": "pod-adoption", "namespace": "default", "labels": {"name": "pod-adoption"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }))
    .unwrap();
    cluster.client.create(&orphan).await.unwrap();
    cluster.known(&key("pod-adoption")).await;
    cluster.client.create(&controller("pod-adoption", 1)).await.unwrap();
    let adopted = |pod: &Pod| owners(pod) == ["pod-adoption"];
    cluster.until_one("the adoption", &key("pod-adoption"), adopted).await;
    available(&cluster, "pod-adoption", 1).await;

    let moved = Patch::Merge(json!({"metadata": {"labels": {"name": "not-matching-name"}}}));
    cluster.client.patch::<Pod>(&key("pod-adoption"), "", &moved).await.unwrap();
    cluster.until_one("the release", &key("pod-adoption"), |pod: &Pod| owners(pod).is_empty()).await;
    // Another takes its place.
    available(&cluster, "pod-adoption", 1).await;
    assert_eq!(cluster.client.list::<Pod>("default", &ListOptions::default()).await.unwrap().items.len(), 2);
    assert_eq!(cluster.log.refused(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_of_replication_controllers_outlive_them_if_orphaned() {
    let cluster = RealCluster::start(Config::default()).await;
    for (name, propagation, orphans) in [
        ("kept", None, true),
        ("also-kept", Some(Propagation::Orphan), true),
        ("gone", Some(Propagation::Foreground), false),
    ] {
        cluster.client.create(&controller(name, 1)).await.unwrap();
        available(&cluster, name, 1).await;
        let options = DeleteOptions { propagation, ..DeleteOptions::default() };
        cluster.client.delete::<ReplicationController>(&key(name), &options).await.unwrap();
        let of_name = |pods: &[Arc<Pod>]| -> Vec<Arc<Pod>> {
            pods.iter().filter(|pod| label(pod, "name") == Some(name)).cloned().collect()
        };
        let as_wanted = |pods: &[Arc<Pod>]| match &of_name(pods)[..] {
            [] => !orphans,
            pods if orphans => pods.iter().all(|pod| owners(pod).is_empty() && !ends(pod)),
            pods => pods.iter().all(|pod| ends(pod)),
        };
        cluster.until::<Pod>(name, as_wanted).await;
    }
}

/// Quota is not implemented yet; the test gives its answer.
#[tokio::test(start_paused = true)]
async fn replication_controllers_show_that_a_quota_is_exceeded() {
    let cluster = super::Cluster::start().await;
    let why = "exceeded quota: condition-test, requested: pods=1, used: pods=2, limited: pods=2";
    let full = || object::Status::forbidden("", "pods", "condition-test-x", why);
    for _ in 0..6 {
        cluster.server.faults().fail_next(client::Verb::Create, "pods", full());
    }
    cluster.server.put(&controller("condition-test", 3)).await;
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    let shown = async || {
        let controller = cluster.server.find::<ReplicationController>(&key("condition-test")).await;
        controller.unwrap().status.and_then(|status| status.conditions)
    };
    let conditions = shown().await.expect("the failure is shown");
    assert_eq!(conditions.len(), 1);
    assert_eq!(
        (conditions[0].type_.as_str(), conditions[0].status.as_str(), conditions[0].reason.as_deref()),
        ("ReplicaFailure", "True", Some("FailedCreate"))
    );
    let text = format!("pods \"condition-test-x\" is forbidden: {why}");
    assert_eq!(conditions[0].message.as_deref(), Some(&*text));
    cluster.settle().await;
    assert_eq!((shown().await, cluster.server.list::<Pod>().await.len()), (None, 3));
    let events = cluster.server.list::<Event>().await;
    let told = events.iter().find(|event| event.reason.as_deref() == Some("FailedCreate")).unwrap();
    assert_eq!(told.message.as_deref(), Some(&*format!("Error creating: {text}")));
}
