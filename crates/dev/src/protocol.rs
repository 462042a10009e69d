//! What commands and the supervisor say to each other: JSON, one message a line.
//!
//! A command sends one [`Request`] and reads [`Reply`]s until one of them is the last. While a cluster starts, the
//! supervisor says the same replies on its standard output.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};

use crate::state::StateDir;

/// What a command wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// The cluster as it is.
    Status,
    /// The end of the cluster.
    Down,
    /// The images of this archive on every node.
    ImportImage(PathBuf),
    /// Something done to a node.
    Node {
        /// Its name.
        name: String,
        /// What.
        action: NodeAction,
    },
}

/// What can be done to a node.
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

/// What the supervisor answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reply {
    /// Something was done, and more is to come; for a person.
    Step(String),
    /// All is done. The last reply.
    Done(Status),
    /// It failed, and why. The last reply.
    Failed(String),
}

/// A cluster as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Its name.
    pub name: String,
    /// The process that owns it.
    pub supervisor: u32,
    /// Where the machine's shell reaches the API.
    pub api: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Its nodes, in the order of their names.
    pub nodes: Vec<NodeStatus>,
}

/// A node as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name.
    pub name: String,
    /// Its addresses in the cluster's network, joined by commas.
    pub addresses: String,
    /// `running`, `cut off`, `stopped`, or `failed` if its program has ended by itself.
    pub state: String,
}

/// Asks a cluster's supervisor, and hears each step on the way.
///
/// # Errors
/// What the supervisor said, or that there is none.
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
    bail!("the supervisor of the cluster {:?} ended; its words are in {}", state.name, state.log().display())
}

/// Writes one message.
///
/// # Errors
/// If nobody reads any more.
pub fn say(mut to: impl Write, message: &impl Serialize) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    Ok(to.flush()?)
}
