//! The traits of plugins.
//!
//! A plugin implements [`Plugin`] and the traits of the extension points at which it takes part:
//!
//! | trait | decides | may |
//! | --- | --- | --- |
//! | [`PreEnqueue`] | whether a pod may be tried at all | |
//! | [`QueueSort`] | which pod comes first | |
//! | [`Filter`] | whether a pod can run on a node, as things are or as they might be | |
//! | [`PostFilter`] | which pods to preempt when no node fits | |
//! | [`Score`] | how good a node is | |
//! | [`Reserve`] | what else the pod takes besides its place on the node | fail |
//! | [`Permit`] | whether the pod is bound now, later or not at all | wait |
//! | [`PreBind`] | work to do before the pod is bound | write |
//! | [`Bind`] | how it is bound | write |
//! | [`PostBind`] | nothing: it is notified that the pod was bound | |
//!
//! Plugins are pure and synchronous up to [`Permit`]: they look at a pod and the [`Snapshot`] and return a value. Data
//! that a plugin computes once per decision is its associated `State`, and data that it reserves is its associated
//! `Reservation`; there is nothing to look up by name and nothing to downcast. From [`PreBind`] on, plugins are
//! asynchronous and get a client, and decisions continue in the meantime.
//!
//! If anything fails after a plugin has reserved, reservations are released in reverse order ([`Reserve::unreserve`]).
//!
//! A [`Profile`] holds the plugins in their order, with the weights of their scores. See KEP-624.

use crate::state::PodInfo;
#[cfg(doc)]
use crate::state::Snapshot;

mod assembly;
mod binding;
mod deciding;
mod erased;
mod event;
mod filters;
mod held;
mod offer;
mod placement;
mod plugin_set;
mod post_filter;
mod profile;
#[cfg(test)]
mod tests;

pub use assembly::Lineup;
pub use binding::{Bind, BindError, Binding, Permission, Permit, PostBind, PreBind, Reserve};
pub use deciding::{Filter, PreEnqueue, PreFilter, QueueSort, Rejection, Score, Supposition, Verdict};
pub use event::{Event, EventKinds, Subject};
pub use filters::{Filters, Simulation};
pub use offer::{Offer, Offering, Point};
pub use placement::{BindingError, Placement};
pub use plugin_set::PluginSet;
pub use post_filter::{Candidate, Failure, PostFilter, PostFiltered, Preemption};
pub use profile::Profile;

/// The best score of a node.
pub const SCORE_MAX: i64 = 100;

/// Facts about every plugin.
pub trait Plugin: Send + Sync + 'static {
    /// Upstream's name of it, where there is one.
    const NAME: &'static str;

    /// The events that may make a pod schedulable which this plugin rejected. Such a pod waits until one of
    /// them comes: an event that is missing here leaves the pod waiting for minutes.
    const WAKES_ON: EventKinds;

    /// Those of [`Plugin::WAKES_ON`] that matter to this pod. Pods for which an event does not matter are not even
    /// asked about it.
    fn wakes_on(&self, _pod: &PodInfo) -> EventKinds {
        Self::WAKES_ON
    }

    /// Whether an event of these kinds may make this pod schedulable: the queueing hint. It is asked for every
    /// waiting pod which the plugin rejected, so it must be quick; if in doubt, the answer is yes.
    fn may_help(&self, _pod: &PodInfo, _event: &Event<'_>) -> bool {
        true
    }
}

/// Spreads scores so that the highest becomes [`SCORE_MAX`]; reversed, the highest becomes 0.
pub fn normalize_to_max(scores: &mut [i64], reversed: bool) {
    let highest = scores.iter().copied().max().unwrap_or(0);
    for score in scores {
        *score = if highest == 0 { 0 } else { SCORE_MAX * *score / highest };
        if reversed {
            *score = SCORE_MAX - *score;
        }
    }
}
