//! Services to packet rules: what upstream calls kube-proxy, for nftables.
//!
//! The path of a change:
//!
//! ```text
//! Service, EndpointSlice ──▶ Proxier ──▶ plan ──▶ Elements ──▶ delta text ──▶ nft, one transaction
//!                            (dirty)   (per service)  (what the kernel has)
//! ```
//!
//! `plan` turns one Service and its endpoints into elements of a few maps that all services share, and is pure.
//! `elements` knows the kernel's state and computes the differences of a new plan, so that the cost of a change does
//! not grow with the number of services, and the kernel is never queried. `rules` has the table and nft's syntax. After
//! a failed transaction, the next one rewrites everything.
//!
//! Service lookup is one map from (address, protocol, port) to a chain. There is one chain for each *number* of
//! endpoints, not for each service: it looks the endpoint up in one map by (address, port, random number below the
//! count). Only services with session affinity have their own chains.
//!
//! `health` answers load balancers and probes over HTTP. [`Release`] tells an endpoint on this node that is about to
//! stop when it may do so.
//!
//! Node ports on localhost need the kernel setting `net.ipv4.conf.all.route_localnet`, which the pod network sets.

mod config;
mod conntrack;
mod endpoints;
mod health;
mod plan;
mod proxier;
mod release;
mod rules;
mod settings;
mod wiring;

pub use config::ProxyConfig;
pub use proxier::{Proxier, ResetError, reset};
pub use release::Release;
pub use semantics::ServiceKey;
pub use settings::SETTINGS_JOURNAL;
pub use wiring::run;
