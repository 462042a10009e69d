//! Cluster DNS: answers for Services, their endpoints and pods; everything else is forwarded to the host's servers.
//!
//! ```text
//! Service, EndpointSlice ──▶ Index ──▶ Snapshot (swapped) ──▶ Zone::lookup ──┐
//!                                                                            ├──▶ Resolver ──▶ Server (UDP, TCP)
//!       resolv.conf, ConfigMap kube-dns ──▶ Forwarder (routes, cache) ───────┘
//! ```
//!
//! The names are those of the Kubernetes DNS specification, version 1.1.0. [`Index`] keeps the necessary data of each
//! Service in a persistent map, so the cost of a change does not depend on the number of Services and readers never
//! wait; answers are computed from it.
//!
//! How it is reached: the server listens on an address of the node that pods reach, the gateway of the pod network, and
//! the node says on its Node object where ([`endpoints`]). The control side makes of that endpoints of the cluster DNS Service, which
//! lead pods to the server of their own node first (see the controller `clusterdns`). The port need not be 53, where
//! another program of the host may listen on all addresses.
//!
//! This crate must not know packet rules or the pod network; it is given addresses to listen on.

mod custom;
pub mod endpoints;
mod forward;
mod host_file;
mod index;
mod resolver;
mod server;
mod wiring;
mod zone;

pub use custom::{CustomError, CustomServers};
pub use forward::{ForwardConfig, Upstreams};
pub use index::{Index, Snapshot};
pub use resolver::Resolver;
pub use semantics::ServiceKey;
pub use server::Server;
pub use wiring::{DnsConfig, Following, follow};
pub use zone::Zone;
