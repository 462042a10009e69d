//! Pods to measure from: the network namespaces of running pods.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use hostnet::NetNs;
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use crate::cluster::{Cluster, fetch_object, get, post};
use crate::connection::Connection;
use crate::process;

/// A running pod.
pub struct Sandbox {
    /// Its primary address.
    pub address: IpAddr,
    /// Its network namespace.
    pub namespace: Arc<NetNs>,
}

/// The sample application as a pod.
pub fn sample_pod(name: &str, node: Option<&str>) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "nodeName": node, "containers": [{
            "name": "web", "image": "docker.io/ironhull/sample-web:1", "imagePullPolicy": "Never"
        }]}
    })
}

/// Starts the sample application as a pod named `name`, on a node or anywhere. `neighbour` is a process on the host
/// that gets the pod.
///
/// # Errors
/// If it does not run in time.
pub async fn start(
    cluster: &Cluster<'_>,
    connection: &Connection,
    name: &str,
    node: Option<&str>,
    neighbour: i32,
) -> Result<Sandbox> {
    let body = sample_pod(name, node).to_string().into();
    fetch_object(connection, post("/api/v1/namespaces/default/pods"), Some(body)).await?;
    let path = format!("/api/v1/namespaces/default/pods/{name}");
    cluster.wait_for(connection, &path, is_ready).await?;
    let pod = fetch_object(connection, get(&path), None).await?;
    let address: IpAddr = pod["status"]["podIP"].as_str().context("the pod has no address")?.parse()?;
    Ok(Sandbox { address, namespace: Arc::new(namespace_of(address, neighbour).await?) })
}

/// Whether a pod is ready.
pub fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// The namespace that has this address, among those of the containers of the host on which `neighbour` runs.
async fn namespace_of(address: IpAddr, neighbour: i32) -> Result<NetNs> {
    for shim in process::shims_of(neighbour) {
        for pid in process::children(shim) {
            let Ok(namespace) = NetNs::open(&PathBuf::from(format!("/proc/{pid}/ns/net"))) else { continue };
            if own_address(&namespace).await.is_ok_and(|own| own == address) {
                return Ok(namespace);
            }
        }
    }
    anyhow::bail!("no container has the address {address}")
}

/// The address from which a namespace would reach the world; nothing is sent.
async fn own_address(namespace: &NetNs) -> Result<IpAddr> {
    let look = async || -> Result<IpAddr> {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect("203.0.113.1:9").await?;
        Ok(socket.local_addr()?.ip())
    };
    namespace.run(look).await?
}
