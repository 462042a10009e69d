//! The pods of a Deployment and of a Service are spread over nodes and zones without being asked to.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Service};
use libtest_mimic::Failed;
use serde_json::{Value, json};
use simulation::Server;

use crate::components::{self, Running};

/// How many nodes there are in each of two zones, and pods on each node in the end.
const NODES: u8 = 6;
const PODS_PER_NODE: usize = 2;
/// Of a large node, where most is free whatever runs there, and of a small one.
const CPU_MILLI: [u32; 2] = [64_000, 4_000];
/// So long it may take until all pods have nodes.
const BOUND_WITHIN: Duration = Duration::from_secs(300);

/// A cluster without faults, in which the nodes of one zone are much larger than those of the other.
pub(crate) fn pods_are_spread() -> Result<(), Failed> {
    simulation::run(async {
        let server = Server::start(1).await;
        let (controllers, scheduler) = (components::controllers(&server), components::scheduler(&server));
        let nodes: Vec<_> = (1..=NODES)
            .map(|index| components::node(&server, index, CPU_MILLI[usize::from(index % 2)], false))
            .collect();
        tokio::time::sleep(Duration::from_secs(20)).await;
        let alone = alone(&server).await?;
        let spread = of_a_deployment(&server).await?;
        nodes.into_iter().for_each(|node| node.running.kill());
        [controllers, scheduler].into_iter().for_each(Running::kill);
        assert_eq!(alone.len(), usize::from(NODES) / 2, "pods of nobody go where most is free: {alone:?}");
        let is_even = |on: &PerNode| on.values().all(|pods| *pods == PODS_PER_NODE);
        assert!(spread.len() == usize::from(NODES) && is_even(&spread), "the pods run on {spread:?}");
        Ok(())
    })
}

/// How many pods run on each node.
type PerNode = BTreeMap<String, usize>;

const PODS: usize = PODS_PER_NODE * NODES as usize;

/// Pods that neither a Service nor a controller selects.
async fn alone(server: &Server) -> Result<PerNode, Failed> {
    for number in 0..PODS {
        let name = format!("alone-{number}");
        let meta = json!({"name": name, "namespace": "default", "labels": {"app": "alone"}});
        let pod = json!({"metadata": meta, "spec": spec()});
        server.put(&serde_json::from_value::<Pod>(pod).unwrap()).await;
    }
    per_node(server, "alone").await
}

/// The pods of a Deployment and of a Service.
async fn of_a_deployment(server: &Server) -> Result<PerNode, Failed> {
    let meta = json!({"name": "web", "namespace": "default"});
    let labels = json!({"app": "web"});
    let service = json!({"metadata": meta, "spec": {"selector": labels, "ports": [{"port": 80}]}});
    let template = json!({"metadata": {"labels": labels}, "spec": spec()});
    let deployment = json!({
        "metadata": meta,
        "spec": {"replicas": PODS, "selector": {"matchLabels": labels}, "template": template},
    });
    server.put(&serde_json::from_value::<Service>(service).unwrap()).await;
    server.put(&serde_json::from_value::<Deployment>(deployment).unwrap()).await;
    per_node(server, "web").await
}

fn spec() -> Value {
    json!({"containers": [{"name": "main", "image": "web", "resources": {"requests": {"cpu": "100m", "memory": "8Mi"}}}]})
}

/// Waits until all pods of an app have nodes.
async fn per_node(server: &Server, app: &str) -> Result<PerNode, Failed> {
    let found = async {
        loop {
            let mut on = PerNode::new();
            for pod in server.list::<Pod>().await {
                let is_of_app = pod.metadata.labels.is_some_and(|labels| labels["app"] == app);
                if let Some(node) = pod.spec.and_then(|spec| spec.node_name).filter(|_| is_of_app) {
                    *on.entry(node).or_default() += 1;
                }
            }
            if on.values().sum::<usize>() == PODS {
                return on;
            }
            // The clock is paused: no time passes but that of the cluster.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::time::timeout(BOUND_WITHIN, found).await.map_err(|_| Failed::from("not all pods get a node"))
}
