//! How pods reach pods on other nodes.
//!
//! Each node has a subnet of each address family, and the packets for another node's subnets leave by the routes
//! of a *backend*:
//!
//! | backend | a packet between nodes is | needs |
//! | --- | --- | --- |
//! | `vxlan` | wrapped by the kernel: Ethernet in VXLAN in UDP, port 8472 | UDP between the nodes |
//! | `host-gw` | sent as it is to the other node, which is its gateway | nodes on one link |
//! | `udp` | wrapped by this process: IP in UDP, port 8285 | UDP between the nodes; for kernels without `vxlan` |
//! | `none` | somebody else's affair | |
//!
//! ```text
//! Node objects ──▶ peer ──▶ backend (plan) ──▶ desired items ─┐
//!                                                             ├─▶ diff ──▶ kernel, by netlink
//! netlink notifications ──▶ what the kernel has ──────────────┘
//! ```
//!
//! [`run`] follows the Node objects. What a node tells others about itself stands in annotations of its own Node
//! object (`peer`). Planning is pure (`plan`); whatever carries our route protocol number, or stands on our
//! device, and is not planned, goes. So a restart adopts what is there, and what somebody else deletes comes back.
//!
//! # The node's own addresses
//!
//! A pod keeps its address also towards other *nodes*. Sent plainly, such a packet would come in by the uplink,
//! while the way back to the pod leads through the tunnel: strict reverse path filters drop it, and so do
//! networks that know nodes only. Hence a tunnel carries it, too: a rule sends what comes from the node's pods
//! through a routing table of ours that knows the other nodes' addresses, and nothing else.

mod backend;
mod follow;
mod kernel;
mod mac;
mod mtu;
mod peer;
mod plan;
mod preflight;
mod record;
mod tun;
mod udp;
mod watch;

pub use follow::{OverlayConfig, run};
#[cfg(test)]
pub(crate) use mac::Mac;
pub use mtu::pod_mtu;
pub use preflight::preflight;
pub(crate) use record::reset;

use crate::backend_type::BackendType;
use crate::error::NetworkError;
use crate::link::LinkError;

/// Why the way to other nodes could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// The uplink leaves too little for a pod's packets.
    #[error(
        "the uplink's MTU {uplink} leaves {left} bytes for pods with the backend {backend}, and {family} needs \
         {needed}: raise the MTU of the uplink, or choose another --flannel-backend"
    )]
    MtuTooSmall {
        /// The MTU of the link between nodes.
        uplink: u32,
        /// What is left of it.
        left: u32,
        /// The backend.
        backend: BackendType,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The least MTU of that family.
        needed: u32,
    },
    /// An MTU was asked for that does not fit.
    #[error("--mtu {wanted} is more than the {left} bytes that the uplink leaves with the backend {backend}")]
    MtuTooLarge {
        /// What was asked for.
        wanted: u32,
        /// What there is.
        left: u32,
        /// The backend.
        backend: BackendType,
    },
    /// A link of our name exists and is not ours.
    #[error("the link {name} belongs to {owner}: delete it, or run `ironhull reset` with its data directory")]
    DeviceTaken {
        /// The link.
        name: String,
        /// Its alias, which says whose it is.
        owner: String,
    },
    /// The kernel lacks what a backend needs.
    #[error(
        "the kernel does not support the backend {backend}: load or install the module {module}, or choose another \
         --flannel-backend"
    )]
    Missing {
        /// The backend.
        backend: BackendType,
        /// The kernel's module.
        module: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// Another program has a backend's port.
    #[error(
        "UDP port {port} is in use on this machine, and the backend needs it: stop the program that has it"
    )]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The tunnel of the backend `udp` cannot be made.
    #[error("cannot {what}")]
    Tunnel {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The kernel refused a change.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A record could not be read or written.
    #[error("cannot keep the record of the overlay")]
    Record(#[source] std::io::Error),
    /// A setting of the node's own part could not be changed.
    #[error(transparent)]
    Local(#[from] Box<NetworkError>),
    /// The own Node object could not be written.
    #[error("cannot write the node's annotations")]
    Annotate(#[from] client::ClientError),
}

#[cfg(test)]
mod tests;
