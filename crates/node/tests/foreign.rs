//! The agent over a foreign engine: nothing in the agent depends on which engine implements the traits.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[path = "foreign/engine.rs"]
mod engine;

use std::sync::Arc;
use std::time::Duration;

use client::Informers;
use cri::CgroupDriver;
use k8s_openapi::api::core::v1::{Node, Pod};
use node::{Agent, EvictionConfig, EvictionFlags, NodeConfig};
use object::ObjectKey;
use serde_json::{Value, json};
use simulation::Server;

use engine::Foreign;

/// No step takes longer, by the paused clock.
const LIMIT: Duration = Duration::from_secs(120);

struct Host {
    server: Server,
    engine: Foreign,
    _agent: Agent,
    _directory: tempfile::TempDir,
}

impl Host {
    async fn start(driver: Option<CgroupDriver>) -> Host {
        let directory = tempfile::tempdir().unwrap();
        let server = Server::start(1).await;
        server.open("default").await;
        let clock = server.clock().clone();
        let engine = Foreign::new(clock.clone(), driver);
        let mut config = NodeConfig::new("n1", "127.0.0.1".parse().unwrap(), directory.path().join("node"));
        config.log_dir = directory.path().join("logs");
        config.cgroup_root = "/of-a-test".to_owned();
        // This machine's disk may be full.
        let hard = ["memory.available<1Mi".to_owned()];
        let flags =
            EvictionFlags { hard: Some(&hard), pressure_transition: "5m", ..EvictionFlags::default() };
        config.eviction = EvictionConfig::parse(&flags).unwrap();
        config.image_gc_high_percent = 100;
        let client = server.client(simulation::node("n1"));
        let (runtime, images) = (Arc::new(engine.clone()), Arc::new(engine.clone()));
        let informers = Informers::new(client.clone());
        let agent = Agent::start(config, client, &informers, runtime, images, clock).await.unwrap();
        Host { server, engine, _agent: agent, _directory: directory }
    }

    /// Creates a pod whose containers never restart, and waits until it is running.
    async fn run(&self, name: &str) -> Value {
        let spec =
            json!({"nodeName": "n1", "restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]});
        let pod = json!({"metadata": {"name": name, "namespace": "default"}, "spec": spec});
        self.server.create(&serde_json::from_value::<Pod>(pod).unwrap()).await;
        self.until_phase(name, "Running").await
    }

    async fn pod(&self, name: &str) -> Value {
        serde_json::to_value(self.server.find::<Pod>(&ObjectKey::namespaced("default", name)).await).unwrap()
    }

    async fn until_phase(&self, name: &str, phase: &str) -> Value {
        let reached = async {
            while self.pod(name).await["status"]["phase"] != phase {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(LIMIT, reached).await;
        let pod = self.pod(name).await;
        assert!(in_time.is_ok(), "waited in vain for {phase}: {pod:#}");
        pod
    }
}

fn uid(pod: &Value) -> &str {
    pod["metadata"]["uid"].as_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn ids_have_the_engines_scheme_and_cgroups_the_names_of_its_driver() {
    let host = Host::start(Some(CgroupDriver::Systemd)).await;
    let pod = host.run("web").await;
    let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().unwrap();
    assert!(id.starts_with("foreign://container"), "{pod:#}");
    let uid = uid(&pod).replace('-', "_");
    let parent = format!("/of_a_test.slice/of_a_test-besteffort.slice/of_a_test-besteffort-pod{uid}.slice");
    assert_eq!(host.engine.cgroup_parents(), [parent]);
    let node: Node = host.server.find(&ObjectKey::cluster("n1")).await.unwrap();
    let node = serde_json::to_value(node).unwrap();
    assert_eq!(node["status"]["nodeInfo"]["containerRuntimeVersion"], "foreign://9.8.7");
}

/// Each pod was queried ten times a second, or not at all.
#[tokio::test(start_paused = true)]
async fn an_engine_without_events_is_listed_once_a_second_and_only_changed_pods_are_asked_for() {
    let host = Host::start(Some(CgroupDriver::Cgroupfs)).await;
    for name in ["one", "two", "three"] {
        host.run(name).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    host.engine.take_lists();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (full, of_pods) = host.engine.take_lists();
    assert!((59..=61).contains(&full), "{full} lists in a minute");
    assert!(of_pods.is_empty(), "nothing happened to {of_pods:?}");
    let two = host.pod("two").await;
    host.engine.end_all(uid(&two), 3);
    let pod = host.until_phase("two", "Failed").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3, "{pod:#}");
    let (_, of_pods) = host.engine.take_lists();
    assert_eq!(of_pods.keys().collect::<Vec<_>>(), [uid(&two)]);
}

#[tokio::test(start_paused = true)]
async fn what_an_engine_does_not_have_is_done_without() {
    let host = Host::start(None).await;
    let pod = host.run("web").await;
    // Upstream's default.
    assert_eq!(host.engine.cgroup_parents(), [format!("/of-a-test/besteffort/pod{}", uid(&pod))]);
    assert_eq!(host.engine.unimplemented("RuntimeConfig"), 1);
    // Its network is configured elsewhere: the subnet is passed once, not repeatedly.
    let subnet = json!({"spec": {"podCIDR": "10.9.8.0/24", "podCIDRs": ["10.9.8.0/24"]}});
    host.server.patch::<Node>(&ObjectKey::cluster("n1"), subnet).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(host.engine.unimplemented("UpdateRuntimeConfig"), 1);
    assert_eq!(host.pod("web").await["status"]["phase"], "Running");
}
