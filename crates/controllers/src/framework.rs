//! The framework of all controllers.
//!
//! A [`Controller`] looks at the cluster (`observe`), decides (`plan`) and leaves the execution to the [`Executor`].
//! Deciding is a pure function of a snapshot and the time, so it is tested with tables. The rules:
//!
//! - A key wakes a controller, never the content of an event: every plan starts from the whole state.
//! - A key is processed by one worker at a time, and planned again only when the informers show all writes of its last
//!   plan. So no plan is made from a state that lacks the controller's own writes.
//! - Everything that a decision needs besides the informers comes from the framework, through [`Look`]: the memory of
//!   the last look at the key, and answers that only the server can give. A controller holds no lock and no client.
//! - The plan for a state that is already correct is empty.
//! - Failures are retried with increasing delays.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use client::Work;
use jiff::Timestamp;

mod accounts;
mod action;
mod everything;
mod executor;
pub(crate) mod labels;
mod live;
mod memory;
mod owner;
mod plan;
mod rewrite;
mod runner;
mod wiring;

pub use accounts::Accounts;
pub(crate) use action::{Action, Announcement, Body, Note};
pub(crate) use everything::Everything;
pub(crate) use executor::{Executor, Failure};
pub(crate) use live::Live;
pub(crate) use memory::Notes;
pub(crate) use owner::{Claim, controller_reference, owner_key, woken_by_owned};
pub(crate) use plan::Plan;
pub(crate) use runner::run;
pub(crate) use semantics::controller_of;
pub(crate) use wiring::Wiring;

/// Takes note of what became of a plan: how long it took to look, plan and write, and whether all of it succeeded.
pub(crate) type Measurement = Box<dyn FnOnce(Duration, bool) + Send>;

/// One controller.
pub(crate) trait Controller: Sized + Send + Sync + 'static {
    /// The name in logs and as the source of events; upstream's.
    const NAME: &'static str;
    /// The service account of `kube-system` that it acts as; upstream's. Its role is `system:controller:ACCOUNT`.
    const ACCOUNT: &'static str;
    /// The name of its queue in metrics; upstream's.
    const QUEUE: &'static str;
    /// How many keys are processed at once.
    const WORKERS: usize = 5;
    /// How long a key that failed again and again waits at most.
    const RETRY_MAX: Duration = client::RETRY_MAX;
    /// The key that wakes it: usually an [`object::ObjectKey`].
    type Key: Work + fmt::Display + Sync;
    /// All inputs of a decision about one key.
    type Snapshot: Send + Sync;
    /// The data that it remembers about a key from one look to the next; `()` if the cluster's state is enough. It is
    /// dropped when there is nothing to decide about the key, and when the controller stops.
    type Memory: Clone + Default + PartialEq + Send;

    /// Takes the informers it reads, and declares which changes wake which keys.
    fn wire(wiring: &mut Wiring<Self::Key>) -> Self;

    /// Collects the known state of a key; `None` if there is nothing to decide, or if a question to the server is open:
    /// then the framework asks it and lets the controller observe again.
    fn observe(&self, key: &Self::Key, look: &mut Look<'_, Self::Memory>) -> Option<Self::Snapshot>;

    /// Decides what to do.
    fn plan(snapshot: &Self::Snapshot, now: Timestamp) -> Plan;

    /// Prepares to measure a plan, for metrics that only this controller has. A plan without actions is measured, too.
    fn measure(&self, _snapshot: &Self::Snapshot, _plan: &Plan) -> Option<Measurement> {
        None
    }

    /// Decides what to do about failed actions, before the key is planned again: usually a condition and an event that
    /// report them.
    fn recover(_snapshot: &Self::Snapshot, _failures: &[Failure], _now: Timestamp) -> Plan {
        Plan::default()
    }
}

/// Inputs of an observation in addition to informers and notes.
pub(crate) struct Look<'a, M> {
    /// The memory of the key, before and after.
    pub(crate) memory: &'a mut M,
    /// Answers that only the server can give.
    pub(crate) live: &'a mut Live,
    /// The time.
    pub(crate) now: Timestamp,
}

/// A time in the API's form, in whole seconds.
pub(crate) fn api_time(now: Timestamp) -> k8s_openapi::apimachinery::pkg::apis::meta::v1::Time {
    let seconds = Timestamp::from_second(now.as_second());
    k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(seconds.expect("the second of a timestamp is one"))
}

/// Orders objects by age, the oldest first; the name decides between those of one second.
pub(crate) fn sort_by_age<K: client::Form>(objects: &mut [Arc<K>]) {
    objects.sort_by(|a, b| age_key(&**a).cmp(&age_key(&**b)));
}

fn age_key<K: client::Form>(object: &K) -> (Option<Timestamp>, &str) {
    (object.meta().field("creationTimestamp").as_time(), object.name())
}

#[cfg(test)]
mod tests;
