//! Hosts to test on, on this machine.
//!
//! A [`Host`] is a machine of its own as far as a cluster can tell: it has namespaces for network, mounts,
//! processes and host name, cgroup hierarchies that begin at its own cgroup, a disk, and an uplink to a [`Network`],
//! where other hosts may be. Hosts are turned off and on again, cut off by halves, and given other addresses.
//! A [`Server`] is `ironhull server` on such a host, with `kubectl` to talk to it; an [`Agent`] is `ironhull agent`;
//! a [`Cluster`] is one server with agents. When the hosts are dropped, all of it is gone, whatever state it was
//! in; when the test itself is killed, the kernel ends the hosts' processes, and what is left in files and cgroups
//! is removed when the next host is made.
//!
//! All of it takes root, util-linux (`unshare`, `nsenter`), iproute2 and nftables. It must not know what the
//! program under test does inside: it speaks to it by its command line and its API only.

mod agent;
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
