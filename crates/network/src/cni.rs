//! CNI networks: the runtime's side of the Container Network Interface, versions 0.3.1 to 1.1.0.
//!
//! ```text
//! <conf dir>/10-net.conflist ──▶ config ──▶ exec: one plugin after the other, each with the result before
//!                                             │
//!                             attachment: what DEL will need, on disk before the first plugin runs
//! ```
//!
//! The first configuration in the order of names is used, in the newest version that it and all of its plugins support
//! (`versions`). A pod is disconnected with the configuration with which it was connected, whatever is in the directory
//! by then.
//!
//! While [`Cni::keep`] runs, changes of the configuration take effect at once (`watch`), and plugins that support GC
//! receive the list of existing pods.
//!
//! This module must not know the overlay: with CNI, the network's plugins route between nodes.

mod attachment;
mod capabilities;
mod config;
mod error;
mod exec;
mod versions;
mod watch;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, RwLock};
use tokio::time::{Instant, timeout};

use attachment::Attachment;
pub use config::ConfigError;
use config::ConfigList;
pub use error::PluginError;
use versions::Versions;
use watch::Watch;

use crate::host_port::HostPort;

/// The link inside of pods.
const INTERFACE: &str = "eth0";
/// Where attachments are recorded, below the state directory.
pub(crate) const DIRECTORY: &str = "cni";
/// How long an answer to STATUS is valid, because changes are not reported. Upstream's kubelet queries as often.
const STATUS_HOLDS: Duration = Duration::from_secs(5);
/// The same while one says that it is not available.
const FAILURE_HOLDS: Duration = Duration::from_secs(1);
/// How long nothing must have been disconnected before garbage is collected.
const GC_QUIET: Duration = Duration::from_secs(10);
/// How long garbage may lie where something is always being disconnected.
const GC_WITHIN: Duration = Duration::from_secs(600);

/// Where networks are configured, and their plugins are.
#[derive(Debug, Clone)]
pub struct CniConfig {
    /// The directory of configurations (`/etc/cni/net.d`).
    pub conf_dir: PathBuf,
    /// Directories of plugins; the first that has one counts.
    pub bin_dirs: Vec<PathBuf>,
    /// The directory of the records of attachments; readable only by root, because configurations can contain secrets.
    pub state_dir: PathBuf,
}

/// The network settings of a sandbox.
#[derive(Debug, Clone, Copy)]
pub struct Sandbox<'s> {
    /// The sandbox's id.
    pub id: &'s str,
    /// Its network namespace.
    pub namespace: &'s Path,
    /// The pod's namespace, name and UID.
    pub pod: [&'s str; 3],
    /// Ports of the host that lead to it.
    pub host_ports: &'s [HostPort],
    /// The most bits a second into the pod, if limited.
    pub ingress_rate: Option<i64>,
    /// The most bits a second out of the pod, if limited.
    pub egress_rate: Option<i64>,
    /// Its DNS settings if they differ from the host's: servers, search domains, options.
    pub dns: Option<[&'s [String]; 3]>,
    /// The pod's cgroup; empty if it has none.
    pub cgroup: &'s str,
    /// The pod's annotations.
    pub annotations: &'s BTreeMap<String, String>,
}

/// Why a sandbox could not be connected or disconnected.
#[derive(Debug, thiserror::Error)]
pub enum CniError {
    /// There is no usable configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A plugin failed.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The record of an attachment could not be read or written.
    #[error("cannot keep the record of a CNI attachment")]
    Record(#[from] std::io::Error),
    /// The plugins gave the pod no address.
    #[error("the CNI network {network} gave the pod no address")]
    NoAddress {
        /// The network's name.
        network: String,
    },
}

/// The runtime's side.
#[derive(Debug)]
pub struct Cni {
    config: CniConfig,
    versions: Versions,
    /// The node's pod subnets, for plugins that need them.
    pod_subnets: Mutex<Vec<IpNet>>,
    status: Mutex<Option<Answer>>,
    /// Notified when the answer of [`Cni::problem`] may have changed.
    changed: Notify,
    /// Notified when something was disconnected, or another network configured.
    garbage: Notify,
    /// Held for writing while garbage is collected: otherwise a plugin would take an attachment that is being made for
    /// a stale one.
    collecting: RwLock<()>,
}

/// The plugins' answers to STATUS.
#[derive(Debug)]
struct Answer {
    list: ConfigList,
    at: Instant,
    failure: Option<String>,
}

impl Answer {
    /// Whether it still describes `list`.
    fn counts_for(&self, list: &ConfigList) -> bool {
        let holds = if self.failure.is_some() { FAILURE_HOLDS } else { STATUS_HOLDS };
        self.list == *list && self.at.elapsed() < holds
    }
}

impl Cni {
    /// A runtime that reads its configuration when it is needed.
    pub fn new(config: CniConfig) -> Cni {
        Cni {
            config,
            versions: Versions::default(),
            pod_subnets: Mutex::default(),
            status: Mutex::default(),
            changed: Notify::new(),
            garbage: Notify::new(),
            collecting: RwLock::default(),
        }
    }

    /// Receives the node's pod subnets.
    pub fn set_pod_subnets(&self, subnets: Vec<IpNet>) {
        *self.pod_subnets.lock() = subnets;
        self.changed.notify_one();
    }

    /// Why pods cannot be connected at the moment, with upstream's message if it has one; `None` if they can. Plugins
    /// that support STATUS are queried every few seconds at most.
    pub async fn problem(&self) -> Option<String> {
        let failure = match self.network().await {
            Ok(list) if list.has_status() => self.status(list).await?,
            Ok(_) => return None,
            Err(ConfigError::None { .. }) => "cni plugin not initialized".to_owned(),
            Err(error) => causes::chain(&error),
        };
        Some(format!("Network plugin returns error: {failure}"))
    }

    /// Waits until the answer of [`Cni::problem`] may have changed, as far as that is known while [`Cni::keep`] runs.
    /// For one caller, which misses nothing between two calls.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The network to connect to, in the version that its plugins speak.
    async fn network(&self) -> Result<ConfigList, ConfigError> {
        let mut list = config::load(&self.config.conf_dir)?;
        self.versions.settle(&mut list, &self.config.bin_dirs).await?;
        match list.declares(capabilities::IP_RANGES) && self.pod_subnets.lock().is_empty() {
            true => Err(ConfigError::NoRanges { network: list.name }),
            false => Ok(list),
        }
    }

    /// The message of the first plugin that cannot connect pods at the moment.
    async fn status(&self, list: ConfigList) -> Option<String> {
        if let Some(answer) = self.status.lock().as_ref().filter(|answer| answer.counts_for(&list)) {
            return answer.failure.clone();
        }
        let mut failure = None;
        for plugin in &list.plugins {
            if let Err(error) = exec::ask("STATUS", &list, plugin, &self.config.bin_dirs, Map::new()).await {
                failure = Some(causes::chain(&error));
                break;
            }
        }
        *self.status.lock() = Some(Answer { list, at: Instant::now(), failure: failure.clone() });
        failure
    }

    /// Follows changes of the configuration, and collects garbage: once at the beginning, and whenever something was
    /// disconnected. Never returns.
    pub async fn keep(&self) {
        tokio::join!(self.watch(), self.collect());
    }

    async fn watch(&self) {
        let directories = std::iter::once(&self.config.conf_dir).chain(&self.config.bin_dirs).cloned();
        let follow = async {
            let watch = Watch::new(directories.collect())?;
            loop {
                watch.changed().await?;
                self.changed.notify_one();
                self.garbage.notify_one();
            }
        };
        let ended: std::io::Result<()> = follow.await;
        if let Err(error) = ended {
            tracing::warn!(%error, "cannot watch the CNI configuration; changes will be noticed late");
        }
    }

    async fn collect(&self) {
        loop {
            if let Err(error) = self.collect_garbage().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "CNI plugins failed to collect garbage"
                );
            }
            self.garbage.notified().await;
            let quiet = async { while timeout(GC_QUIET, self.garbage.notified()).await.is_ok() {} };
            let _ = timeout(GC_WITHIN, quiet).await;
        }
    }

    /// Passes the list of valid attachments to the plugins, so that they free everything else. Does nothing if there is
    /// no network, its version has no GC, or its configuration disables GC.
    ///
    /// # Errors
    /// Of the first plugin that failed; the others have been asked nevertheless.
    pub async fn collect_garbage(&self) -> Result<(), CniError> {
        let _alone = self.collecting.write().await;
        let list = match self.network().await {
            Ok(list) if list.can_collect_garbage() => list,
            // Errors in it are shown in the node's status.
            Ok(_) | Err(_) => return Ok(()),
        };
        let mut valid = Vec::new();
        for id in Attachment::all(&self.config.state_dir)? {
            let attachment = Attachment::load(&self.config.state_dir, &id)?;
            if attachment.is_some_and(|attachment| attachment.list.name == list.name) {
                valid.push(json!({"containerID": id, "ifname": INTERFACE}));
            }
        }
        // The first name is that of the current specification, the second that of its first edition.
        let names = ["cni.dev/valid-attachments", "cni.dev/attachments"];
        let more = Map::from_iter(names.map(|name| (name.to_owned(), json!(valid))));
        let mut failed = None;
        for plugin in &list.plugins {
            let asked = exec::ask("GC", &list, plugin, &self.config.bin_dirs, more.clone()).await;
            failed = failed.or(asked.err());
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Connects a sandbox and returns its addresses, the primary one first.
    ///
    /// # Errors
    /// The error of the first plugin that failed; the work of the others is undone.
    pub async fn add(&self, sandbox: &Sandbox<'_>) -> Result<Vec<IpAddr>, CniError> {
        let _not_garbage = self.collecting.read().await;
        // All plugins exist and support its version, before the first one runs.
        let list = self.network().await?;
        let mut attachment = Attachment {
            id: sandbox.id.to_owned(),
            namespace: sandbox.namespace.to_owned(),
            arguments: arguments(sandbox),
            capabilities: capabilities::of(sandbox, &self.pod_subnets.lock()),
            bin_dirs: self.config.bin_dirs.clone(),
            list,
            result: None,
        };
        // Written to disk first, so that an unfinished attachment is found after a crash.
        attachment.save(&self.config.state_dir)?;
        let added = self.add_all(&mut attachment).await;
        if added.is_err() {
            if let Err(error) = self.delete_all(&attachment).await {
                tracing::warn!(
                    sandbox = sandbox.id,
                    error = &error as &dyn std::error::Error,
                    "cannot undo the work of CNI plugins"
                );
            } else {
                Attachment::remove(&self.config.state_dir, sandbox.id)?;
            }
        }
        added
    }

    async fn add_all(&self, attachment: &mut Attachment) -> Result<Vec<IpAddr>, CniError> {
        for position in 0..attachment.list.plugins.len() {
            let answer = exec::run("ADD", attachment, position).await?;
            // A plugin without effects may return nothing; the previous result is kept.
            attachment.result = answer.or(attachment.result.take());
        }
        attachment.save(&self.config.state_dir)?;
        let addresses = attachment.result.as_ref().map(addresses).unwrap_or_default();
        match addresses.is_empty() {
            true => Err(CniError::NoAddress { network: attachment.list.name.clone() }),
            false => Ok(addresses),
        }
    }

    /// Disconnects a sandbox; does nothing if it is not connected. It works even if the namespace is gone.
    ///
    /// # Errors
    /// Of the first plugin that failed; the call can be repeated.
    pub async fn delete(&self, sandbox: &str) -> Result<(), CniError> {
        let _not_garbage = self.collecting.read().await;
        let Some(attachment) = Attachment::load(&self.config.state_dir, sandbox)? else { return Ok(()) };
        self.delete_all(&attachment).await?;
        Attachment::remove(&self.config.state_dir, sandbox)?;
        self.garbage.notify_one();
        Ok(())
    }

    async fn delete_all(&self, attachment: &Attachment) -> Result<(), CniError> {
        for position in (0..attachment.list.plugins.len()).rev() {
            exec::run("DEL", attachment, position).await?;
        }
        Ok(())
    }

    /// Asks the plugins whether a sandbox is connected as it should be. Networks of versions before 0.4.0, and those
    /// that disable CHECK, are assumed to be connected.
    ///
    /// # Errors
    /// Of the first plugin that finds something wrong.
    pub async fn check(&self, sandbox: &str) -> Result<(), CniError> {
        let Some(attachment) = Attachment::load(&self.config.state_dir, sandbox)? else { return Ok(()) };
        if attachment.list.can_check() {
            for position in 0..attachment.list.plugins.len() {
                exec::run("CHECK", &attachment, position).await?;
            }
        }
        Ok(())
    }

    /// Disconnects all sandboxes that are recorded, for `reset`.
    ///
    /// # Errors
    /// Of the first plugin that failed; the call can be repeated.
    pub async fn delete_everything(&self) -> Result<(), CniError> {
        for sandbox in Attachment::all(&self.config.state_dir)? {
            self.delete(&sandbox).await?;
        }
        Ok(())
    }
}

/// The pod's data for plugins (`CNI_ARGS`).
fn arguments(sandbox: &Sandbox<'_>) -> String {
    let [namespace, name, uid] = sandbox.pod;
    format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_INFRA_CONTAINER_ID={};\
         K8S_POD_UID={uid}",
        sandbox.id
    )
}

/// The pod's addresses in a result: those on links inside it, and those without a link.
fn addresses(result: &Value) -> Vec<IpAddr> {
    let list = |name: &str| result.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let interfaces = list("interfaces");
    let is_inside = |index: usize| {
        let sandbox = interfaces.get(index).and_then(|link| link.get("sandbox")?.as_str());
        sandbox.is_some_and(|sandbox| !sandbox.is_empty())
    };
    let inside = list("ips").iter().filter(|ip| {
        let index = ip.get("interface").and_then(Value::as_u64).and_then(|index| usize::try_from(index).ok());
        index.is_none_or(is_inside)
    });
    let texts = inside.filter_map(|ip| ip.get("address")?.as_str()?.split('/').next());
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// Disconnects all sandboxes that are recorded below `state_dir`.
///
/// # Errors
/// Of the first plugin that failed; the call can be repeated.
pub(crate) async fn reset(state_dir: &Path) -> Result<(), CniError> {
    let config =
        CniConfig { conf_dir: PathBuf::new(), bin_dirs: Vec::new(), state_dir: state_dir.to_owned() };
    Cni::new(config).delete_everything().await?;
    Ok(attachment::remove_all(state_dir)?)
}

#[cfg(test)]
mod tests;
