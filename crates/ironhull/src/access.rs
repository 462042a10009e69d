//! A node's ways to the API server.

use client::{Client, Informers};
use clock::Clock;
use node::ServingTls;

/// A node's ways to the API server, in one process or across a network. Who makes it decides which.
pub struct NodeAccess {
    /// As the node itself (`system:node:<name>`).
    pub node: Client,
    /// As the node's network parts (proxy, DNS), which read what concerns all nodes.
    pub network: Client,
    /// What the network parts watch. In a server's process all components share them.
    pub informers: Informers,
    /// What the node API shows, and whom it believes.
    pub serving: ServingTls,
    /// Names the key by which this machine joined; none in the server's own process.
    pub key_digest: Option<String>,
    /// Time and randomness.
    pub clock: Clock,
}
