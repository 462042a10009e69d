//! `ironhull dev up`: starts a cluster's supervisor, and waits until the cluster is ready.

use std::fs::File;
use std::process::Stdio;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use crate::flags::UpFlags;
use crate::preflight;
use crate::protocol::{Reply, Status};
use crate::state::StateDir;
use crate::supervisor::DETACH;

/// Starts a cluster.
///
/// # Errors
/// The machine's missing requirements, or why a node did not become ready. Nothing is left then.
pub async fn run(state: &StateDir, flags: &UpFlags) -> anyhow::Result<()> {
    preflight::check_machine()?;
    if state.is_running()? {
        let name = &state.name;
        bail!(
            "a cluster {name:?} is already running (kubeconfig {}): `ironhull dev down{}` stops it, \
                `ironhull dev up --name OTHER` starts another one",
            state.kubeconfig().display(),
            of_cluster(name)
        );
    }
    if state.exists() {
        println!("removing the remains of an earlier cluster {:?}, which exited by itself", state.name);
        state.remove()?;
    }
    let begin = Instant::now();
    println!("starting the cluster {:?} with {} nodes", state.name, flags.nodes);
    let mut supervisor = start_supervisor(state, flags)?;
    let status = wait(&mut supervisor).await;
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            // Its input is closed with this, and it removes everything it created.
            drop(supervisor.stdin.take());
            let _ = supervisor.wait().await;
            return Err(error);
        }
    };
    let mut input = supervisor.stdin.take().context("the supervisor has no input")?;
    input.write_all(DETACH.as_bytes()).await.context("the supervisor exited")?;
    show(&status, begin.elapsed().as_secs_f64());
    Ok(())
}

/// Starts this program as the supervisor. It does not end with this process, unless that exits before sending
/// [`DETACH`].
fn start_supervisor(state: &StateDir, flags: &UpFlags) -> anyhow::Result<Child> {
    state.create()?;
    let log = File::create(state.log()).with_context(|| format!("cannot write {}", state.log().display()))?;
    let mut command =
        Command::new(std::env::current_exe().context("cannot determine the path of this program")?);
    command.args(["dev", "supervise", "--name", &state.name, "--nodes", &flags.nodes.to_string()]);
    command.arg("--state-dir").arg(std::path::absolute(&state.parent)?);
    if let Some(path) = &flags.write_kubeconfig {
        command.arg("--write-kubeconfig").arg(std::path::absolute(path)?);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
    command.spawn().context("cannot start the supervisor")
}

/// Shows the progress until everything is done, or until a signal arrives.
async fn wait(supervisor: &mut Child) -> anyhow::Result<Status> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for signals")?;
    let output = supervisor.stdout.take().context("the supervisor has no output")?;
    let mut lines = BufReader::new(output).lines();
    loop {
        let line = tokio::select! {
            line = lines.next_line() => line?,
            _ = terminate.recv() => bail!("stopped by a signal; nothing is left"),
            _ = interrupt.recv() => bail!("stopped by a signal; nothing is left"),
        };
        match line.as_deref().map(serde_json::from_str) {
            Some(Ok(Reply::Step(text))) => println!("{text}"),
            Some(Ok(Reply::Done(status))) => return Ok(status),
            Some(Ok(Reply::Failed(text))) => bail!(text),
            Some(Err(error)) => return Err(error).context("unexpected output from the supervisor"),
            None => bail!("the supervisor exited ({})", supervisor.wait().await?),
        }
    }
}

fn show(status: &Status, seconds: f64) {
    let of = of_cluster(&status.name);
    let last = status.nodes.last().map_or("node-1", |node| &node.name);
    println!(
        "\nThe cluster {:?} is running: {} nodes, ready after {seconds:.1} s.",
        status.name,
        status.nodes.len()
    );
    println!("The API is at https://{}. Try next:\n", status.api);
    println!("  export KUBECONFIG={}", status.kubeconfig.display());
    println!("  kubectl get nodes -o wide");
    println!("  ironhull dev image import{of} FILE    an image archive, on every node");
    println!("  ironhull dev node cut{of} {last}       see what Kubernetes does then");
    println!("  ironhull dev node start{of} {last}     and undo it");
    println!("\n`ironhull dev down{of}` stops it and leaves nothing behind.");
}

/// The flag that names a cluster, if it needs one.
fn of_cluster(name: &str) -> String {
    if name == "dev" { String::new() } else { format!(" --name {name}") }
}
