//! The plugins in their order, ready to run.

use std::sync::Arc;

use super::binding::{Bind, Permission, Permit, PostBind, PreBind, Reserve};
use super::erased::{AnyFilter, AnyHint, AnyPermit, AnyPostBind, AnyPostFilter, AnyPreEnqueue, AnyScore};
use super::filters::Filters;
use super::held::{AnyBind, AnyReserve};
use super::offer::{Offer, Offering, Point};
use super::plugin_set::PluginSet;
use super::{
    Event, EventKinds, Failure, Filter, PostFilter, PostFiltered, PreEnqueue, PreFilter, QueueSort,
    Rejection, Score,
};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// The plugins of the pods with one `spec.schedulerName`, in their order, ready to run.
pub struct Profile {
    name: String,
    percentage: Option<u32>,
    plugins: Vec<Registered>,
    queue_sort: Box<dyn QueueSort>,
    pre_enqueue: Vec<(usize, Box<dyn AnyPreEnqueue>)>,
    filters: Vec<(usize, Box<dyn AnyFilter>)>,
    post_filters: Vec<Box<dyn AnyPostFilter>>,
    scores: Vec<(usize, i64, Box<dyn AnyScore>)>,
    pub(super) reserves: Vec<(usize, Box<dyn AnyReserve>)>,
    permits: Vec<(usize, Box<dyn AnyPermit>)>,
    pub(super) binds: Vec<(&'static str, Box<dyn AnyBind>)>,
    pub(super) post_binds: Vec<Box<dyn AnyPostBind>>,
}

struct Registered {
    name: &'static str,
    hint: Arc<dyn AnyHint>,
}

impl Profile {
    /// A profile without plugins: every pod fits on every node, and none is bound.
    pub fn new(name: &str, queue_sort: impl QueueSort) -> Profile {
        Profile::sorted(name, Box::new(queue_sort))
    }

    pub(super) fn sorted(name: &str, queue_sort: Box<dyn QueueSort>) -> Profile {
        Profile {
            name: name.to_owned(),
            percentage: None,
            plugins: Vec::new(),
            queue_sort,
            pre_enqueue: Vec::new(),
            filters: Vec::new(),
            post_filters: Vec::new(),
            scores: Vec::new(),
            reserves: Vec::new(),
            permits: Vec::new(),
            binds: Vec::new(),
            post_binds: Vec::new(),
        }
    }

    /// The `spec.schedulerName` of the pods that it is for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The percentage of nodes from which the best is taken, if the profile has its own; 0 lets the size of the cluster
    /// decide.
    pub fn percentage(&self) -> Option<u32> {
        self.percentage
    }

    /// Sets [`Profile::percentage`].
    #[must_use]
    pub fn with_percentage(mut self, percentage: Option<u32>) -> Profile {
        self.percentage = percentage;
        self
    }

    /// Adds a plugin at all extension points that it is offered for, with the weight of its scores.
    #[must_use]
    pub fn with(mut self, mut offer: Offer, weight: i64) -> Profile {
        for point in Point::ALL {
            self.take(point, &mut offer, weight);
        }
        self
    }

    /// Adds a plugin at one extension point, unless it was added there already or is not offered for it. `weight` is that
    /// of its scores.
    pub(super) fn take(&mut self, point: Point, offer: &mut Offer, weight: i64) {
        if !offer.extends(point) || matches!(point, Point::QueueSort | Point::PreFilter | Point::PreScore) {
            return;
        }
        let place = self.register(offer);
        let parts = &mut offer.parts;
        match point {
            // Pods of all profiles wait in one queue; and what prepares a filter or a score belongs to it.
            Point::QueueSort | Point::PreFilter | Point::PreScore => {}
            Point::PreEnqueue => self.pre_enqueue.extend(parts.pre_enqueue.take().map(|part| (place, part))),
            Point::Filter => self.filters.extend(parts.filter.take().map(|part| (place, part))),
            Point::PostFilter => self.post_filters.extend(parts.post_filter.take()),
            Point::Score => self.scores.extend(parts.score.take().map(|part| (place, weight, part))),
            Point::Reserve => self.reserves.extend(parts.reserve.take().map(|part| (place, part))),
            Point::PreBind => {
                let Some(part) = parts.pre_bind.take() else { return };
                match self.reserves.iter_mut().find(|(other, _)| *other == place) {
                    Some((_, reserves)) => *reserves = part,
                    None => self.reserves.push((place, part)),
                }
            }
            Point::Permit => self.permits.extend(parts.permit.take().map(|part| (place, part))),
            Point::Bind => self.binds.extend(parts.bind.take().map(|part| (offer.name, part))),
            Point::PostBind => self.post_binds.extend(parts.post_bind.take()),
        }
    }

    /// Adds a plugin that decides whether pods may be tried.
    #[must_use]
    pub fn pre_enqueue<P: PreEnqueue>(self, plugin: P) -> Profile {
        self.with(Offering::new(plugin).pre_enqueues().offer(), 0)
    }

    /// Adds a plugin that filters.
    #[must_use]
    pub fn filter<P: Filter>(self, plugin: P) -> Profile {
        self.with(Offering::new(plugin).filters().offer(), 0)
    }

    /// Adds a plugin that filters and scores.
    #[must_use]
    pub fn filter_and_score<P: Filter + Score>(self, plugin: P, weight: i64) -> Profile {
        self.with(Offering::new(plugin).filters().scores().offer(), weight)
    }

    /// Adds a plugin that scores.
    #[must_use]
    pub fn score<P: Score>(self, plugin: P, weight: i64) -> Profile {
        self.with(Offering::new(plugin).scores().offer(), weight)
    }

    /// Adds a plugin that has the last word.
    #[must_use]
    pub fn post_filter<P: PostFilter>(self, plugin: P) -> Profile {
        self.with(Offering::new(plugin).post_filters().offer(), 0)
    }

    /// Adds a plugin that reserves.
    #[must_use]
    pub fn reserve<P: Reserve>(self, plugin: P) -> Profile {
        self.with(Offering::new(plugin).reserves().offer(), 0)
    }

    /// Adds a plugin that reserves and has something to do before the binding.
    #[must_use]
    pub fn reserve_and_pre_bind<P: PreBind>(self, plugin: P) -> Profile {
        self.with(Offering::new(plugin).reserves().pre_binds().offer(), 0)
    }

    /// Adds a plugin that permits.
    #[must_use]
    pub fn permit<P: Permit>(self, plugin: P) -> Profile {
        self.with(Offering::new(plugin).permits().offer(), 0)
    }

    /// Adds a plugin that binds.
    #[must_use]
    pub fn bind<P: Bind>(self, plugin: P) -> Profile {
        self.with(Offering::new(plugin).binds().offer(), 0)
    }

    /// Adds a plugin that is notified of bindings.
    #[must_use]
    pub fn post_bind<P: PostBind>(self, plugin: P) -> Profile {
        self.with(Offering::new(plugin).post_binds().offer(), 0)
    }

    /// The index of a plugin, which is the same at all extension points.
    fn register(&mut self, offer: &Offer) -> usize {
        if let Some(place) = self.place(offer.name) {
            return place;
        }
        assert!(self.plugins.len() < 64, "a set of plugins has 64 places");
        self.plugins.push(Registered { name: offer.name, hint: Arc::clone(&offer.hint) });
        self.plugins.len() - 1
    }

    /// The plugins that filter or score, in their order, with the weights of their scores.
    #[cfg(test)]
    pub(crate) fn lineup(&self, point: Point) -> Vec<(&'static str, i64)> {
        match point {
            Point::Filter => self.filters.iter().map(|(place, _)| (self.plugins[*place].name, 0)).collect(),
            Point::Score => {
                self.scores.iter().map(|(place, weight, _)| (self.plugins[*place].name, *weight)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The names of the plugins of a set, sorted.
    pub fn names(&self, set: PluginSet) -> Vec<&'static str> {
        let mut names: Vec<_> = self.members(set).map(|plugin| plugin.name).collect();
        names.sort_unstable();
        names
    }

    /// The place of the plugin of this name.
    pub fn place(&self, name: &str) -> Option<usize> {
        self.plugins.iter().position(|plugin| plugin.name == name)
    }

    fn members(&self, set: PluginSet) -> impl Iterator<Item = &Registered> {
        let all = self.plugins.iter().enumerate();
        all.filter(move |(place, _)| set.contains(*place)).map(|(_, plugin)| plugin)
    }

    /// The place of a pod in the queue; smaller is sooner.
    pub fn rank(&self, pod: &PodInfo) -> i64 {
        self.queue_sort.rank(pod)
    }

    /// Whether a pod may be tried; else who objects, and why.
    pub fn run_pre_enqueue(&self, pod: &PodInfo) -> Result<(), (PluginSet, String)> {
        for (place, plugin) in &self.pre_enqueue {
            plugin.run(pod).map_err(|why| (PluginSet::of(*place), why))?;
        }
        Ok(())
    }

    /// The filters, prepared for one decision; or the first that rules out all nodes.
    pub fn prepare<'a>(
        &'a self,
        pod: &'a PodInfo,
        snapshot: &'a Snapshot,
    ) -> Result<Filters<'a>, (usize, Rejection)> {
        let mut filters = Filters {
            pod,
            snapshot,
            ready: Vec::with_capacity(self.filters.len()),
            only: None,
            narrowed_by: PluginSet::default(),
        };
        for (place, filter) in &self.filters {
            let (ready, only) = match filter.prepare(pod, snapshot) {
                PreFilter::Skip => continue,
                PreFilter::Check(ready) => (ready, None),
                PreFilter::CheckOnly(ready, nodes) => (ready, Some(nodes)),
                PreFilter::Reject(rejection) => return Err((*place, rejection)),
            };
            filters.ready.push((*place, ready));
            if let Some(mut nodes) = only {
                nodes.retain(|slot| filters.only.as_ref().is_none_or(|only| only.contains(slot)));
                filters.only = Some(nodes);
                filters.narrowed_by.insert(*place);
            }
        }
        Ok(filters)
    }

    /// The remedy for a pod for which no node fits: the first plugin that names victims decides.
    pub fn run_post_filter(
        &self,
        pod: &PodInfo,
        snapshot: &Snapshot,
        failure: &Failure<'_>,
    ) -> Vec<PostFiltered> {
        let mut all = Vec::new();
        for plugin in &self.post_filters {
            let result = plugin.run(pod, snapshot, failure);
            let found = !result.candidates.is_empty();
            all.push(result);
            if found {
                break;
            }
        }
        all
    }

    /// Whether a pod may be bound to a node: the plugins that make it wait, with their times, or the one that denies
    /// it.
    pub fn run_permit(
        &self,
        pod: &PodInfo,
        node: &NodeInfo,
        snapshot: &Snapshot,
    ) -> Result<Vec<(usize, std::time::Duration)>, (PluginSet, Rejection)> {
        let mut waits = Vec::new();
        for (place, plugin) in &self.permits {
            match plugin.run(pod, node, snapshot) {
                Permission::Allow => {}
                Permission::Wait(most) => waits.push((*place, most)),
                Permission::Deny(rejection) => return Err((PluginSet::of(*place), rejection)),
            }
        }
        Ok(waits)
    }

    /// Adds each plugin's weighted scores to `totals`, which is as long as `feasible`. `scores` is memory to use.
    pub fn run_score(
        &self,
        pod: &PodInfo,
        snapshot: &Snapshot,
        feasible: &[&NodeInfo],
        totals: &mut [i64],
        scores: &mut Vec<i64>,
    ) {
        for (_, weight, plugin) in &self.scores {
            if plugin.run(pod, snapshot, feasible, scores) {
                for (total, score) in totals.iter_mut().zip(&*scores) {
                    *total += weight * score;
                }
            }
        }
    }

    /// The events that may make a pod schedulable that these plugins rejected. If no particular plugin did, any may.
    pub fn wakes_on(&self, rejected_by: PluginSet, pod: &PodInfo) -> EventKinds {
        if rejected_by.is_empty() {
            return EventKinds::ALL;
        }
        let kinds = self.members(rejected_by).map(|plugin| plugin.hint.wakes_on(pod));
        kinds.fold(EventKinds::NONE, EventKinds::or)
    }

    /// Whether an event may make a pod schedulable that these plugins rejected. If no particular plugin did, anything
    /// may.
    pub fn may_help(&self, rejected_by: PluginSet, pod: &PodInfo, event: &Event<'_>) -> bool {
        rejected_by.is_empty()
            || self.members(rejected_by).any(|plugin| {
                plugin.hint.wakes_on(pod).meets(event.kinds) && plugin.hint.may_help(pod, event)
            })
    }
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plugins: Vec<_> = self.plugins.iter().map(|plugin| plugin.name).collect();
        f.debug_struct("Profile").field("name", &self.name).field("plugins", &plugins).finish()
    }
}
