//! What goes wrong with plugins.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Why a plugin did not carry out a command.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// Its program is nowhere.
    #[error(
        "the CNI plugin {plugin:?} is in none of {}: install it, or set its directory with --cni-bin-dir",
        directories.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Missing {
        /// The plugin.
        plugin: String,
        /// The directories searched.
        directories: Vec<PathBuf>,
    },
    /// It could not be run.
    #[error("cannot run the CNI plugin {plugin}")]
    Run {
        /// The plugin.
        plugin: String,
        /// What the system said.
        source: io::Error,
    },
    /// It took too long and was killed.
    #[error("the CNI plugin {plugin} did not answer {command} within {limit:?}")]
    Late {
        /// The plugin.
        plugin: String,
        /// What it was asked.
        command: &'static str,
        /// How long it had.
        limit: Duration,
    },
    /// It refused, or failed.
    #[error("the CNI plugin {plugin} failed {command}: {message}")]
    Failed {
        /// The plugin.
        plugin: String,
        /// What it was asked.
        command: &'static str,
        /// What it said.
        message: String,
    },
    /// It reports that it cannot connect pods at the moment.
    #[error(
        "the CNI plugin {plugin} is not available{}: {message}",
        if *cut_off { ", and running pods may be cut off" } else { "" }
    )]
    NotAvailable {
        /// The plugin.
        plugin: String,
        /// Whether existing connections may be cut off too.
        cut_off: bool,
        /// What it said.
        message: String,
    },
    /// Its answer is not JSON, or is too long.
    #[error("the CNI plugin {plugin} gave no valid result for {command}: {reason}")]
    Answer {
        /// The plugin.
        plugin: String,
        /// What it was asked.
        command: &'static str,
        /// What is wrong.
        reason: String,
    },
}
