//! What the network crates need of the host, in one place.
//!
//! - [`conntrack`] ends flows that connection tracking still knows;
//! - [`elements`] knows what a change of plans changes in the kernel's sets and maps;
//! - [`nft`] hands nftables transactions to the kernel, and tells when others change our tables;
//! - [`netlink`] takes messages of the kernel apart;
//! - [`NetNs`] is a network namespace, and runs code inside it without moving the caller's thread;
//! - [`sysctl::Journal`] changes kernel settings so that they can be put back;
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
