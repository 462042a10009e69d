//! The node agent (kubelet): runs the pods that are assigned to a node.
//!
//! [`Agent`] registers its Node and follows the pods of that node through the API server. The engine is behind
//! the CRI traits ([`cri`]): any implementation will do. What to do is decided in pure functions:
//!
//! | module | decides or does |
//! | --- | --- |
//! | `agent` | hands pods, changes in the engine and changed objects to workers |
//! | `engine` | what the engine says of itself, and which pods something happened to in it |
//! | `worker` | one task a pod: looks, asks `plan` and `status`, lets operations run |
//! | `plan` | *pure*: what to do next for a pod |
//! | `status` | *pure*: the pod's status |
//! | `spec` | *pure* but for environments: the engine's configurations from pods |
//! | `admission` | *pure*: whether a pod fits on the node |
//! | `eviction` | ends pods that take more of the disk than they may, or when the node runs short |
//! | `images` | whether and how to pull |
//! | `probe` | liveness, readiness and startup probes |
//! | `registration` | the Node object, its status and its lease |
//! | `logs` | reading and rotating containers' logs |
//! | `server` | the node API: logs, exec, attach, port-forward, stats |
//!
//! When the agent ends the containers live on; the next one finds them by their labels and goes on. This crate
//! must not know how containers are made, nor any storage.

mod admission;
mod agent;
mod backoff;
mod cgroups;
mod config;
mod engine;
mod eviction;
mod host;
mod images;
mod label;
mod logs;
mod observed;
mod plan;
mod pod;
mod probe;
mod registration;
mod server;
mod shared;
mod spec;
mod status;
mod streaming;
#[cfg(test)]
mod testing;
mod text;
mod waiting;
mod worker;

pub use admission::{SysctlAllowlist, SysctlPatternError};
pub use agent::{Agent, AgentError};
pub use config::{KUBELET_VERSION, NodeConfig, ServingTls};
pub use eviction::{EvictionConfig, EvictionFlags, ThresholdError};
pub use volumes::{VolumeError, reset};
