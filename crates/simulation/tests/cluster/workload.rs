//! Actions of users and accidents, drawn from the seed.

use std::time::Duration;

use client::{DeleteOptions, ListOptions};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Namespace, Node, Pod, Service};
use object::ObjectKey;
use serde_json::json;

use crate::batch;
use crate::components::{self, HollowNode};
use crate::deeds::{again, all, change_any, create, delete, delete_any, namespace, pick, template};
use crate::scenario::Cluster;

const DEPLOYMENTS_MAX: usize = 5;
const REPLICA_SETS_MAX: usize = 2;
const DAEMON_SETS: [&str; 2] = ["everywhere", "logging"];
/// After so long a request has arrived or is lost, and has been carried out.
const ARRIVES_WITHIN: Duration = Duration::from_secs(10);
/// How many nodes there are.
const NODES: std::ops::RangeInclusive<usize> = 3..=7;

/// Performs a number of actions, with pauses between them.
pub(crate) async fn run(cluster: &mut Cluster, steps: u32, is_calm: bool) {
    for step in 0..steps {
        let pause = match cluster.random.random_below(10) {
            0 => 30_000 + cluster.random.random_below(300_000),
            1..4 => cluster.random.random_below(15_000),
            _ => cluster.random.random_below(2_000),
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let done = if is_calm || cluster.random.random_below(3) > 0 {
            people(cluster, step, is_calm).await
        } else {
            fate(cluster).await
        };
        cluster.server.journal().note(format!("step {step}: {done}"));
    }
}

/// An action of users.
async fn people(cluster: &Cluster, step: u32, is_calm: bool) -> String {
    let random = &cluster.random;
    if random.random_below(3) == 0 {
        return batch::people(cluster, step, is_calm).await;
    }
    match random.random_below(if is_calm { 8 } else { 15 }) {
        0..2 => add_deployment(cluster, step).await,
        2..4 => {
            let replicas = random.random_below(6);
            let change = json!({"spec": {"replicas": replicas}});
            change_any::<Deployment>(cluster, change, &format!("to {replicas} replicas")).await
        }
        4..8 => {
            let template = json!({"metadata": {"annotations": {"step": step.to_string()}}});
            change_any::<Deployment>(cluster, json!({"spec": {"template": template}}), "to a new template")
                .await
        }
        8 => delete_any::<Deployment>(cluster).await,
        9 => add_service(cluster, step).await,
        10 => delete_any::<Service>(cluster).await,
        11 => add_replica_set(cluster, step).await,
        12 => match random.random_below(2) {
            0 => delete_any::<ReplicaSet>(cluster).await,
            _ => delete_any::<Pod>(cluster).await,
        },
        13 => toggle_daemon_set(cluster).await,
        _ => toggle_namespace(cluster).await,
    }
}

/// An accident.
async fn fate(cluster: &mut Cluster) -> String {
    let random = cluster.random.clone();
    match random.random_below(12) {
        0..3 => {
            let at = random.random_below(cluster.nodes.len() as u64) as usize;
            let node = &cluster.nodes[at].node;
            let is_cut = node.is_connected();
            if is_cut && random.random_below(3) == 0 {
                node.reboot();
            } else {
                node.set_connected(!is_cut);
            }
            format!("{} is {}", node.name(), if is_cut { "silent" } else { "back" })
        }
        3 => delete_any::<Pod>(cluster).await,
        4 => {
            let next = components::controllers(&cluster.server);
            std::mem::replace(&mut cluster.controllers, next).kill();
            "the controllers are restarted".to_owned()
        }
        5 => {
            let next = components::scheduler(&cluster.server);
            std::mem::replace(&mut cluster.scheduler, next).kill();
            "the scheduler is restarted".to_owned()
        }
        6 => {
            cluster.server.stop();
            tokio::time::sleep(Duration::from_millis(random.random_below(5_000))).await;
            cluster.server.resume().await.expect("what was served can be served again");
            "the server was restarted".to_owned()
        }
        7 => {
            cluster.server.compact().await;
            "history is forgotten".to_owned()
        }
        8 => {
            cluster.server.faults().break_watches();
            "all watches break".to_owned()
        }
        9 if cluster.nodes.len() < *NODES.end() => {
            cluster.add_node(random.random_below(2) == 0);
            format!("node {} joins", cluster.nodes_made)
        }
        9 | 10 if cluster.nodes.len() > *NODES.start() => {
            let at = random.random_below(cluster.nodes.len() as u64) as usize;
            let HollowNode { node, running } = cluster.nodes.remove(at);
            running.kill();
            remove_node(cluster, node.name()).await + " and never comes back"
        }
        _ => {
            // It creates its object again when it restarts.
            let at = random.random_below(cluster.nodes.len() as u64) as usize;
            cluster.nodes[at].node.set_connected(false);
            let name = cluster.nodes[at].node.name().to_owned();
            remove_node(cluster, &name).await + " and is silent"
        }
    }
}

async fn remove_node(cluster: &Cluster, name: &str) -> String {
    let options = DeleteOptions::default();
    match cluster.server.admin().delete::<Node>(&ObjectKey::cluster(name), &options).await {
        Ok(()) => format!("{name} is taken out"),
        Err(error) => format!("{name} cannot be taken out ({error})"),
    }
}

/// Takes out the nodes behind which there is none. All requests that were on their way have arrived before.
pub(crate) async fn take_out_strangers(cluster: &Cluster) {
    tokio::time::sleep(ARRIVES_WITHIN).await;
    let known = |name: &str| cluster.nodes.iter().any(|other| other.node.name() == name);
    let nodes =
        again(|| async { cluster.server.admin().list::<Node>("", &ListOptions::default()).await }).await;
    for node in nodes.items {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        if !known(name) {
            let done = remove_node(cluster, name).await;
            cluster.server.journal().note(format!("{done}: there is no such node"));
        }
    }
}

async fn add_deployment(cluster: &Cluster, step: u32) -> String {
    let random = &cluster.random;
    if all::<Deployment>(cluster).await.len() >= DEPLOYMENTS_MAX {
        return "there are enough Deployments".to_owned();
    }
    let (app, replicas) = (format!("app-{step}"), random.random_below(6));
    let (surge, unavailable) = [(1, 0), (2, 1), (0, 1), (3, 0)][random.random_below(4) as usize];
    create::<Deployment>(cluster, json!({
        "metadata": {"name": app, "namespace": namespace(random)},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template(&app, random),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}},
        },
    }))
    .await
}

async fn add_replica_set(cluster: &Cluster, step: u32) -> String {
    let random = &cluster.random;
    let sets = all::<ReplicaSet>(cluster).await;
    if sets.iter().filter(|set| set.metadata.owner_references.is_none()).count() >= REPLICA_SETS_MAX {
        return "there are enough ReplicaSets".to_owned();
    }
    let (app, replicas) = (format!("set-{step}"), random.random_below(5));
    create::<ReplicaSet>(cluster, json!({
        "metadata": {"name": app, "namespace": namespace(random)},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": app}}, "template": template(&app, random)},
    }))
    .await
}

async fn add_service(cluster: &Cluster, step: u32) -> String {
    let deployments = all::<Deployment>(cluster).await;
    let Some(deployment) = pick(&deployments, &cluster.random) else { return "nothing to serve".to_owned() };
    let app = &deployment.metadata.name;
    create::<Service>(
        cluster,
        json!({
            "metadata": {"name": format!("service-{step}"), "namespace": deployment.metadata.namespace},
            "spec": {"selector": {"app": app}, "ports": [{"port": 80, "targetPort": 8080}]},
        }),
    )
    .await
}

async fn toggle_daemon_set(cluster: &Cluster) -> String {
    let name = DAEMON_SETS[cluster.random.random_below(DAEMON_SETS.len() as u64) as usize];
    let key = ObjectKey::namespaced("default", name);
    if all::<DaemonSet>(cluster).await.iter().any(|set| client::key_of(&**set) == key) {
        return delete::<DaemonSet>(cluster, &key).await;
    }
    create::<DaemonSet>(
        cluster,
        json!({
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "selector": {"matchLabels": {"app": name}},
                // Without requests: a node may be full, and there is no preemption that makes room.
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {"containers": [{"name": "main", "image": "agent"}]},
                },
            },
        }),
    )
    .await
}

async fn toggle_namespace(cluster: &Cluster) -> String {
    let blue = ObjectKey::cluster("blue");
    let found = again(|| async { cluster.server.admin().find::<Namespace>(&blue).await }).await;
    match found {
        Some(_) => delete::<Namespace>(cluster, &blue).await,
        None => create::<Namespace>(cluster, json!({"metadata": {"name": "blue"}})).await,
    }
}
