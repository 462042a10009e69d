//! NetworkPolicy (`networking.k8s.io/v1`) for the pods of this node.
//!
//! ```text
//! Pod, Namespace, NetworkPolicy ──▶ Index ──▶ chains, sets, elements ──▶ delta text ──▶ nft, one transaction
//! sandboxes (attach, detach)    ──▶   │           (what the kernel has)
//!                              compile: one policy, pure
//! ```
//!
//! | module | contents |
//! | --- | --- |
//! | `compile` | parses one policy, and turns it into chains |
//! | `index` | which policies and scopes concern which pods, change by change |
//! | `rules` | the types of rules, and their nftables syntax |
//! | `kernel` | the transactions |
//! | `task` | informers and sandboxes in, transactions out |
//!
//! A packet's cost does not grow with the number of pods: one map from its address leads to a chain that checks only
//! the policies of that pod, and peers are looked up in sets, one for each distinct pair of selectors. Only the first
//! packet of a connection is checked.
//!
//! A sandbox gets its link after [`Policies::attach`] has returned and its rules are in place, so they apply from its
//! first packet. A restart replaces all rules in one transaction, and until then those of the previous run stay.
//!
//! Decisions that upstream leaves open (`docs/decisions/network-policy.md`):
//! - a connection that was allowed when it began continues when policies change;
//! - blocks of addresses see the source that a connection has when it reaches this node, before the node substitutes
//!   its own (traffic through a node port of this node is checked against the client's address), and the destination
//!   behind a Service;
//! - pods in the host's network are the node: no policy selects them, and as peers only blocks of addresses do;
//! - ICMP follows isolation: rules without ports allow it, errors about allowed connections pass.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use client::{Client, Informer, Informers, ListOptions};
use hostnet::nft::{self, NftError};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

mod compile;
mod index;
mod kernel;
mod pods;
mod rules;
#[cfg(test)]
mod scale;
mod shared;
mod task;
#[cfg(test)]
mod testing;
mod tracked;

use task::{Mailbox, Request};

/// How long a sandbox waits for its rules by default. The agent tries again.
const ATTACH_WITHIN: Duration = Duration::from_secs(10);
/// How long the policies of the pod's namespace may take to be known.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(5);

/// The configuration of network policy.
#[derive(Debug, Clone)]
pub struct PolicyConfig {
    /// The nftables table (family `inet`).
    pub table: String,
    /// The record of each sandbox's pod.
    pub state_dir: PathBuf,
    /// This node's name, which distinguishes its pods from others.
    pub node_name: String,
    /// How long a sandbox may wait for its rules.
    pub attach_within: Duration,
}

impl PolicyConfig {
    /// A configuration with the table name that `ironhull` uses.
    pub fn new(node_name: impl Into<String>, state_dir: impl Into<PathBuf>) -> PolicyConfig {
        PolicyConfig {
            table: "ironhull-policy".to_owned(),
            state_dir: state_dir.into(),
            node_name: node_name.into(),
            attach_within: ATTACH_WITHIN,
        }
    }
}

/// The pod of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodIdentity {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub name: String,
    /// The pod's UID.
    pub uid: String,
}

/// Why the rules of a sandbox are not in place.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The pod, its policies, or the kernel's answer did not come in time.
    #[error("the network policies of pod {namespace}/{name} are not in force after {within:?}: {reason}")]
    Late {
        /// The pod's namespace.
        namespace: String,
        /// The pod's name.
        name: String,
        /// The time limit.
        within: Duration,
        /// The missing condition.
        reason: &'static str,
    },
}

/// Keeps the kernel's rules equal to the cluster's policies. [`Policies::run`] does the work.
pub struct Policies {
    config: PolicyConfig,
    client: Client,
    informers: Informers,
    policies: Arc<Informer<NetworkPolicy>>,
    mailbox: Arc<Mailbox>,
}

impl Policies {
    /// Network policy over these informers. Must be called inside a tokio runtime.
    pub fn new(config: PolicyConfig, informers: &Informers) -> Policies {
        Policies {
            config,
            client: informers.client().clone(),
            policies: informers.get::<NetworkPolicy>(),
            informers: informers.clone(),
            mailbox: Arc::default(),
        }
    }

    /// Enforces policies until it is dropped; must be called once, in the host's network namespace. `leases` are the
    /// sandboxes that are connected already, with their addresses. Rules of a former run stay until the pods and
    /// policies of the cluster are known. When another program changes the table, it is rewritten.
    pub async fn run(&self, leases: Vec<(String, Vec<IpAddr>)>) {
        task::run(&self.config, &self.informers, &self.mailbox, leases).await;
    }

    /// Enforces the policies of a pod on its sandbox, which has these addresses but no link yet. Returns once the rules
    /// are in place.
    ///
    /// # Errors
    /// [`PolicyError::Late`]; [`Policies::detach`] then removes any remains.
    pub async fn attach(
        &self,
        sandbox: &str,
        pod: &PodIdentity,
        addresses: &[IpAddr],
    ) -> Result<(), PolicyError> {
        let within = self.config.attach_within;
        let late = |reason| {
            let PodIdentity { namespace, name, .. } = pod.clone();
            PolicyError::Late { namespace, name, within, reason }
        };
        let deadline = tokio::time::Instant::now() + within;
        self.catch_up(&pod.namespace).await;
        let (done, stands) = oneshot::channel();
        self.mailbox.request(Request::Attach {
            sandbox: sandbox.to_owned(),
            pod: pod.clone(),
            addresses: addresses.to_vec(),
            done,
        });
        match tokio::time::timeout_at(deadline, stands).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(late("network policy is no longer enforced on this node")),
            Err(_) if !self.policies.is_synced() => {
                Err(late("the network policies have not arrived from the API server yet"))
            }
            Err(_) => Err(late(
                "the pod has not arrived from the API server yet, or its rules could not be written",
            )),
        }
    }

    /// Removes the rules of a sandbox. Its link is expected to be gone.
    pub fn detach(&self, sandbox: &str) {
        self.mailbox.request(Request::Detach { sandbox: sandbox.to_owned() });
    }

    /// Waits until the informer knows the namespace's current policies. Without that, a policy older than the pod could
    /// arrive after the pod's first packet, because each kind has a separate watch.
    async fn catch_up(&self, namespace: &str) {
        let known = async {
            let list = self.client.list::<NetworkPolicy>(namespace, &ListOptions::default()).await?;
            let versions =
                list.items.iter().filter_map(|p| p.metadata.resource_version.as_ref()?.parse().ok());
            self.policies.caught_up(versions.max().unwrap_or(0)).await;
            Ok::<(), client::ClientError>(())
        };
        match tokio::time::timeout(CATCH_UP_WITHIN, known).await {
            Ok(Ok(())) => {}
            // A sandbox of a known pod must be able to start while the server is unreachable: the last known state
            // counts.
            Ok(Err(error)) => {
                tracing::warn!(
                    namespace,
                    error = &error as &dyn std::error::Error,
                    "cannot list policies; using those already known"
                );
            }
            Err(_) => {
                tracing::warn!(namespace, "the policies have not arrived in time; using those already known")
            }
        }
    }
}

/// Removes the rules of network policy from this host.
///
/// # Errors
/// As of a transaction.
pub async fn reset(table: &str) -> Result<(), NftError> {
    nft::delete_tables(&[("inet", table)]).await
}
