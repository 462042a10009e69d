//! Gets, lists, and the memory for many pods.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::Instant;

use crate::Bench;
use crate::cluster::{Cluster, get};
use crate::connection::Connection;
use crate::figures::{Budget, Figures, mb, ms, percentile};
use crate::writes::Creator;
use crate::{load, process};

/// How many pods there are.
const PODS: u64 = 27_000;
/// How many of them are in a separate namespace.
const PODS_FEW: u64 = 500;
/// How often a list is repeated.
const LISTS: usize = 15;
const GETS_SPAN: Duration = Duration::from_secs(3);

pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start_api(bench).await?;
    let connection = cluster.connect().await?;
    let empty = process::memory(cluster.pid())?;
    figures.add(
        "API server memory, empty",
        mb(empty.resident),
        "MB",
        None,
        "resident, API server and store alone",
    );
    for (namespace, pods) in [("many", PODS - PODS_FEW), ("few", PODS_FEW)] {
        cluster.make_namespace(&connection, namespace).await?;
        let creator = Creator::new(namespace);
        creator.fill(&connection, pods).await.context("filling the cluster")?;
    }
    let full = process::memory(cluster.pid())?;
    figures.add(
        format!("API server memory after {PODS} pods"),
        mb(full.resident),
        "MB",
        Some(Budget::AtMost(250.0)),
        "resident, API server and store alone",
    );
    for (clients, name) in [(1, "1 client"), (64, "64 clients")] {
        let gets = load::run(clients, GETS_SPAN, cluster.pid(), |client| {
            let connection = &connection;
            async move {
                let path = format!("/api/v1/namespaces/many/pods/pod-{}", 1 + client);
                connection.send(get(&path), None).await?.drain().await?;
                Ok(())
            }
        });
        let gets = gets.await?;
        figures.add(format!("gets of a pod, {name}"), gets.rate, "/s", None, gets.note());
    }
    list(&connection, cluster.pid(), "/api/v1/namespaces/few/pods", PODS_FEW, None, figures).await?;
    list(&connection, cluster.pid(), "/api/v1/pods", PODS, Some(Budget::AtMost(60.0)), figures).await?;
    let listed = process::memory(cluster.pid())?;
    figures.add("API server memory after the lists", mb(listed.resident), "MB", None, "resident");
    Ok(())
}

/// Lists a collection several times, from the request to the last byte.
async fn list(
    connection: &Connection,
    server: i32,
    path: &str,
    pods: u64,
    budget: Option<Budget>,
    figures: &mut Figures,
) -> Result<()> {
    let mut times = Vec::with_capacity(LISTS);
    let mut size = 0;
    let before = (process::cpu(server)?, process::own_cpu()?);
    for _ in 0..LISTS {
        let sent = Instant::now();
        let answer = connection.send(get(path), None).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        size = answer.drain().await?.0;
        times.push(sent.elapsed());
    }
    let cost = |now: Duration, before: Duration| ms(now - before) / LISTS as f64;
    let note = format!(
        "median of {LISTS}; best {:.1} ms, worst {:.1} ms; {:.1} MB of JSON; a list takes {:.1} ms of processor time here, {:.1} ms in the generator",
        ms(times.iter().min().copied().unwrap_or_default()),
        ms(times.iter().max().copied().unwrap_or_default()),
        mb(size),
        cost(process::cpu(server)?, before.0),
        cost(process::own_cpu()?, before.1),
    );
    times.sort_unstable();
    figures.add(format!("list of {pods} pods"), ms(percentile(&times, 0.5)), "ms", budget, note);
    Ok(())
}
