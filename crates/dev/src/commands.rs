//! Commands for a running cluster, and for stopping it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::flags::{DevImageCommand, DevNodeCommand};
use crate::preflight::{check_name, require_root};
use crate::protocol::{NodeAction, Request, Status, ask};
use crate::state::StateDir;

/// How often, and how many times, the exit of a supervisor that does not answer is looked for.
const EXIT_LOOK_INTERVAL: Duration = Duration::from_millis(100);
const EXIT_LOOKS: u32 = 50;

/// Stops a cluster. Afterwards nothing of it remains, even if its supervisor had exited before.
///
/// # Errors
/// If something cannot be removed.
pub async fn down(state: &StateDir) -> anyhow::Result<()> {
    require_root()?;
    if !state.exists() {
        println!("there is no cluster {:?}", state.name);
        return Ok(());
    }
    if state.is_running()? {
        match request(state, Request::Down).await {
            Ok(_) => {}
            // The supervisor may be about to exit, or may have been killed a moment ago.
            Err(error) => match ends(state).await? {
                true => state.remove()?,
                false => return Err(error),
            },
        }
    } else {
        state.remove()?;
    }
    println!("the cluster {:?} is gone", state.name);
    Ok(())
}

/// Waits for the exit of a supervisor that does not answer; whether it has exited.
async fn ends(state: &StateDir) -> anyhow::Result<bool> {
    for _ in 0..EXIT_LOOKS {
        if !state.is_running()? {
            return Ok(true);
        }
        tokio::time::sleep(EXIT_LOOK_INTERVAL).await;
    }
    Ok(false)
}

/// Shows a cluster.
///
/// # Errors
/// If it does not run.
pub async fn status(state: &StateDir) -> anyhow::Result<()> {
    require_root()?;
    show(&request(state, Request::Status).await?);
    Ok(())
}

/// Shows all clusters.
///
/// # Errors
/// If the directory cannot be read.
pub async fn list(parent: &Path) -> anyhow::Result<()> {
    require_root()?;
    let mut names: Vec<String> = match std::fs::read_dir(parent) {
        Ok(entries) => entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", parent.display())),
    };
    names.retain(|name| check_name(name).is_ok());
    names.sort_unstable();
    println!("{:<20} {:>5}  KUBECONFIG", "NAME", "NODES");
    for name in names {
        let state = StateDir::new(parent, &name);
        match request(&state, Request::Status).await {
            Ok(status) => println!("{name:<20} {:>5}  {}", status.nodes.len(), status.kubeconfig.display()),
            Err(_) => println!("{name:<20} {:>5}  (not running: `ironhull dev down --name {name}`)", "-"),
        }
    }
    Ok(())
}

/// Carries out `ironhull dev image ...`.
///
/// # Errors
/// Why a node did not take the images.
pub async fn image(state: &StateDir, command: &DevImageCommand) -> anyhow::Result<()> {
    require_root()?;
    let DevImageCommand::Import { file } = command;
    let path: PathBuf = file.canonicalize().with_context(|| format!("cannot read {}", file.display()))?;
    ensure!(path.is_file(), "{} is not a file", path.display());
    request(state, Request::ImportImage(path)).await.map(drop)
}

/// Carries out `ironhull dev node ...`.
///
/// # Errors
/// If there is no such node, or the machine refuses.
pub async fn node(state: &StateDir, command: &DevNodeCommand) -> anyhow::Result<()> {
    require_root()?;
    let (name, action) = match command {
        DevNodeCommand::Stop { node } => (node, NodeAction::Stop),
        DevNodeCommand::Cut { node } => (node, NodeAction::Cut),
        DevNodeCommand::Start { node } => (node, NodeAction::Start),
    };
    show(&request(state, Request::Node { name: name.clone(), action }).await?);
    Ok(())
}

async fn request(state: &StateDir, request: Request) -> anyhow::Result<Status> {
    let state = state.clone();
    tokio::task::spawn_blocking(move || ask(&state, &request, |step| println!("{step}"))).await?
}

fn show(status: &Status) {
    println!("cluster {:?}, owned by process {}", status.name, status.supervisor);
    println!("API https://{}, kubeconfig {}\n", status.api, status.kubeconfig.display());
    println!("{:<10} {:<10} ADDRESSES", "NODE", "STATE");
    for node in &status.nodes {
        println!("{:<10} {:<10} {}", node.name, node.state, node.addresses);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[tokio::test]
    async fn down_takes_over_from_a_supervisor_that_is_being_killed() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDir::new(&directory.path().join("clusters"), "dev");
        state.create().unwrap();
        let lock = state.lock().unwrap().expect("nobody else has it");
        let socket = UnixListener::bind(state.socket()).unwrap();
        // It dies with the request unread, which resets the connection, and keeps its lock a little longer.
        let supervisor = tokio::task::spawn_blocking(move || {
            drop(socket.accept().unwrap());
            drop(socket);
            drop(lock);
        });
        down(&state).await.unwrap();
        assert!(!state.exists());
        supervisor.await.unwrap();
    }
}
