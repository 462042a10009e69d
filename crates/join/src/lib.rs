//! How a machine becomes a node of a cluster, and how it stays one.
//!
//! ```text
//!  control side                                   machine that joins
//!  info::publish ──▶ kube-public/cluster-info ──▶ discovery ──▶ the cluster's CA, proven by a token
//!                                                 Machine ────▶ certificates, by signing requests
//!                ──▶ kube-system/ironhull-cluster ──▶ Joined ──▶ clients, certificates that are renewed, the servers' list
//! ```
//!
//! | module | is |
//! | --- | --- |
//! | [`token`] | the tokens by which machines join |
//! | [`kubeconfig`] | the files by which clients find the server |
//! | `credential` | a certificate with its key, and its renewal |
//! | `servers` | which API servers there are |
//! | [`info`] | what the control side tells those who join |
//! | `discovery` | which CA is the cluster's |
//! | `machine` | the certificates that a node asks for |
//! | `joined` | all of it for one machine |
//!
//! It must not know what a node runs, nor what the settings that all machines share mean.

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
