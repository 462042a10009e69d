//! The protocol between commands and the supervisor: JSON, one message per line.
//!
//! A command sends one [`Request`] and reads [`Reply`]s until one of them is the last. While a cluster starts, the
//! supervisor writes the same replies to its standard output.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::state::StateDir;

/// A command's request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// The cluster's status.
    Status,
    /// Shut down the cluster.
    Down,
    /// The images of this archive on every node.
    ImportImage(PathBuf),
    /// An action on a node.
    Node {
        /// Its name.
        name: String,
        /// What.
        action: NodeAction,
    },
}

/// The actions on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NodeAction {
    /// Turn it off.
    Stop,
    /// Cut it off.
    Cut,
    /// Undo both.
    Start,
}

/// The supervisor's reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// A step was done, and more will follow; a message for users.
    Step(String),
    /// All is done. The last reply.
    Done(Status),
    /// It failed, and why. The last reply.
    Failed(String),
}

/// The status of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The process that owns it.
    pub supervisor: u32,
    /// The API's address for the machine's shell.
    pub api: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Its nodes, in the order of their names.
    pub nodes: Vec<NodeStatus>,
}

/// The status of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its addresses in the cluster's network, joined by commas.
    pub addresses: String,
    /// `running`, `cut off`, `stopped`, or `failed` if its program has exited by itself.
    pub state: String,
}

/// Sends a request to a cluster's supervisor, and reports each step.
///
/// # Errors
/// The supervisor's error, or that it is not running.
pub fn ask(state: &StateDir, request: &Request, mut step: impl FnMut(&str)) -> anyhow::Result<Status> {
    let running = state.is_running()?;
    if !running {
        bail!(
            "there is no cluster {:?}: `ironhull dev up` starts one, `ironhull dev list` shows all",
            state.name
        );
    }
    let stream = UnixStream::connect(state.socket())
        .with_context(|| format!("the cluster {:?} is not ready for commands yet", state.name))?;
    say(&stream, request)?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line?)? {
            Reply::Step(text) => step(&text),
            Reply::Done(status) => return Ok(status),
            Reply::Failed(text) => bail!(text),
        }
    }
    bail!("the supervisor of the cluster {:?} exited; its output is in {}", state.name, state.log().display())
}

/// Writes one message.
///
/// # Errors
/// If the reader is gone.
pub fn say(mut to: impl Write, message: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    Ok(to.flush()?)
}
