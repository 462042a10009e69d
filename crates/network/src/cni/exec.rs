//! Runs plugins: programs that get a request in their environment and on standard input, and answer on standard output.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::statfs::{NSFS_MAGIC, statfs};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::INTERFACE;
use super::attachment::Attachment;

/// What a plugin may write, in bytes.
const OUTPUT_MAX: u64 = 1 << 20;
/// How long a plugin may take. Upstream's runtimes give a sandbox four minutes for all of them.
const LIMIT: Duration = Duration::from_secs(60);

/// Why a plugin did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// Its program is nowhere.
    #[error(
        "the CNI plugin {plugin:?} is in none of {}: install it, or name its directory by --cni-bin-dir",
        directories.iter().map(|d| d.display().to_string()).collect::<Vec<_>>().join(", ")
    )]
    Missing {
        /// The plugin.
        plugin: String,
        /// Where it was looked for.
        directories: Vec<PathBuf>,
    },
    /// It could not be run.
    #[error("cannot run the CNI plugin {plugin}: {source}")]
    Run {
        /// The plugin.
        plugin: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It took too long, and was ended.
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
    /// Its answer is no JSON, or too long.
    #[error("the CNI plugin {plugin} answered {command} with what is no result: {reason}")]
    Answer {
        /// The plugin.
        plugin: String,
        /// What it was asked.
        command: &'static str,
        /// What is wrong.
        reason: String,
    },
}

/// The program of a plugin.
pub(super) fn find(directories: &[PathBuf], plugin: &str) -> Result<PathBuf, PluginError> {
    let paths = directories.iter().map(|directory| directory.join(plugin));
    let missing = || PluginError::Missing { plugin: plugin.to_owned(), directories: directories.to_vec() };
    paths.into_iter().find(|path| path.is_file()).ok_or_else(missing)
}

/// Asks the plugin at a position of the attachment's list; its result comes back, if it gave one.
pub(super) async fn run(
    command: &'static str,
    attachment: &Attachment,
    position: usize,
) -> Result<Option<Value>, PluginError> {
    let plugin = &attachment.list.plugins[position];
    let path = find(&attachment.bin_dirs, plugin.kind())?;
    let previous = match command {
        "DEL" if !attachment.list.passes_results_to_delete() => None,
        _ => attachment.result.as_ref(),
    };
    let input = plugin.input(&attachment.list, previous, &attachment.capabilities).to_string();
    let work = talk(command, attachment, plugin.kind(), &path, &input);
    match tokio::time::timeout(LIMIT, work).await {
        Ok(answer) => answer,
        Err(_) => Err(PluginError::Late { plugin: plugin.kind().to_owned(), command, limit: LIMIT }),
    }
}

async fn talk(
    command: &'static str,
    attachment: &Attachment,
    plugin: &str,
    path: &Path,
    input: &str,
) -> Result<Option<Value>, PluginError> {
    let failed = |source| PluginError::Run { plugin: plugin.to_owned(), source };
    let bin_dirs = std::env::join_paths(&attachment.bin_dirs).unwrap_or_default();
    // A namespace that is gone has no path; plugins then clean up what is outside of it.
    let namespace =
        if is_namespace(&attachment.namespace) { attachment.namespace.as_os_str() } else { "".as_ref() };
    let mut child = Command::new(path)
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", &attachment.id)
        .env("CNI_NETNS", namespace)
        .env("CNI_IFNAME", INTERFACE)
        .env("CNI_ARGS", &attachment.arguments)
        .env("CNI_PATH", bin_dirs)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A plugin that does not read tells why in its answer.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), stdout, stderr) = tokio::join!(feed, read(stdout), read(stderr));
    let status = child.wait().await.map_err(failed)?;
    if !status.success() {
        return Err(PluginError::Failed {
            plugin: plugin.to_owned(),
            command,
            message: message(&stdout, &stderr).unwrap_or_else(|| status.to_string()),
        });
    }
    let answer = |reason: String| PluginError::Answer { plugin: plugin.to_owned(), command, reason };
    if stdout.len() as u64 > OUTPUT_MAX {
        return Err(answer(format!("it is longer than {OUTPUT_MAX} bytes")));
    }
    if command != "ADD" || stdout.trim_ascii().is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&stdout).map(Some).map_err(|error| answer(error.to_string()))
}

/// Whether a namespace is there. After a restart of the machine, the file on which one was mounted is an empty one.
fn is_namespace(path: &Path) -> bool {
    statfs(path).is_ok_and(|filesystem| filesystem.filesystem_type() == NSFS_MAGIC)
}

/// Reads to the end, and keeps one byte more than is allowed: the rest goes unread, so that the plugin can end.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let Some(mut stream) = stream else { return Vec::new() };
    let mut kept = Vec::new();
    // What was read before an error is what there is.
    let _ = (&mut stream).take(OUTPUT_MAX + 1).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    kept
}

/// What a plugin says of its failure: the error object of the specification, or the beginning of whatever it wrote.
fn message(stdout: &[u8], stderr: &[u8]) -> Option<String> {
    if let Ok(error) = serde_json::from_slice::<Value>(stdout)
        && let Some(message) = error.get("msg").and_then(Value::as_str)
    {
        let details = error.get("details").and_then(Value::as_str).filter(|details| !details.is_empty());
        return Some(details.map_or_else(|| message.to_owned(), |details| format!("{message}: {details}")));
    }
    let text = String::from_utf8_lossy(if stderr.is_empty() { stdout } else { stderr }).trim().to_owned();
    (!text.is_empty()).then(|| text.chars().take(500).collect())
}
