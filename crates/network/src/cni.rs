//! Other people's pod networks: the runtime's side of the Container Network Interface, versions 0.3.1 to 1.1.0.
//!
//! ```text
//! <conf dir>/10-net.conflist ──▶ config ──▶ exec: one plugin after the other, each with the result before
//!                                             │
//!                             attachment: what DEL will need, on disk before the first plugin runs
//! ```
//!
//! The first configuration in the order of names counts. A pod is disconnected with the configuration with which it
//! was connected, whatever is in the directory by then.
//!
//! This module must not know the overlay: where it is used, somebody else routes between nodes.

mod attachment;
mod config;
mod exec;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use attachment::Attachment;
pub use config::ConfigError;
pub use exec::PluginError;

use crate::firewall::HostPort;

/// The link inside of pods.
const INTERFACE: &str = "eth0";
/// Where attachments are recorded, below the state directory.
pub(crate) const DIRECTORY: &str = "cni";
/// "No limit" of a bucket's size, in bits, as upstream's runtimes say it.
const BURST_UNLIMITED: i64 = i32::MAX as i64;

/// Where networks are configured, and their plugins are.
#[derive(Debug, Clone)]
pub struct CniConfig {
    /// The directory of configurations (`/etc/cni/net.d`).
    pub conf_dir: PathBuf,
    /// Directories of plugins; the first that has one counts.
    pub bin_dirs: Vec<PathBuf>,
    /// Where attachments are recorded; only for root's eyes, as configurations can hold secrets.
    pub state_dir: PathBuf,
}

/// What a sandbox wants of its network.
#[derive(Debug, Clone)]
pub struct Sandbox<'s> {
    /// The sandbox's id.
    pub id: &'s str,
    /// Its network namespace.
    pub namespace: &'s Path,
    /// The pod's namespace, name and UID.
    pub pod: [&'s str; 3],
    /// Ports of the host that shall lead to it.
    pub host_ports: &'s [HostPort],
    /// The most bits a second into the pod, if limited.
    pub ingress_rate: Option<i64>,
    /// The most bits a second out of the pod, if limited.
    pub egress_rate: Option<i64>,
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
    #[error("cannot keep the record of a CNI attachment: {0}")]
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
}

impl Cni {
    /// A runtime that looks for its configuration when it needs it.
    pub fn new(config: CniConfig) -> Cni {
        Cni { config }
    }

    /// Why pods cannot be connected at present, in upstream's words where it has some; `None` if they can.
    pub fn problem(&self) -> Option<String> {
        let checked = config::load(&self.config.conf_dir).and_then(|list| {
            let missing =
                list.plugins.iter().find_map(|plugin| exec::find(&self.config.bin_dirs, plugin.kind()).err());
            missing.map_or(Ok(()), |error| Err(ConfigError::Plugin(error)))
        });
        match checked {
            Ok(()) => None,
            Err(ConfigError::None { .. }) => {
                Some("Network plugin returns error: cni plugin not initialized".to_owned())
            }
            Err(error) => Some(format!("Network plugin returns error: {error}")),
        }
    }

    /// Connects a sandbox and answers its addresses, the primary one first.
    ///
    /// # Errors
    /// Of the first plugin that failed; what the others had done is taken back.
    pub async fn add(&self, sandbox: &Sandbox<'_>) -> Result<Vec<IpAddr>, CniError> {
        let list = config::load(&self.config.conf_dir)?;
        for plugin in &list.plugins {
            // Before the first one runs: without the others, it could not be taken back.
            exec::find(&self.config.bin_dirs, plugin.kind())?;
        }
        let mut attachment = Attachment {
            id: sandbox.id.to_owned(),
            namespace: sandbox.namespace.to_owned(),
            arguments: arguments(sandbox),
            capabilities: capabilities(sandbox),
            bin_dirs: self.config.bin_dirs.clone(),
            list,
            result: None,
        };
        // On disk first: what a crash leaves half done is found again.
        attachment.save(&self.config.state_dir)?;
        let added = self.add_all(&mut attachment).await;
        if added.is_err() {
            if let Err(error) = self.delete_all(&attachment).await {
                tracing::warn!(sandbox = sandbox.id, %error, "cannot take back what CNI plugins did");
            } else {
                Attachment::remove(&self.config.state_dir, sandbox.id)?;
            }
        }
        added
    }

    async fn add_all(&self, attachment: &mut Attachment) -> Result<Vec<IpAddr>, CniError> {
        for position in 0..attachment.list.plugins.len() {
            let answer = exec::run("ADD", attachment, position).await?;
            // A plugin that only looks on may say nothing; the result before stands.
            attachment.result = answer.or(attachment.result.take());
        }
        attachment.save(&self.config.state_dir)?;
        let addresses = attachment.result.as_ref().map(addresses).unwrap_or_default();
        match addresses.is_empty() {
            true => Err(CniError::NoAddress { network: attachment.list.name.clone() }),
            false => Ok(addresses),
        }
    }

    /// Disconnects a sandbox; does nothing if it is not connected. A namespace that is gone is no hindrance.
    ///
    /// # Errors
    /// Of the first plugin that failed; the call can be repeated.
    pub async fn delete(&self, sandbox: &str) -> Result<(), CniError> {
        let Some(attachment) = Attachment::load(&self.config.state_dir, sandbox)? else { return Ok(()) };
        self.delete_all(&attachment).await?;
        Ok(Attachment::remove(&self.config.state_dir, sandbox)?)
    }

    async fn delete_all(&self, attachment: &Attachment) -> Result<(), CniError> {
        for position in (0..attachment.list.plugins.len()).rev() {
            exec::run("DEL", attachment, position).await?;
        }
        Ok(())
    }

    /// Asks the plugins whether a sandbox is connected as it should be. Networks of versions before 0.4.0, and those
    /// that forbid it, are taken at their word.
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

/// What plugins may know of the pod (`CNI_ARGS`).
fn arguments(sandbox: &Sandbox<'_>) -> String {
    let [namespace, name, uid] = sandbox.pod;
    format!(
        "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME={name};K8S_POD_INFRA_CONTAINER_ID={};\
         K8S_POD_UID={uid}",
        sandbox.id
    )
}

/// What a plugin gets that declares the capability.
fn capabilities(sandbox: &Sandbox<'_>) -> Value {
    let mut capabilities = json!({});
    if !sandbox.host_ports.is_empty() {
        let ports = sandbox.host_ports.iter().map(|port| {
            let protocol = json!(port.protocol).as_str().unwrap_or_default().to_lowercase();
            let host_ip = port.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
            json!({
                "hostPort": port.host_port, "containerPort": port.container_port,
                "protocol": protocol, "hostIP": host_ip,
            })
        });
        capabilities["portMappings"] = ports.collect();
    }
    let mut bandwidth = json!({});
    for (direction, rate) in [("ingress", sandbox.ingress_rate), ("egress", sandbox.egress_rate)] {
        if let Some(rate) = rate {
            bandwidth[format!("{direction}Rate")] = json!(rate);
            bandwidth[format!("{direction}Burst")] = json!(BURST_UNLIMITED);
        }
    }
    if bandwidth != json!({}) {
        capabilities["bandwidth"] = bandwidth;
    }
    capabilities
}

/// The pod's addresses in a result: those on links inside of it, and those on none.
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
