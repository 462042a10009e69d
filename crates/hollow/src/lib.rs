//! Hollow nodes: nodes without a machine behind them.
//!
//! To the API server, a [`Node`] behaves like a node agent: it registers, renews its Lease, posts its status, watches
//! its pods, moves them through their phases and removes them when they are deleted. It runs nothing, so that thousands
//! fit into one process, and every duration comes from a [`Timing`] and the clock's randomness, so that a simulation
//! can repeat it. It can go silent and come back, or reboot.
//!
//! | module | contents |
//! | --- | --- |
//! | `life` | the life of one pod, with its times; pure |
//! | `status` | nodes and pods as they appear in the API; pure |
//! | `node` | the loops that watch and write |
//!
//! This crate must not know servers, controllers or containers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

mod life;
mod node;
mod status;
#[cfg(test)]
mod tests;

pub use node::Node;

/// The properties of a hollow node.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The node's name.
    pub name: String,
    /// Labels in addition to those that every node has.
    pub labels: BTreeMap<String, String>,
    /// Its own address; those of its pods are derived from it.
    pub address: Ipv4Addr,
    /// Allocatable CPU, in thousandths of a core.
    pub cpu_milli: u32,
    /// Allocatable memory.
    pub memory_mib: u32,
    /// How many pods it takes.
    pub pods_max: u32,
}

/// Durations. A new value is drawn from each range for each pod; an empty range means its start.
#[derive(Clone, Debug)]
pub struct Timing {
    /// Between two renewals of the Lease.
    pub renewal: Duration,
    /// From the moment a pod is seen until it is ready.
    pub start: Range<Duration>,
    /// From the deletion of a pod until its containers have stopped, if its grace period is not shorter.
    pub stop: Range<Duration>,
    /// How long a pod runs that is to end (`restartPolicy` is not `Always`).
    pub run: Range<Duration>,
    /// After how long the containers of a pod fail and are started again. `None`: never.
    pub fail: Option<Range<Duration>>,
}

impl Default for Timing {
    /// Upstream's renewal, pods that start in a second or two, and no failures.
    fn default() -> Timing {
        Timing {
            renewal: Duration::from_secs(10),
            start: Duration::from_millis(500)..Duration::from_millis(2500),
            stop: Duration::from_millis(200)..Duration::from_millis(2000),
            run: Duration::from_secs(5)..Duration::from_secs(60),
            fail: None,
        }
    }
}
