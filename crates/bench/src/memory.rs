//! What pods cost in memory when controllers and scheduler run in the same process: those of a Deployment, which were
//! created, bound and updated once each, with an event.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::stream::{self, StreamExt, TryStreamExt};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::Bench;
use crate::cluster::{Cluster, fetch_object, get, patch, post};
use crate::connection::Connection;
use crate::figures::{Budget, Figures, mb};
use crate::pods::{deployment, running_status};
use crate::process;
use crate::roles::POD_BYTES_MAX;

/// How many pods the Deployment has.
const PODS: usize = 4000;
/// How many pods another one has before: with them the program's code and the database's cache come into memory.
const PODS_BEFORE: usize = 400;
/// How many nodes they run on.
const NODES: usize = 10;
/// How many statuses are written at once.
const WRITERS: usize = 64;
/// Between two renewals of the nodes' leases: without them they would count as dead.
const RENEWAL: Duration = Duration::from_secs(10);
/// Between two looks at how far the pods are.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the pods may take.
const PODS_WITHIN: Duration = Duration::from_secs(300);
/// After how long old versions have been dropped, and their memory returned.
const AT_REST: Duration = Duration::from_secs(130);

const LEASES_PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start(bench, &["--disable-agent", "--disable", "dns,proxy"]).await?;
    let connection = cluster.connect().await?;
    for namespace in ["before", "bench"] {
        cluster.make_namespace(&connection, namespace).await?;
    }
    for number in 0..NODES {
        make_node(&connection, number).await?;
    }
    tokio::select! {
        measured = running(&cluster, &connection, figures) => measured,
        failed = renew_leases(&connection) => failed,
    }
}

/// Runs the pods, and measures the process just after that and once it is at rest.
async fn running(cluster: &Cluster<'_>, connection: &Connection, figures: &mut Figures) -> Result<()> {
    let resident = || process::memory(cluster.pid()).map(|memory| memory.resident);
    run(connection, "before", PODS_BEFORE).await?;
    let before = resident()?;
    run(connection, "bench", PODS).await?;
    let mut add = |name: &str, now: u64, budget| {
        let each = now.saturating_sub(before) as f64 / PODS as f64;
        let note = format!("{PODS} pods, {:.1} MB before them, {:.1} MB with them", mb(before), mb(now));
        figures.add(name, each, "B", budget, note);
    };
    add("memory per running pod of a Deployment", resident()?, None);
    sleep(AT_REST).await;
    let budget = Some(Budget::AtMost(POD_BYTES_MAX));
    add("memory per running pod of a Deployment, at rest", resident()?, budget);
    let bytes = connection.fetch(get(&pods_path("bench")), None).await?.len();
    figures.add("JSON of such a pod", bytes as f64 / PODS as f64, "B", None, "");
    Ok(())
}

/// Runs a Deployment's pods in its namespace.
async fn run(connection: &Connection, namespace: &str, pods: usize) -> Result<()> {
    let body = deployment(namespace, pods).to_string().into();
    connection.fetch(post(&format!("/apis/apps/v1/namespaces/{namespace}/deployments")), Some(body)).await?;
    wait_until_bound(connection, namespace, pods).await?;
    write_statuses(connection, namespace).await
}

fn pods_path(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods")
}

async fn make_node(connection: &Connection, number: usize) -> Result<()> {
    let name = format!("worker-{number}");
    let amounts = json!({"cpu": "4000", "memory": "4000Gi", "pods": "4000"});
    let node = json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {
            "capacity": amounts, "allocatable": amounts,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]
        }
    });
    connection.fetch(post("/api/v1/nodes"), Some(node.to_string().into())).await?;
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": "2026-01-01T00:00:00.000000Z"}
    });
    connection.fetch(post(LEASES_PATH), Some(lease.to_string().into())).await.map(drop)
}

/// Keeps the nodes alive; ends only if that fails.
async fn renew_leases(connection: &Connection) -> Result<()> {
    for renewal in 1_u64.. {
        sleep(RENEWAL).await;
        for number in 0..NODES {
            let (minute, second) = (renewal / 6 % 60, renewal % 6 * 10);
            let time = format!("2026-01-01T00:{minute:02}:{second:02}.000000Z");
            let change = json!({"spec": {"renewTime": time}}).to_string();
            let path = format!("{LEASES_PATH}/worker-{number}");
            connection.fetch(patch(&path), Some(change.into())).await.context("renewing a lease")?;
        }
    }
    Ok(())
}

async fn wait_until_bound(connection: &Connection, namespace: &str, pods: usize) -> Result<()> {
    let limit = Instant::now() + PODS_WITHIN;
    loop {
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/storefront");
        let made = fetch_object(connection, get(&path), None).await?["status"]["replicas"].as_u64();
        if made == Some(pods as u64) {
            let unbound = format!("{}?fieldSelector=spec.nodeName%3D", pods_path(namespace));
            let unbound = fetch_object(connection, get(&unbound), None).await?;
            if unbound["items"].as_array().is_some_and(Vec::is_empty) {
                return Ok(());
            }
        }
        ensure!(Instant::now() < limit, "of {pods} pods {made:?} are there after {PODS_WITHIN:?}");
        sleep(PAUSE).await;
    }
}

async fn write_statuses(connection: &Connection, namespace: &str) -> Result<()> {
    let path = &pods_path(namespace);
    let pods = fetch_object(connection, get(path), None).await?;
    let names =
        pods["items"].as_array().into_iter().flatten().filter_map(|pod| pod["metadata"]["name"].as_str());
    let writes = names.enumerate().map(|(number, name)| async move {
        let path = format!("{path}/{name}/status");
        connection.fetch(patch(&path), Some(running_status(number).to_string().into())).await.map(drop)
    });
    stream::iter(writes).buffer_unordered(WRITERS).try_collect::<()>().await
}
