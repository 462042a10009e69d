//! Common access to the host for the network crates.
//!
//! - [`conntrack`] deletes flows from connection tracking;
//! - [`elements`] computes the differences that a new plan makes in the kernel's sets and maps;
//! - [`nft`] runs nftables transactions, and reports when other programs change our tables;
//! - [`netlink`] parses messages from the kernel;
//! - [`NetNs`] is a network namespace, and runs code inside it without moving the caller's thread;
//! - [`sysctl::Journal`] changes kernel settings and can restore them;
//! - [`state`] keeps small records on disk, replaced atomically.
//!
//! With the feature `testing` there are also servers, clients and links for tests that send packets.
//!
//! It must not know Kubernetes, pods or services: `network` and `proxy` decide, this crate carries out.

pub mod conntrack;
pub mod elements;
pub mod netlink;
mod netns;
pub mod nft;
pub mod state;
pub mod sysctl;
#[cfg(feature = "testing")]
pub mod testing;

pub use netns::{NetNs, NetNsError};
