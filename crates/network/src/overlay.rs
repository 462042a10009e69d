//! The overlay: connections between pods on different nodes.
//!
//! Each node has a subnet of each address family, and the packets for another node's subnets leave by the routes
//! of a *backend*:
//!
//! | backend | a packet between nodes is | needs |
//! | --- | --- | --- |
//! | `vxlan` | wrapped by the kernel: Ethernet in VXLAN in UDP, port 8472 | UDP between the nodes |
//! | `host-gw` | sent unchanged to the other node, which is its gateway | nodes on one link |
//! | `udp` | wrapped by this process: IP in UDP, port 8285 | UDP between the nodes; for kernels without `vxlan` |
//! | `none` | routed by another program | |
//!
//! ```text
//! Node objects ──▶ peer ──▶ backend (plan) ──▶ desired items ─┐
//!                                                             ├─▶ diff ──▶ kernel, by netlink
//! netlink notifications ──▶ what the kernel has ──────────────┘
//! ```
//!
//! [`run`] follows the Node objects. A node publishes its data for others in annotations of its own Node object
//! (`peer`). Planning is pure (`plan`); everything with our route protocol number, or on our device, that is not
//! planned is removed. So a restart adopts existing entries, and anything that another program deletes is restored.
//!
//! # The node's own addresses
//!
//! A pod also keeps its address when it talks to other *nodes*. Without a tunnel, such a packet would arrive on the
//! uplink, while the return path to the pod leads through the tunnel: strict reverse path filters drop it, and so do
//! networks that know only nodes. So the tunnel is used here too: a rule routes packets from the node's pods by a
//! separate table that contains only the other nodes' addresses.

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

/// Why the connections to other nodes could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum OverlayError {
    /// The uplink leaves too little space for a pod's packets.
    #[error(
        "the uplink's MTU {uplink} leaves {left} bytes for pods with the backend {backend}, but {family} \
            needs {needed}: raise the MTU of the uplink, or choose another --flannel-backend"
    )]
    MtuTooSmall {
        /// The MTU of the link between nodes.
        uplink: u32,
        /// The MTU that is left.
        left: u32,
        /// The backend.
        backend: BackendType,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The minimum MTU of that family.
        needed: u32,
    },
    /// The requested MTU is too large.
    #[error("--mtu {wanted} is more than the {left} bytes that the uplink leaves with the backend {backend}")]
    MtuTooLarge {
        /// The requested value.
        wanted: u32,
        /// The available value.
        left: u32,
        /// The backend.
        backend: BackendType,
    },
    /// A link of our name exists and is not ours.
    #[error("the link {name} belongs to {owner}: delete it, or run `ironhull reset` with its data directory")]
    DeviceTaken {
        /// The link.
        name: String,
        /// Its alias, which names its owner.
        owner: String,
    },
    /// The kernel lacks a feature that a backend needs.
    #[error(
        "the kernel does not support the backend {backend}: load or install the module {module}, or choose another \
         --flannel-backend"
    )]
    Missing {
        /// The backend.
        backend: BackendType,
        /// The kernel's module.
        module: &'static str,
        /// The kernel's error.
        source: std::io::Error,
    },
    /// Another program uses a backend's port.
    #[error(
        "UDP port {port} is in use on this machine, and the backend needs it: stop the program that has it"
    )]
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The tunnel of the backend `udp` cannot be created.
    #[error("cannot {what}")]
    Tunnel {
        /// The step that failed.
        what: &'static str,
        /// The system's error.
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
