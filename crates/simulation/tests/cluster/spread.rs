//! The pods of a Deployment and of a Service are spread over nodes and zones without being asked to.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use libtest_mimic::Failed;
use object::ObjectKey;
use serde_json::json;
use simulation::Server;

use crate::components::{self, Running};

/// How many nodes there are in each of two zones, and pods on each node in the end.
const NODES: u8 = 6;
const PODS_PER_NODE: usize = 2;
/// Of a large node, where most is free whatever runs there, and of a small one.
const CPU_MILLI: [u32; 2] = [64_000, 4_000];
/// So long it may take until all pods are ready.
const READY_WITHIN: Duration = Duration::from_secs(300);

/// A cluster without faults, in which the nodes of one zone are much larger than those of the other.
pub(crate) fn pods_are_spread() -> Result<(), Failed> {
    simulation::run(async {
        let server = Server::start(1).await;
        let (controllers, scheduler) = (components::controllers(&server), components::scheduler(&server));
        let nodes: Vec<_> = (1..=NODES)
            .map(|index| components::node(&server, index, CPU_MILLI[usize::from(index % 2)], false))
            .collect();
        tokio::time::sleep(Duration::from_secs(20)).await;
        let replicas = PODS_PER_NODE * usize::from(NODES);
        let template = json!({
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "web", "resources": {"requests": {"cpu": "100m"}}}]},
        });
        let deployment = json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template},
        });
        let service = json!({
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        });
        server.put(&serde_json::from_value::<Service>(service).unwrap()).await;
        server.put(&serde_json::from_value::<Deployment>(deployment).unwrap()).await;
        all_ready(&server, replicas).await?;
        let mut on: BTreeMap<String, usize> = BTreeMap::new();
        for pod in server.list::<Pod>().await {
            *on.entry(pod.spec.as_ref().unwrap().node_name.clone().unwrap()).or_default() += 1;
        }
        let even = on.len() == usize::from(NODES) && on.values().all(|pods| *pods == PODS_PER_NODE);
        nodes.into_iter().for_each(|node| node.running.kill());
        [controllers, scheduler].into_iter().for_each(Running::kill);
        if even { Ok(()) } else { Err(format!("the pods run on {on:?}").into()) }
    })
}

async fn all_ready(server: &Server, replicas: usize) -> Result<(), Failed> {
    let web = ObjectKey::namespaced("default", "web");
    let ready = async {
        loop {
            let status = server.find::<Deployment>(&web).await.and_then(|deployment| deployment.status);
            let ready = status.and_then(|status| status.ready_replicas).unwrap_or(0);
            if ready as usize == replicas {
                return;
            }
            // The clock is paused: no time passes but that of the cluster.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(READY_WITHIN, ready).await.map_err(|_| Failed::from("not all pods become ready"))
}
