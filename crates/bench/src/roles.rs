//! What controllers and scheduler cost the API when they run in the same process: every create is decoded, kept and
//! looked at by them.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use crate::Bench;
use crate::cluster::{Cluster, post};
use crate::figures::{Budget, Figures};
use crate::load::{self, Outcome};
use crate::process;
use crate::writes::Creator;

/// How long each load is measured.
const SPAN: Duration = Duration::from_secs(6);
/// How many clients create at once.
const CLIENTS: usize = 64;
/// What pods, bound and at rest, may take in a process with all roles.
pub const POD_BYTES_MAX: f64 = 8192.0;

pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let (alone, alone_bytes) = creates(Cluster::start_api(bench).await?).await.context("the API alone")?;
    let all = Cluster::start(bench, &["--disable-agent", "--disable", "dns,proxy"]).await?;
    let (all, all_bytes) = creates(all).await.context("with controllers and scheduler")?;
    figures.add("pod creates, API alone", alone.rate, "/s", None, alone.note());
    figures.add("pod creates with controllers and scheduler", all.rate, "/s", None, all.note());
    let (rate, budget) = (all.rate / alone.rate, Some(Budget::AtLeast(0.5)));
    figures.add("the same, as a ratio", rate, "x", budget, "");
    let cpu = all.server_cpu.as_secs_f64() / alone.server_cpu.as_secs_f64();
    figures.add(
        "processor time of a create with them, to the API alone",
        cpu,
        "x",
        Some(Budget::AtMost(2.0)),
        "",
    );
    figures.add("memory per pod, API alone", alone_bytes, "B", None, "");
    let budget = Some(Budget::AtMost(POD_BYTES_MAX));
    figures.add("memory per pod with controllers and scheduler", all_bytes, "B", budget, "");
    Ok(())
}

/// Creates pods of no owner, bound to a node that is there, and tells how fast and how many bytes each took.
async fn creates(cluster: Cluster<'_>) -> Result<(Outcome, f64)> {
    let connection = cluster.connect().await?;
    cluster.make_namespace(&connection, "bench").await?;
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-17"}});
    connection.fetch(post("/api/v1/nodes"), Some(node.to_string().into())).await?;
    let creator = Creator::unowned("bench");
    let before = process::memory(cluster.pid())?;
    let outcome = load::run(CLIENTS, SPAN, cluster.pid(), |_| creator.create(&connection)).await?;
    let grown = process::memory(cluster.pid())?.resident.saturating_sub(before.resident);
    Ok((outcome, grown as f64 / creator.count() as f64))
}
