//! Cluster DNS: answers for Services, their endpoints and pods; everything else goes to the host's servers.
//!
//! ```text
//! Service, EndpointSlice ──▶ Index ──▶ Snapshot (swapped) ──▶ Zone::lookup ──┐
//!                                                                            ├──▶ Resolver ──▶ Server (UDP, TCP)
//!                             resolv.conf ──▶ Forwarder (cache, upstreams) ──┘
//! ```
//!
//! The names are those of the Kubernetes DNS specification, version 1.1.0. [`Index`] keeps what is needed of each
//! Service in a persistent map, so a change costs the change and readers never wait; answers are computed from it.
//!
//! How it is reached: the server listens on an address of the node that pods reach, the gateway of the pod network. The
//! cluster DNS Service has no selector; each node's address and port are an endpoint, with `nodeName`, in an EndpointSlice
//! of it, and with `internalTrafficPolicy: Local` the service proxy leads the cluster IP to the pod's own node. The port
//! need not be 53, where another program of the host may listen on all addresses.
//!
//! This crate must not know packet rules or the pod network; it is given addresses to listen on.

mod forward;
mod index;
mod resolver;
mod server;
mod wiring;
mod zone;

pub use forward::{ForwardConfig, Upstreams};
pub use index::{Index, ServiceKey, Snapshot};
pub use resolver::Resolver;
pub use server::Server;
pub use wiring::{DnsConfig, follow};
pub use zone::Zone;
