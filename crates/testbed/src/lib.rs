//! Hosts to test on, on this machine.
//!
//! A [`Host`] is a machine of its own as far as a cluster can tell: it has namespaces for network, mounts,
//! processes and host name, cgroup hierarchies that begin at its own cgroup, and an uplink to a network outside.
//! A [`Server`] is `ironhull server` on such a host, with `kubectl` to talk to it. When the host is dropped,
//! all of it is gone, whatever state the server was in; when the test itself is killed, the kernel ends the host's
//! processes, and what is left in files and cgroups is removed when the next host is made.
//!
//! All of it takes root, util-linux (`unshare`, `nsenter`) and iproute2. It must not know what the program under
//! test does inside: it speaks to it by its command line and its API only.

mod error;
mod host;
mod process;
mod server;
mod wait;

pub use error::TestbedError;
pub use host::{HOST_ADDRESS, Host, OUTSIDE_ADDRESS};
pub use process::{Process, output};
pub use server::Server;
pub use wait::until;
