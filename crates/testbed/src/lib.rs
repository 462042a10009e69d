//! Test hosts on this machine.
//!
//! A [`Host`] is a machine of its own as far as a cluster can tell: it has namespaces for network, mounts, processes
//! and host name, cgroup hierarchies that begin at its own cgroup, a disk, and an uplink to a [`Network`], where other
//! hosts may be. Hosts can be switched off and on again, cut off in one or both directions, and given other addresses.
//! A [`Server`] is `ironhull server` on such a host, with `kubectl` to talk to it; an [`Agent`] is `ironhull agent`; a
//! [`Cluster`] is one server with agents. When the hosts are dropped, everything is removed, whatever state it was in;
//! when the test itself is killed, the kernel kills the hosts' processes, and remaining files and cgroups are removed
//! when the next host is created.
//!
//! This needs root, util-linux (`unshare`, `nsenter`), iproute2 and nftables. It must not know the internals of the
//! program under test: it uses only its command line and its API.

mod agent;
mod cgroups;
mod cluster;
mod error;
mod holder;
mod host;
mod left_over;
mod network;
mod process;
mod relay;
mod server;
mod service;
mod timed;
mod wait;

pub use agent::Agent;
pub use cluster::{Cluster, ClusterOptions};
pub use error::TestbedError;
pub use host::{HOST_ADDRESS, Host};
pub use left_over::remove as remove_left_over;
pub use network::{Capture, Cut, Frame, Network, OUTSIDE_ADDRESS, OUTSIDE_ADDRESS_V6};
pub use process::{Process, output};
pub use relay::{Relay, RelayState};
pub use server::Server;
pub use service::SHARED_DISK;
pub use timed::timed;
pub use wait::until;
