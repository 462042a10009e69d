//! A node's ways to the API server.

use client::{Client, Informers};
use clock::Clock;
use metrics::Exposition;
use node::ServingTls;

/// A node's connections to the API server, in one process or across a network; their creator decides which.
pub struct NodeAccess {
    /// As the node itself (`system:node:<name>`).
    pub node: Client,
    /// As the node's network parts (proxy, DNS), which read what concerns all nodes.
    pub network: Client,
    /// The informers of the network components. In a server's process all components share them.
    pub informers: Informers,
    /// The certificate of the node API, and the CAs that it trusts.
    pub serving: ServingTls,
    /// The digest of the key with which this machine joined; `None` in the server's own process.
    pub key_digest: Option<String>,
    /// What the node shows at its own `/metrics`: the requests of its clients, and what it measures itself.
    pub exposition: Exposition,
    /// Time and randomness.
    pub clock: Clock,
}
