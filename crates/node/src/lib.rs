//! The node agent (kubelet): runs the pods that are assigned to a node.
//!
//! [`Agent`] registers its Node and follows the pods of that node through the API server. The engine is behind the CRI
//! traits ([`cri`]), so any implementation can be used. Decisions are made in pure functions:
//!
//! | module | decides or does |
//! | --- | --- |
//! | `agent` | starts everything, and forwards changes in the engine and changed objects to workers |
//! | `pods` | forwards changed pods to workers |
//! | `engine` | facts about the engine, and the pods for which it reports changes |
//! | `worker` | one task per pod: observes, calls `plan` and `status`, runs operations |
//! | `plan` | *pure*: what to do next for a pod |
//! | `status` | *pure*: the pod's status |
//! | `spec` | *pure*, except for environments: the engine's configurations from pods |
//! | `admission` | *pure*: whether a pod fits on the node |
//! | `pressure` | the resources that may run short: thresholds and conditions |
//! | `machine` | the resources that the machine and its file systems use |
//! | `usage` | the resources that a pod uses |
//! | `eviction` | evicts pods that exceed their disk limits, or when the node is under pressure |
//! | `images` | whether and how to pull |
//! | `probe` | liveness, readiness and startup probes |
//! | `registration` | the Node object, its status and its lease |
//! | `logs` | reading containers' logs |
//! | `log_rotation` | rotating them |
//! | `metrics` | what the agent measures of itself |
//! | `server` | the node API: logs, exec, attach, port-forward, stats |
//!
//! When the agent exits, the containers keep running; the next one finds them by their labels and continues. This crate
//! must not know how containers are created, nor any storage.

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
mod log_rotation;
mod logs;
mod machine;
mod metrics;
mod observed;
mod plan;
mod pod;
mod pods;
mod pressure;
mod probe;
mod registration;
mod rejection;
mod server;
mod shared;
mod spec;
mod status;
mod streaming;
mod sysctl;
#[cfg(test)]
mod testing;
mod text;
mod usage;
mod waiting;
mod worker;

pub use agent::{Agent, AgentError};
pub use config::{KUBELET_VERSION, NodeConfig, ServingTls};
pub use pressure::{EvictionConfig, EvictionFlags, ThresholdError};
pub use sysctl::{SysctlAllowlist, SysctlPatternError};
pub use volumes::{VolumeError, reset};
