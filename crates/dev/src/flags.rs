//! The command line of `ironhull dev`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Flags of all `ironhull dev` commands.
#[derive(Debug, Args)]
pub struct DevFlags {
    /// The cluster's name.
    #[arg(long, global = true, default_value = "dev")]
    pub name: String,
    /// The directory that holds the state of clusters.
    #[arg(long, global = true, value_name = "DIR", default_value = "/var/cache/ironhull-dev")]
    pub state_dir: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: DevCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum DevCommand {
    /// Start a cluster and return when every node is ready.
    Up(UpFlags),
    /// Stop a cluster and remove everything it created.
    Down,
    /// Show a cluster and its nodes.
    Status,
    /// List all clusters.
    #[command(visible_alias = "ls")]
    List,
    /// Load images onto the nodes.
    Image {
        /// What to do.
        #[command(subcommand)]
        command: DevImageCommand,
    },
    /// Break and repair nodes.
    Node {
        /// What to do.
        #[command(subcommand)]
        command: DevNodeCommand,
    },
    /// Run a cluster until it is told to stop.
    #[command(hide = true)]
    Supervise(UpFlags),
}

/// Flags of `ironhull dev up`.
#[derive(Clone, Debug, Args)]
pub struct UpFlags {
    /// The number of nodes. The first one also runs the control plane.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub nodes: u16,
    /// Also write the administrator's kubeconfig to this file; `down` removes it.
    #[arg(long, value_name = "FILE")]
    pub write_kubeconfig: Option<PathBuf>,
}

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum DevImageCommand {
    /// Import images from an archive on every node.
    Import {
        /// The archive, written by `docker save` or OCI tools, plain or gzip-compressed.
        file: PathBuf,
    },
}

/// What to do with a node.
#[derive(Debug, Subcommand)]
pub enum DevNodeCommand {
    /// Power a node off, as if unplugged. Its disk stays.
    Stop {
        /// The node.
        node: String,
    },
    /// Disconnect a node from all others. Its programs keep running.
    Cut {
        /// The node.
        node: String,
    },
    /// Undo `stop` and `cut`.
    Start {
        /// The node.
        node: String,
    },
}
