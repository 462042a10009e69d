//! Runs plugins: programs that read a request from their environment and standard input, and write the response to
//! standard output.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::statfs::{NSFS_MAGIC, statfs};
use serde_json::{Map, Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::INTERFACE;
use super::attachment::Attachment;
use super::config::{ConfigList, Plugin};
use super::error::PluginError;

/// The maximum output of a plugin, in bytes.
const OUTPUT_MAX: u64 = 1 << 20;
/// The time limit of a plugin. Upstream's runtimes allow four minutes per sandbox for all of them.
const LIMIT: Duration = Duration::from_secs(60);
/// The time limit for queries about a plugin itself, because the node's status waits for them.
const QUESTION_LIMIT: Duration = Duration::from_secs(10);
/// The pause before a program that is being written is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(100);
/// Error codes of STATUS: nothing can be connected, and existing connections may be cut off too.
const NOT_AVAILABLE: u64 = 50;
const NOT_AVAILABLE_AND_CUT_OFF: u64 = 51;

/// The program of a plugin.
pub(super) fn find(directories: &[PathBuf], plugin: &str) -> Result<PathBuf, PluginError> {
    let paths = directories.iter().map(|directory| directory.join(plugin));
    let missing = || PluginError::Missing { plugin: plugin.to_owned(), directories: directories.to_vec() };
    paths.into_iter().find(|path| path.is_file()).ok_or_else(missing)
}

/// Calls the plugin at a position in the attachment's list; returns its result, if any.
pub(super) async fn run(
    command: &'static str,
    attachment: &Attachment,
    position: usize,
) -> Result<Option<Value>, PluginError> {
    let plugin = &attachment.list.plugins[position];
    let previous = match command {
        "DEL" if !attachment.list.passes_results_to_delete() => None,
        _ => attachment.result.as_ref(),
    };
    // A namespace that is gone has no path; plugins then clean up everything outside it.
    let namespace =
        if is_namespace(&attachment.namespace) { attachment.namespace.as_path() } else { Path::new("") };
    let call = Call {
        command,
        plugin: plugin.kind(),
        bin_dirs: &attachment.bin_dirs,
        input: plugin.input_about(&attachment.list, previous, &attachment.capabilities),
        sandbox: Some((&attachment.id, namespace, &attachment.arguments)),
        limit: LIMIT,
    };
    let answer = call.answer().await?;
    if command != "ADD" || answer.trim_ascii().is_empty() {
        return Ok(None);
    }
    call.parse(&answer).map(Some)
}

/// Sends a plugin of a network a request that does not concern a single sandbox.
pub(super) async fn ask(
    command: &'static str,
    list: &ConfigList,
    plugin: &Plugin,
    bin_dirs: &[PathBuf],
    more: Map<String, Value>,
) -> Result<(), PluginError> {
    let limit = if command == "STATUS" { QUESTION_LIMIT } else { LIMIT };
    let input = plugin.input(list, more);
    let call = Call { command, plugin: plugin.kind(), bin_dirs, input, sandbox: None, limit };
    call.answer().await.map(drop)
}

/// The versions that a plugin speaks.
pub(super) async fn versions(
    plugin: &str,
    bin_dirs: &[PathBuf],
    wanted: &str,
) -> Result<Vec<String>, PluginError> {
    let input = Map::from_iter([("cniVersion".to_owned(), json!(wanted))]);
    let call = Call { command: "VERSION", plugin, bin_dirs, input, sandbox: None, limit: QUESTION_LIMIT };
    let answer = call.parse(&call.answer().await?)?;
    let versions = answer.get("supportedVersions").and_then(Value::as_array).into_iter().flatten();
    let versions: Vec<String> = versions.filter_map(Value::as_str).map(str::to_owned).collect();
    match versions.is_empty() {
        true => Err(call.no_result("\"supportedVersions\" is missing".to_owned())),
        false => Ok(versions),
    }
}

/// One call of a plugin.
struct Call<'c> {
    command: &'static str,
    plugin: &'c str,
    bin_dirs: &'c [PathBuf],
    input: Map<String, Value>,
    /// The sandbox: its ID, its namespace, and `CNI_ARGS`.
    sandbox: Option<(&'c str, &'c Path, &'c str)>,
    limit: Duration,
}

impl Call<'_> {
    /// The plugin's standard output.
    async fn answer(&self) -> Result<Vec<u8>, PluginError> {
        let path = find(self.bin_dirs, self.plugin)?;
        match tokio::time::timeout(self.limit, self.talk(&path)).await {
            Ok(answer) => answer,
            Err(_) => Err(PluginError::Late {
                plugin: self.plugin.to_owned(),
                command: self.command,
                limit: self.limit,
            }),
        }
    }

    async fn talk(&self, path: &Path) -> Result<Vec<u8>, PluginError> {
        let failed = |source| PluginError::Run { plugin: self.plugin.to_owned(), source };
        let (id, namespace, arguments) = self.sandbox.unwrap_or(("", Path::new(""), ""));
        let mut command = Command::new(path);
        command
            .env("CNI_COMMAND", self.command)
            .env("CNI_CONTAINERID", id)
            .env("CNI_NETNS", namespace)
            .env("CNI_IFNAME", if self.sandbox.is_some() { INTERFACE } else { "" })
            .env("CNI_ARGS", arguments)
            .env("CNI_PATH", std::env::join_paths(self.bin_dirs).unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = loop {
            match command.spawn() {
                // The program's file is being written right now; the call has a time limit.
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                child => break child.map_err(failed)?,
            }
        };
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let input = serde_json::to_vec(&self.input).map_err(|error| failed(error.into()))?;
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A plugin that does not read says why in its response.
                let _ = stdin.write_all(&input).await;
            }
        };
        let ((), stdout, stderr) = tokio::join!(feed, read(stdout), read(stderr));
        let status = child.wait().await.map_err(failed)?;
        if !status.success() {
            let (code, message) = said(&stdout, &stderr);
            return Err(self.failure(code, message.unwrap_or_else(|| status.to_string())));
        }
        if stdout.len() as u64 > OUTPUT_MAX {
            return Err(self.no_result(format!("it is longer than {OUTPUT_MAX} bytes")));
        }
        Ok(stdout)
    }

    fn failure(&self, code: Option<u64>, message: String) -> PluginError {
        let (plugin, command) = (self.plugin.to_owned(), self.command);
        match code {
            Some(code @ (NOT_AVAILABLE | NOT_AVAILABLE_AND_CUT_OFF)) if command == "STATUS" => {
                PluginError::NotAvailable { plugin, cut_off: code == NOT_AVAILABLE_AND_CUT_OFF, message }
            }
            _ => PluginError::Failed { plugin, command, message },
        }
    }

    fn parse(&self, answer: &[u8]) -> Result<Value, PluginError> {
        serde_json::from_slice(answer).map_err(|error| self.no_result(error.to_string()))
    }

    fn no_result(&self, reason: String) -> PluginError {
        PluginError::Answer { plugin: self.plugin.to_owned(), command: self.command, reason }
    }
}

/// Whether a namespace exists. After a reboot, the file on which one was mounted is empty.
fn is_namespace(path: &Path) -> bool {
    statfs(path).is_ok_and(|filesystem| filesystem.filesystem_type() == NSFS_MAGIC)
}

/// Reads to the end, and keeps one byte more than is allowed: the rest is discarded, so that the plugin can exit.
async fn read(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let Some(mut stream) = stream else { return Vec::new() };
    let mut kept = Vec::new();
    // The data read before an error are used.
    let _ = (&mut stream).take(OUTPUT_MAX + 1).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    kept
}

/// A plugin's error: code and message of the specification's error object, or the beginning of its output.
fn said(stdout: &[u8], stderr: &[u8]) -> (Option<u64>, Option<String>) {
    if let Ok(error) = serde_json::from_slice::<Value>(stdout)
        && let Some(message) = error.get("msg").and_then(Value::as_str)
    {
        let code = error.get("code").and_then(Value::as_u64);
        let details = error.get("details").and_then(Value::as_str).filter(|details| !details.is_empty());
        let message = details.map_or_else(|| message.to_owned(), |details| format!("{message}: {details}"));
        return (code, Some(message));
    }
    let text = String::from_utf8_lossy(if stderr.is_empty() { stdout } else { stderr }).trim().to_owned();
    (None, (!text.is_empty()).then(|| text.chars().take(500).collect()))
}
