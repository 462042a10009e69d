//! Services to packet rules: what upstream calls kube-proxy, for nftables.
//!
//! The way of a change:
//!
//! ```text
//! Service, EndpointSlice ──▶ Proxier ──▶ plan ──▶ Elements ──▶ delta text ──▶ nft, one transaction
//!                            (dirty)   (per service)  (what the kernel has)
//! ```
//!
//! `plan` turns one Service and its endpoints into elements of a few maps that all services share, and is pure.
//! `elements` knows what the kernel holds and finds what a new plan changes, so that the cost of a change does not
//! grow with the number of services, and the kernel is never asked. `rules` has the table and the words of nft.
//! After a transaction that failed, the next one writes everything afresh.
//!
//! Service lookup is one map from (address, protocol, port) to a chain. There is one chain for each *number* of
//! endpoints, not for each service: it looks the endpoint up in one map by (address, port, random number below the
//! count). Only services with session affinity have chains of their own.
//!
//! `health` answers balancers and probes over HTTP. [`Release`] tells an endpoint of this node that wants to stop when it
//! may.
//!
//! Localhost node ports need the kernel setting `net.ipv4.conf.all.route_localnet`, which the pod network sets.

mod conntrack;
mod endpoints;
mod health;
mod plan;
mod proxier;
mod release;
mod rules;
mod wiring;

pub use proxier::{Proxier, ProxyConfig, ServiceKey, reset};
pub use release::Release;
pub use wiring::run;
