//! Controllers together, on the real API server over a store in memory and under a paused clock.

use std::sync::Arc;
use std::time::Duration;

use apiserver::user::User;
use client::Informers;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Event, Pod, ServiceAccount};
use object::{ObjectKey, Status};
use serde_json::json;
use simulation::{Rates, Server};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Accounts, Config, Context, Metrics};

mod autoscaling;
mod cronjobs;
mod disruption;
mod jobs;
mod migration;
mod quota;
mod real;
mod replication;
mod rights;
mod served;
mod stateful;

pub(crate) struct Cluster {
    pub(crate) server: Server,
    _stop: DropGuard,
}

impl Cluster {
    /// All controllers over an empty server, on which pods can be made.
    pub(crate) async fn start() -> Cluster {
        let server = Server::start(7).await;
        let cancel = CancellationToken::new();
        tokio::spawn(crate::run(context(&server, Config::default()), cancel.clone()));
        let account = ObjectKey::namespaced("default", "default");
        while server.find::<ServiceAccount>(&account).await.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Cluster { server, _stop: cancel.drop_guard() }
    }

    /// Lets the controllers work; pods become ready after a while if they can, as a node would make them.
    pub(crate) async fn settle(&self) {
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            for pod in self.server.list::<Pod>().await {
                let image = pod.spec.as_ref().and_then(|spec| spec.containers.first()?.image.clone());
                let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
                if phase != Some("Running") && image.as_deref() != Some("broken") {
                    self.make_ready(&client::key_of(&pod)).await;
                }
            }
        }
    }

    async fn make_ready(&self, pod: &ObjectKey) {
        let now = self.server.clock().now_seconds().to_string();
        let ready = json!({"type": "Ready", "status": "True", "lastTransitionTime": now});
        let status = json!({"phase": "Running", "conditions": [ready]});
        self.server.patch_status::<Pod>(pod, status).await;
    }

    async fn images(&self) -> Vec<String> {
        let pods = self.server.list::<Pod>().await;
        let mut images: Vec<_> =
            pods.iter().map(|pod| pod.spec.as_ref().unwrap().containers[0].image.clone().unwrap()).collect();
        images.sort();
        images
    }

    async fn change(&self, change: serde_json::Value) {
        let key = ObjectKey::namespaced("default", "web");
        self.server.patch::<Deployment>(&key, change).await;
        self.settle().await;
    }

    async fn deployment(&self) -> Deployment {
        self.server.find(&ObjectKey::namespaced("default", "web")).await.unwrap()
    }
}

/// What controllers need to run over `server`, each under its own account.
pub(crate) fn context(server: &Server, config: Config) -> Context {
    let accounts = server.clone();
    Context {
        informers: Informers::new(server.client(User::new("system:kube-controller-manager", &[]))),
        accounts: Accounts::new(move |account| {
            accounts.client(User::service_account("kube-system", account, ""))
        }),
        metrics: Metrics::default(),
        config: Arc::new(config),
    }
}

pub(crate) fn web(image: &str, replicas: i32) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}},
        },
    }))
    .unwrap()
}

fn image(image: &str) -> serde_json::Value {
    json!({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": image}]}}}})
}

#[tokio::test(start_paused = true)]
async fn a_deployment_lives_its_life() {
    let cluster = Cluster::start().await;
    cluster.server.create(&web("one", 3)).await;
    cluster.settle().await;
    assert_eq!(cluster.images().await, ["one", "one", "one"]);
    let status = cluster.deployment().await.status.unwrap();
    assert_eq!((status.available_replicas, status.updated_replicas), (Some(3), Some(3)));

    cluster.change(image("two")).await;
    assert_eq!(cluster.images().await, ["two", "two", "two"]);
    assert_eq!(
        cluster.deployment().await.metadata.annotations.unwrap()["deployment.kubernetes.io/revision"],
        "2"
    );

    // A bad image stalls: the old pods stay.
    cluster.change(image("broken")).await;
    assert_eq!(cluster.images().await, ["broken", "two", "two", "two"]);

    // A rollback is the old template again.
    cluster.change(image("two")).await;
    assert_eq!(cluster.images().await, ["two", "two", "two"]);
    assert_eq!(
        cluster.deployment().await.metadata.annotations.unwrap()["deployment.kubernetes.io/revision"],
        "4"
    );
    assert_eq!(cluster.server.list::<ReplicaSet>().await.len(), 3);

    cluster.change(json!({"spec": {"replicas": 5}})).await;
    assert_eq!(cluster.images().await.len(), 5);
    cluster.change(json!({"spec": {"replicas": 1}})).await;
    assert_eq!(cluster.images().await.len(), 1);

    let pod = client::key_of(&cluster.server.list::<Pod>().await[0]);
    cluster.server.remove::<Pod>(&pod).await;
    cluster.settle().await;
    assert_eq!(cluster.images().await.len(), 1);

    let events = cluster.server.list::<Event>().await;
    for reason in ["ScalingReplicaSet", "SuccessfulCreate", "SuccessfulDelete"] {
        assert!(events.iter().any(|event| event.reason.as_deref() == Some(reason)), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_at_rest_is_at_rest() {
    let cluster = Cluster::start().await;
    cluster.server.create(&web("one", 3)).await;
    cluster.settle().await;
    cluster.server.faults().take_requests();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let requests = cluster.server.faults().take_requests();
    assert!(requests.iter().all(|request| request.starts_with("watch")), "{requests:?}");
}

#[tokio::test(start_paused = true)]
async fn no_pod_is_made_twice_however_late_the_news() {
    let cluster = Cluster::start().await;
    cluster.server.faults().set(Rates { late_event: 300, broken_watch: 50, ..Rates::default() });
    for _ in 0..20 {
        cluster.server.faults().break_watches();
        cluster.server.put(&web("one", 50)).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    cluster.settle().await;
    cluster.server.faults().set(Rates::default());
    cluster.settle().await;
    let created = cluster.server.faults().take_requests();
    let created =
        created.iter().filter(|request| request.starts_with("create /api/v1/namespaces/default/pods"));
    assert_eq!((created.count(), cluster.images().await.len()), (50, 50));
}

#[tokio::test(start_paused = true)]
async fn refused_pods_are_tried_again_slowly() {
    let cluster = Cluster::start().await;
    for _ in 0..5 {
        let full = Status::forbidden("", "pods", "web", "exceeded quota");
        cluster.server.faults().fail_next(client::Verb::Create, "pods", full);
    }
    cluster.server.create(&web("one", 30)).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let requests = cluster.server.faults().take_requests();
    let tried =
        requests.iter().filter(|request| request.starts_with("create /api/v1/namespaces/default/pods"));
    let tried = tried.count();
    assert!((1..=3).contains(&tried), "the first refusal stops the rest: {tried}");
    cluster.settle().await;
    assert_eq!(cluster.images().await.len(), 30);
    let replica_set = cluster.server.list::<ReplicaSet>().await.remove(0);
    assert_eq!(replica_set.status.unwrap().conditions, None, "the failure is over");
    let events = cluster.server.list::<Event>().await;
    assert!(events.iter().any(|event| event.reason.as_deref() == Some("FailedCreate")));
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_one_controls() {
    let server = Server::start(7).await;
    let start = |identity: &str| {
        let candidate = client::Candidate {
            lease: ObjectKey::namespaced("kube-system", "kube-controller-manager"),
            identity: identity.into(),
            timing: client::Timing::default(),
        };
        let config = Config { leader_election: Some(candidate), ..Config::default() };
        let cancel = CancellationToken::new();
        let running = tokio::spawn(crate::run(context(&server, config), cancel.clone()));
        (cancel, running)
    };
    let (first, running) = start("a");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (_second, _running) = start("b");
    server.put(&web("one", 2)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(server.list::<Pod>().await.len(), 2);
    first.cancel();
    running.await.unwrap();
    let pod = client::key_of(&server.list::<Pod>().await[0]);
    server.remove::<Pod>(&pod).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(server.list::<Pod>().await.len(), 2, "the second took over");
}

#[tokio::test(start_paused = true)]
async fn daemon_pods_follow_the_nodes() {
    let cluster = Cluster::start().await;
    let daemon_set: k8s_openapi::api::apps::v1::DaemonSet = serde_json::from_value(json!({
        "metadata": {"name": "log", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "log"}},
            "template": {"metadata": {"labels": {"app": "log"}}, "spec": {"containers": [{"name": "log", "image": "one"}]}},
        },
    }))
    .unwrap();
    cluster.server.put(&daemon_set).await;
    let node = |name: &str| {
        let mut node = k8s_openapi::api::core::v1::Node::default();
        node.metadata.name = Some(name.into());
        node
    };
    cluster.server.put(&node("a")).await;
    cluster.server.put(&node("b")).await;
    cluster.settle().await;
    assert_eq!(cluster.images().await, ["one", "one"]);
    cluster.server.put(&node("c")).await;
    cluster.settle().await;
    assert_eq!(cluster.images().await.len(), 3);
    let key = ObjectKey::namespaced("default", "log");
    cluster.server.patch::<k8s_openapi::api::apps::v1::DaemonSet>(&key, image("two")).await;
    cluster.settle().await;
    cluster.settle().await;
    assert_eq!(cluster.images().await, ["two", "two", "two"]);
}
