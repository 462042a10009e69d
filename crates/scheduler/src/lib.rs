//! The scheduler: finds a node for each pod that has none.
//!
//! | module | is |
//! | --- | --- |
//! | [`framework`] | what a plugin is: the traits of the extension points, verdicts, cluster events |
//! | [`plugins`] | the plugins, one file each, and the default [`Profile`](framework::Profile) |
//! | [`state`] | what plugins look at: the cluster as node and pod infos with everything summed up |
//! | [`queue`] | the pods that wait: active, in backoff, unschedulable until something changes |
//! | [`decide`] | one decision: filter, score, select, or say why not |
//! | [`Scheduler`] | the four together as one state machine without input or output |
//! | [`Metrics`] | what is measured, under upstream's names |
//! | [`mod@run`] | the shell: informers feed the machine, its outcomes become bindings, conditions and events |
//!
//! One decision is made at a time, over the state as it stands. Nothing else changes the state meanwhile (the
//! borrow checker sees to that), so it serves as the immutable snapshot which upstream copies for each pod, and
//! no event can slip in between a pod's failure and its return to the queue. One task owns all of it; whatever
//! happens comes through its mailbox. A decided pod counts as being on its node at once (it is *assumed*); the
//! binding is written by a task of its own.
//!
//! Everything below `run.rs` is a pure function of what it is told, the times it is told, and the
//! [`Clock`](clock::Clock)'s random numbers. `docs/add-a-scheduler-plugin.md` says how to add a plugin;
//! [`plugins::TaintToleration`] is the example to copy.
//!
//! It follows upstream's `pkg/scheduler`. It knows nothing of how pods are run, nor of controllers.

pub mod decide;
pub mod framework;
mod metrics;
pub mod plugins;
pub mod queue;
pub mod run;
mod scheduler;
pub mod state;
#[cfg(test)]
mod testing;

pub use metrics::{Attempted, Metrics};
pub use run::{Config, Letter, Mailbox, run};
pub use scheduler::{Outcome, Scheduler};
