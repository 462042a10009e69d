//! Configurations of networks, as files.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::PluginError;

/// The versions that this runtime speaks, the newest last.
const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// The maximum size of a configuration file, in bytes.
const FILE_MAX: u64 = 1 << 20;

/// Why there is no network to connect to.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no configuration yet.
    #[error("no network configuration (.conflist, .conf, .json) is in {dir}")]
    None {
        /// The directory.
        dir: PathBuf,
    },
    /// The first file is not a valid configuration.
    #[error("the network configuration {path} is invalid: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// The directory or the file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// One of its plugins is not installed, or does not report its supported versions.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// One of its plugins supports none of its versions.
    #[error(
        "the network {network} is configured for CNI {}, but its plugin {plugin} supports {}: update the \
            plugin, or add one of \
         its versions to the configuration (\"cniVersions\")", offered.join(", "), spoken.join(", ")
    )]
    Version {
        /// The network's name.
        network: String,
        /// The plugin.
        plugin: String,
        /// The versions of the configuration that this runtime speaks too.
        offered: Vec<String>,
        /// Those of the plugin.
        spoken: Vec<String>,
    },
    /// It needs address ranges that are not known yet.
    #[error(
        "the network {network} needs the node's pod subnets (capability \"ipRanges\"), but the node has \
            none yet (spec.podCIDR)"
    )]
    NoRanges {
        /// The network's name.
        network: String,
    },
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

    /// Whether it declares a capability.
    fn declares(&self, capability: &str) -> bool {
        self.0.get("capabilities").is_some_and(|all| all[capability] == json!(true))
    }

    /// Its standard input: its part of the configuration, with the network's name and version, and `more`.
    pub(super) fn input(&self, list: &ConfigList, more: Map<String, Value>) -> Map<String, Value> {
        let mut input = self.0.clone();
        input.remove("capabilities");
        input.insert("name".to_owned(), json!(list.name));
        input.insert("cniVersion".to_owned(), json!(list.version));
        input.extend(more);
        input
    }

    /// Like [`Plugin::input`], for one sandbox: with the result of the previous plugin, and those of `capabilities`
    /// that it declares.
    pub(super) fn input_about(
        &self,
        list: &ConfigList,
        previous: Option<&Value>,
        capabilities: &Value,
    ) -> Map<String, Value> {
        let mut more = Map::new();
        if let Some(previous) = previous {
            more.insert("prevResult".to_owned(), previous.clone());
        }
        let given: Map<String, Value> = capabilities
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, _)| self.declares(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !given.is_empty() {
            more.insert("runtimeConfig".to_owned(), Value::Object(given));
        }
        self.input(list, more)
    }
}

/// A network: its plugins, in the order in which they connect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ConfigList {
    pub(super) name: String,
    /// The version in use: the newest of those that the configuration offers, until its plugins were queried.
    pub(super) version: String,
    /// The versions that the configuration offers and this runtime speaks, the newest first.
    #[serde(skip)]
    pub(super) offered: Vec<String>,
    pub(super) disable_check: bool,
    #[serde(default)]
    pub(super) disable_gc: bool,
    pub(super) plugins: Vec<Plugin>,
}

impl ConfigList {
    /// Whether the version has CHECK, and the network allows it.
    pub(super) fn can_check(&self) -> bool {
        !self.disable_check && self.passes_results_to_delete()
    }

    /// Whether the version has GC, and the network allows it.
    pub(super) fn can_collect_garbage(&self) -> bool {
        !self.disable_gc && self.has_status()
    }

    /// Whether the version has STATUS.
    pub(super) fn has_status(&self) -> bool {
        self.version == "1.1.0"
    }

    /// Whether a plugin declares a capability.
    pub(super) fn declares(&self, capability: &str) -> bool {
        self.plugins.iter().any(|plugin| plugin.declares(capability))
    }

    /// Whether DEL receives the result of ADD.
    pub(super) fn passes_results_to_delete(&self) -> bool {
        !matches!(self.version.as_str(), "0.3.0" | "0.3.1")
    }
}

/// The first configuration in `dir`, in the order of names.
pub(super) fn load(dir: &Path) -> Result<ConfigList, ConfigError> {
    let paths = files(dir, &["conflist", "conf", "json"])?;
    let path = paths.into_iter().min().ok_or_else(|| ConfigError::None { dir: dir.to_owned() })?;
    let invalid = |reason: String| ConfigError::Invalid { path: path.clone(), reason };
    let all = read(&path)?;
    let only_inlined = flag(&all, "loadOnlyInlinedPlugins").map_err(invalid)?;
    let is_list = all.contains_key("plugins") || !all.contains_key("type");
    let mut list = parse(all).map_err(invalid)?;
    if is_list && !only_inlined {
        // Others may add plugins to the chain, without a change of the list itself.
        let mut paths = files(&dir.join(&list.name), &["conf"])?;
        paths.sort();
        for path in paths {
            let plugin = Plugin(read(&path)?);
            check(&plugin).map_err(|reason| ConfigError::Invalid { path, reason })?;
            list.plugins.push(plugin);
        }
    }
    match list.plugins.is_empty() {
        true if is_list => Err(invalid(format!(
            "\"plugins\" is empty, and no plugin (.conf) is in {}",
            dir.join(&list.name).display()
        ))),
        _ => Ok(list),
    }
}

/// The files in `dir` with one of the extensions; none if there is no such directory.
fn files(dir: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, ConfigError> {
    let failed = |source| ConfigError::Read { path: dir.to_owned(), source };
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        if extensions.contains(&extension) && !entry.file_type().map_err(failed)?.is_dir() {
            paths.push(path);
        }
    }
    Ok(paths)
}

fn read(path: &Path) -> Result<Map<String, Value>, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let invalid = |reason| ConfigError::Invalid { path: path.to_owned(), reason };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_MAX {
        return Err(invalid(format!("it has more than {FILE_MAX} bytes")));
    }
    let text = std::fs::read(path).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|error| invalid(error.to_string()))
}

/// Parses a list of plugins, or a single one, which counts as a list. Plugins in other files are not included.
fn parse(mut all: Map<String, Value>) -> Result<ConfigList, String> {
    let name = all.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_good) {
        return Err(format!("\"name\": {name:?} is not a valid network name"));
    }
    let offered = versions(&all)?;
    let disable_check = flag(&all, "disableCheck")?;
    let disable_gc = flag(&all, "disableGC")?;
    let plugins = match all.remove("plugins") {
        Some(plugins) => serde_json::from_value::<Vec<Plugin>>(plugins).map_err(|error| error.to_string())?,
        None if all.contains_key("type") => vec![Plugin(all)],
        None => Vec::new(),
    };
    plugins.iter().try_for_each(check)?;
    let version = offered.first().cloned().unwrap_or_default();
    Ok(ConfigList { name, version, offered, disable_check, disable_gc, plugins })
}

/// Whether a plugin's part names a program.
fn check(plugin: &Plugin) -> Result<(), String> {
    let kind = plugin.kind();
    match !kind.is_empty() && !kind.contains('/') && !kind.starts_with('.') {
        true => Ok(()),
        false => Err(format!("\"type\": {kind:?} is not a valid plugin name")),
    }
}

/// A boolean; also as a string, as upstream accepts it.
fn flag(all: &Map<String, Value>, name: &str) -> Result<bool, String> {
    match all.get(name) {
        None => Ok(false),
        Some(Value::Bool(value)) => Ok(*value),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
        Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
        Some(other) => Err(format!("{name:?}: {other} is neither true nor false")),
    }
}

/// The versions that the network and this runtime speak, the newest first; at least one.
fn versions(all: &Map<String, Value>) -> Result<Vec<String>, String> {
    let offered = all.get("cniVersions").and_then(Value::as_array).into_iter().flatten();
    let offered: Vec<&str> = offered.chain(all.get("cniVersion")).filter_map(Value::as_str).collect();
    let spoken: Vec<String> = VERSIONS
        .iter()
        .rev()
        .filter(|version| offered.contains(version))
        .map(|version| (*version).to_owned())
        .collect();
    match spoken.is_empty() {
        true => Err(format!("\"cniVersion\": {} is not among {}", offered.join(", "), VERSIONS.join(", "))),
        false => Ok(spoken),
    }
}
