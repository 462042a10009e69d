//! Traffic from pod to pod across two hosts, with each backend, compared with the path on one host.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use testbed::{Host, Process, output};

use crate::Bench;
use crate::cluster::Cluster;
use crate::figures::Figures;
use crate::node::ready_node;
use crate::paths::Path;
use crate::sandboxes;
use crate::startup::is_ready;
use crate::traffic::{PORT, Server};

/// The backends, the plainest first.
const BACKENDS: [&str; 3] = ["host-gw", "vxlan", "udp"];
/// The credentials with which the second host joins.
const TOKEN: &str = "the-token-of-the-measurement";

/// Every backend in a separate cluster.
pub async fn measure(bench: &Bench, figures: &mut Figures) -> Result<()> {
    let mut beside = None;
    for backend in BACKENDS {
        let (local, remote) = one(bench, backend).await.with_context(|| format!("with {backend}"))?;
        let local = *beside.get_or_insert_with(|| {
            local.add(figures, "pod to pod, one host", None);
            local
        });
        remote.add(figures, &format!("pod to pod, {backend}"), Some(("the way on one host", &local)));
    }
    Ok(())
}

/// The ways on one host and across two.
async fn one(bench: &Bench, backend: &str) -> Result<(Path, Path)> {
    let cluster = Cluster::start(bench, &["--token", TOKEN, "--flannel-backend", backend]).await?;
    let connection = ready_node(&cluster, bench).await?;
    let agent = Agent::start(bench)?;
    cluster.wait_for(&connection, &format!("/api/v1/nodes/{SECOND}"), is_ready).await?;
    cluster.import_image()?;
    agent.import_image(bench)?;
    cluster.wait_for_account(&connection).await?;
    let first = bench.host.name();
    let client = sandboxes::start(&cluster, &connection, "client", Some(first), cluster.pid()).await?;
    let near = sandboxes::start(&cluster, &connection, "near", Some(first), cluster.pid()).await?;
    let far = sandboxes::start(&cluster, &connection, "far", Some(SECOND), agent.process.pid()).await?;
    let _near = Server::start(Arc::clone(&near.namespace)).await?;
    let _far = Server::start(Arc::clone(&far.namespace)).await?;
    let local = Path::measure(&client.namespace, (near.address, PORT).into()).await?;
    let remote = Path::measure(&client.namespace, (far.address, PORT).into()).await?;
    Ok((local, remote))
}

/// The name of the second host.
const SECOND: &str = "second";

/// `ironhull agent` on a second host of the network.
struct Agent {
    process: Process,
    data_dir: PathBuf,
    // After the process, which runs on it.
    host: Host,
}

impl Agent {
    fn start(bench: &Bench) -> Result<Agent> {
        let host = Host::on(bench.host.network(), SECOND)?;
        let data_dir = host.directory().join("data");
        let mut command = host.command(&bench.program);
        command.args(["agent", "--node-name", SECOND, "--token", TOKEN, "--data-dir"]).arg(&data_dir);
        command
            .args(["--server", &format!("https://{}:6443", bench.host.address())])
            .args(testbed::SHARED_DISK);
        command.env("IRONHULL_CONFIG", host.directory().join("no-config"));
        let process = host.start("agent", command)?;
        Ok(Agent { process, data_dir, host })
    }

    fn import_image(&self, bench: &Bench) -> Result<()> {
        let mut command = self.host.command(&bench.program);
        command.args(["image", "import", "--data-dir"]).arg(&self.data_dir).arg(&bench.image);
        output(&mut command)?;
        Ok(())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // The host goes away with whatever runs on it.
        self.process.signal(Signal::SIGKILL);
    }
}
