//! The program's size, its start-up time, and its memory when idle.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::figures::{Budget, Figures, mb, ms};
use crate::{Bench, process};

/// How long the cluster gets to settle, and is then watched while idle.
const SETTLE: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(30);

pub fn size(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let bytes = std::fs::metadata(&bench.program).context("there is no program")?.len();
    figures.add("release binary", mb(bytes), "MB", Some(Budget::AtMost(60.0)), "");
    Ok(())
}

pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let cluster = Cluster::start(bench, &[]).await?;
    figures.add(
        "start to the API's readiness",
        ms(cluster.started.elapsed()),
        "ms",
        None,
        "from an empty directory",
    );
    let connection = cluster.connect().await?;
    let path = format!("/api/v1/nodes/{}", bench.host.name());
    cluster.wait_for(&connection, &path, is_ready).await?;
    figures.add(
        "start to node Ready",
        ms(cluster.started.elapsed()),
        "ms",
        Some(Budget::AtMost(2000.0)),
        "from an empty directory",
    );
    drop(connection);
    tokio::time::sleep(SETTLE).await;
    let before = process::cpu(cluster.pid())?;
    tokio::time::sleep(IDLE).await;
    let used = process::cpu(cluster.pid())? - before;
    let memory = process::memory(cluster.pid())?;
    let note = format!("resident, all roles, no pods; {:.1} MB proportional", mb(memory.proportional));
    figures.add("idle memory", mb(memory.resident), "MB", Some(Budget::AtMost(120.0)), note);
    let share = used.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    let note = format!("of a core, over {} s", IDLE.as_secs());
    figures.add("idle CPU", share, "%", Some(Budget::AtMost(1.0)), note);
    Ok(())
}

/// Whether a node says that it is ready.
pub fn is_ready(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
