//! The scheduler: finds a node for each unscheduled pod.
//!
//! | module | contents |
//! | --- | --- |
//! | [`extender`] | programs that take part in decisions over HTTP |
//! | [`framework`] | what a plugin is: the traits of the extension points, verdicts, cluster events |
//! | [`plugins`] | the plugins, one file each, and the default [`Profile`](framework::Profile) |
//! | [`state`] | the input of plugins: the cluster as node and pod infos with precomputed sums |
//! | [`queue`] | the waiting pods: active, in backoff, unschedulable until something changes |
//! | [`decide`] | one decision: filter, score, select, or say why not |
//! | [`Scheduler`] | the four together as one state machine without input or output |
//! | [`configuration`] | the configuration file: profiles, plugin sets and the arguments of plugins |
//! | [`Metrics`] | metrics, under upstream's names |
//! | [`mod@run`] | the shell: informers feed the machine, its outcomes become bindings, conditions and events |
//!
//! One decision is made at a time, over the current state. Nothing else changes the state in the meantime (the borrow
//! checker guarantees that), so it serves as the immutable snapshot that upstream copies for each pod, and no event can
//! slip in between a pod's failure and its return to the queue. One task owns all of it and receives all events through
//! its mailbox. A decided pod counts as being on its node at once (it is *assumed*); a separate task writes the
//! binding.
//!
//! Everything below `run.rs` is a pure function of its inputs, the times passed to it, and the
//! [`Clock`](clock::Clock)'s random numbers. `docs/add-a-scheduler-plugin.md` says how to add a plugin;
//! [`plugins::TaintToleration`] is the example to copy.
//!
//! It follows upstream's `pkg/scheduler`. It does not know how pods are run, nor controllers.

pub mod configuration;
pub mod decide;
pub mod extender;
pub mod framework;
mod metrics;
pub mod plugins;
pub mod queue;
pub mod run;
mod scheduler;
pub mod state;
#[cfg(test)]
mod testing;

pub use configuration::{Configuration, ConfigurationError};
pub use metrics::{Attempted, Metrics};
pub use run::{Config, Letter, Mailbox, run};
pub use scheduler::{Outcome, Scheduler};
