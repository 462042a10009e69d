//! The command line of `ironhull dev`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Flags of all `ironhull dev` commands.
#[derive(Debug, Args)]
pub struct DevFlags {
    /// The cluster's name.
    #[arg(long, global = true, default_value = "dev")]
    pub name: String,
    /// Where clusters keep their state.
    #[arg(long, global = true, value_name = "DIR", default_value = "/var/cache/ironhull-dev")]
    pub state_dir: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: DevCommand,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum DevCommand {
    /// Start a cluster, and return when every node is ready.
    Up(UpFlags),
    /// End a cluster, and leave nothing of it.
    Down,
    /// Show a cluster and its nodes.
    Status,
    /// Show all clusters.
    #[command(visible_alias = "ls")]
    List,
    /// Bring images to the nodes.
    Image {
        /// What to do.
        #[command(subcommand)]
        command: DevImageCommand,
    },
    /// Break a node, and mend it.
    Node {
        /// What to do.
        #[command(subcommand)]
        command: DevNodeCommand,
    },
    /// Own a cluster until told to end it.
    #[command(hide = true)]
    Supervise(UpFlags),
}

/// Flags of `ironhull dev up`.
#[derive(Clone, Debug, Args)]
pub struct UpFlags {
    /// How many nodes. The first one has the control side too.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub nodes: u16,
    /// Write the administrator's kubeconfig to this file too; `down` removes it.
    #[arg(long, value_name = "FILE")]
    pub write_kubeconfig: Option<PathBuf>,
}

/// What to do with images.
#[derive(Debug, Subcommand)]
pub enum DevImageCommand {
    /// Take images from an archive, on every node.
    Import {
        /// The archive, as `docker save` and OCI tools write it, plain or compressed by gzip.
        file: PathBuf,
    },
}

/// What to do with a node.
#[derive(Debug, Subcommand)]
pub enum DevNodeCommand {
    /// Turn a node off, as by its plug. Its disk stays.
    Stop {
        /// The node.
        node: String,
    },
    /// Cut a node off from all others. Its programs run on.
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
