//! The pod network of a node.
//!
//! [`LocalNetwork`] is the node's own part: it gives each pod sandbox its addresses and its link, and lets pods reach
//! each other, their node, and the world. Traffic to other nodes' pods uses ordinary routes, which [`overlay`]
//! maintains.
//!
//! ```text
//!   pod netns               host netns
//!   ┌──────────────┐        ┌─────────────────────────────────────────────┐
//!   │ eth0         │  veth  │ ihv<hash>   10.42.0.1/32                    │
//!   │ 10.42.0.2/32 ├────────┤   route 10.42.0.2/32 dev ihv<hash>          │
//!   │ default via  │        │ ih0 (bridge without ports)  10.42.0.1/32    │
//!   │   10.42.0.1  │        │   unreachable 10.42.0.0/24                  │
//!   └──────────────┘        │ nftables: table inet ironhull-pods          │
//!                           └─────────────────────────────────────────────┘
//! ```
//!
//! Pods are routed, not bridged. On a bridge, the answer of a pod that was reached through a Service goes to its
//! neighbour on layer 2, bypassing connection tracking, which therefore cannot restore the Service's address, unless
//! the kernel has `br_netfilter`. With routing, every packet of a pod passes the host's hooks on every kernel, pods do
//! not see each other's broadcasts, and network policy can be enforced in one place. The bridge `ih0` only holds the
//! gateway address while there are no pods (the `dummy` device, the usual holder, is missing from some kernels) and
//! shows who owns the network.
//!
//! [`Policies`] enforces the cluster's NetworkPolicies on the pods of this node.
//!
//! [`NodeNetwork`] is all of it as a container engine calls it, and [`CniNetwork`] the same for the plugins of another program
//! ([`cni`]); a node has one of the two. [`NodeAddresses`] are the addresses of the node itself, which may change.
//!
//! The pod network itself knows no pods: the engine tells it sandboxes and host ports. Nothing here knows Services.

mod addresses;
mod answers;
mod backend_type;
pub mod cni;
mod cni_network;
mod config;
mod error;
mod firewall;
mod foreign;
mod guard;
mod host_port;
mod ipam;
mod link;
mod local;
mod lock;
mod node_addresses;
mod node_network;
mod notifications;
pub mod overlay;
mod policy;
mod preflight;
mod requests;
mod reset;
#[cfg(test)]
mod testing;

pub use backend_type::{BackendType, UnknownBackend};
pub use cni_network::CniNetwork;
pub use config::LocalConfig;
pub use error::NetworkError;
pub use foreign::Obstacle;
pub use host_port::{HostPort, Protocol};
pub use ipam::{IpamError, Lease};
pub use link::LinkError;
pub use local::LocalNetwork;
pub use node_addresses::NodeAddresses;
pub use node_network::{NodeNetwork, NodeNetworkConfig};
pub use policy::{PodIdentity, Policies, PolicyConfig, PolicyError, reset as reset_policies};
pub use preflight::{PreflightError, preflight};
pub use reset::{ResetError, ResetNetwork, reset};
