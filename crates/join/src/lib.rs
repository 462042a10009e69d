//! How a machine becomes a node of a cluster, and how it stays one.
//!
//! ```text
//!  control plane                                  joining machine
//!  info::publish ──▶ kube-public/cluster-info ──▶ discovery ──▶ the cluster's CA, proven by a token
//!                                                 Machine ────▶ certificates, by signing requests
//!                ──▶ kube-system/ironhull-cluster ──▶ Joined ──▶ clients, certificates that are renewed, the servers' list
//! ```
//!
//! | module | contents |
//! | --- | --- |
//! | [`token`] | the tokens that machines join with |
//! | [`kubeconfig`] | kubeconfig files |
//! | `credential` | a certificate with its key, and its renewal |
//! | `servers` | the list of API servers |
//! | [`info`] | the control plane's information for joining machines |
//! | `discovery` | determines the cluster's CA |
//! | `machine` | the certificates that a node requests |
//! | `joined` | all of it for one machine |
//!
//! It must not know what a node runs, nor the meaning of the shared settings.

mod credential;
mod discovery;
pub mod info;
mod joined;
pub mod kubeconfig;
mod machine;
mod servers;
pub mod token;

pub use credential::{Credential, keep_renewed};
pub use discovery::DiscoveryError;
pub use info::{JoinInfo, PublishError, SettingsError, publish};
pub use joined::{JoinConfig, JoinError, Joined, Member};
pub use machine::CredentialError;
pub use token::{BootstrapToken, JoinToken};
