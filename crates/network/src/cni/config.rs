//! Configurations of networks, as files.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::exec::PluginError;

/// The versions that this runtime speaks, the newest last.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// What a file of configuration may have, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Why there is no network to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nobody has configured one yet.
    #[error("no network configuration (.conflist, .conf, .json) is in {dir}")]
    None {
        /// The directory.
        dir: PathBuf,
    },
    /// The first file is no configuration.
    #[error("the network configuration {path} is wrong: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The directory or the file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A plugin of it is not installed.
    #[error(transparent)]
    Plugin(PluginError),
}

/// A plugin's part of a configuration: an object with `type`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Plugin(Map<String, Value>);

impl Plugin {
    /// The name of its program.
    pub(super) fn kind(&self) -> &str {
        self.0.get("type").and_then(Value::as_str).unwrap_or_default()
    }

    /// What goes to its standard input: its part, with the network's name and version, the result of the plugin before,
    /// and of `capabilities` those that it declares.
    pub(super) fn input(&self, list: &ConfigList, previous: Option<&Value>, capabilities: &Value) -> Value {
        let mut input = self.0.clone();
        input.insert("name".to_owned(), json!(list.name));
        input.insert("cniVersion".to_owned(), json!(list.version));
        if let Some(previous) = previous {
            input.insert("prevResult".to_owned(), previous.clone());
        }
        let declared = input.remove("capabilities");
        let declares = |name: &str| declared.as_ref().is_some_and(|all| all[name] == json!(true));
        let given: Map<String, Value> = capabilities
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| declares(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !given.is_empty() {
            input.insert("runtimeConfig".to_owned(), Value::Object(given));
        }
        Value::Object(input)
    }
}

/// A network: its plugins, in the order in which they connect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConfigList {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) disable_check: bool,
    pub(super) plugins: Vec<Plugin>,
}

impl ConfigList {
    /// Whether the version has CHECK, and the network allows it.
    pub(super) fn can_check(&self) -> bool {
        !self.disable_check && self.passes_results_to_delete()
    }

    /// Whether DEL gets the result of ADD.
    pub(super) fn passes_results_to_delete(&self) -> bool {
        !matches!(self.version.as_str(), "0.3.0" | "0.3.1")
    }
}

/// The first configuration in `dir`, in the order of names.
pub(super) fn load(dir: &Path) -> Result<ConfigList, ConfigError> {
    let none = || ConfigError::None { dir: dir.to_owned() };
    let read = |path: &Path| {
        let path = path.to_owned();
        move |source| ConfigError::Read { path, source }
    };
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(none()),
        entries => entries.map_err(read(dir))?,
    };
    let mut paths: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.map_err(read(dir))?.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if matches!(extension, "conflist" | "conf" | "json") {
            paths.push(path);
        }
    }
    let path = paths.into_iter().min().ok_or_else(none)?;
    let invalid = |reason: String| ConfigError::Invalid { path: path.clone(), reason };
    if std::fs::metadata(&path).map_err(read(&path))?.len() > FILE_MAX {
        return Err(invalid(format!("it has more than {FILE_MAX} bytes")));
    }
    let text = std::fs::read(&path).map_err(read(&path))?;
    parse(&text).map_err(invalid)
}

/// Reads a list of plugins, or a single one, which is a list of itself.
fn parse(text: &[u8]) -> Result<ConfigList, String> {
    let mut all: Map<String, Value> = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    let name = all.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_good) {
        return Err(format!("\"name\": {name:?} is no name of a network"));
    }
    let version = version(&all)?;
    let disable_check = matches!(all.get("disableCheck"), Some(Value::Bool(true)))
        || all.get("disableCheck").and_then(Value::as_str) == Some("true");
    let plugins = match all.remove("plugins") {
        Some(plugins) => serde_json::from_value::<Vec<Plugin>>(plugins).map_err(|error| error.to_string())?,
        None => vec![Plugin(all)],
    };
    if plugins.is_empty() {
        return Err("\"plugins\" is empty".to_owned());
    }
    let is_program = |kind: &str| !kind.is_empty() && !kind.contains('/') && !kind.starts_with('.');
    match plugins.iter().find(|plugin| !is_program(plugin.kind())) {
        Some(plugin) => Err(format!("\"type\": {:?} is no name of a plugin", plugin.kind())),
        None => Ok(ConfigList { name, version, disable_check, plugins }),
    }
}

/// The newest version that the network and this runtime speak.
fn version(all: &Map<String, Value>) -> Result<String, String> {
    let offered = all.get("cniVersions").and_then(Value::as_array).into_iter().flatten();
    let offered: Vec<&str> = offered.chain(all.get("cniVersion")).filter_map(Value::as_str).collect();
    let spoken = VERSIONS.iter().rev().find(|version| offered.contains(version));
    spoken
        .map(|version| (*version).to_owned())
        .ok_or_else(|| format!("\"cniVersion\": {} is not among {}", offered.join(", "), VERSIONS.join(", ")))
}
