//! The plugins in their order, ready to run.

use std::sync::Arc;

use super::binding::{Bind, Permission, Permit, PostBind, PreBind, Reserve};
use super::filters::{Filters, Ready, Stateful};
use super::held::{AnyBind, AnyReserve, PreBinds, Reserves};
use super::plugin_set::PluginSet;
use super::{
    Event, EventKinds, Failure, Filter, Plugin, PostFilter, PostFiltered, PreEnqueue, PreFilter, QueueSort,
    Rejection, Score,
};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// The plugins of the pods with one `spec.schedulerName`, in their order, ready to run.
pub struct Profile {
    name: String,
    plugins: Vec<Registered>,
    queue_sort: Box<dyn QueueSort>,
    pre_enqueue: Vec<(usize, Box<dyn AnyPreEnqueue>)>,
    filters: Vec<(usize, Box<dyn AnyFilter>)>,
    post_filters: Vec<Box<dyn PostFilter>>,
    scores: Vec<(i64, Box<dyn AnyScore>)>,
    pub(super) reserves: Vec<(usize, Box<dyn AnyReserve>)>,
    permits: Vec<(usize, Box<dyn AnyPermit>)>,
    pub(super) binds: Vec<(&'static str, Box<dyn AnyBind>)>,
    pub(super) post_binds: Vec<Box<dyn AnyPostBind>>,
}

struct Registered {
    name: &'static str,
    hint: Box<dyn AnyHint>,
}

impl Profile {
    /// A profile without plugins: every pod fits on every node, and none is bound.
    pub fn new(name: &str, queue_sort: impl QueueSort) -> Profile {
        Profile {
            name: name.to_owned(),
            plugins: Vec::new(),
            queue_sort: Box::new(queue_sort),
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

    /// Adds a plugin that decides whether pods may be tried.
    #[must_use]
    pub fn pre_enqueue<P: PreEnqueue>(mut self, plugin: P) -> Profile {
        let plugin = Arc::new(plugin);
        let place = self.register(&plugin);
        self.pre_enqueue.push((place, Box::new(plugin)));
        self
    }

    /// Adds a plugin that filters.
    #[must_use]
    pub fn filter<P: Filter>(mut self, plugin: P) -> Profile {
        let plugin = Arc::new(plugin);
        let place = self.register(&plugin);
        self.filters.push((place, Box::new(plugin)));
        self
    }

    /// Adds a plugin that filters and scores.
    #[must_use]
    pub fn filter_and_score<P: Filter + Score>(mut self, plugin: P, weight: i64) -> Profile {
        let plugin = Arc::new(plugin);
        let place = self.register(&plugin);
        self.filters.push((place, Box::new(Arc::clone(&plugin))));
        self.scores.push((weight, Box::new(plugin)));
        self
    }

    /// Adds a plugin that scores.
    #[must_use]
    pub fn score<P: Score>(mut self, plugin: P, weight: i64) -> Profile {
        let plugin = Arc::new(plugin);
        self.register(&plugin);
        self.scores.push((weight, Box::new(plugin)));
        self
    }

    /// Adds a plugin that has the last word.
    #[must_use]
    pub fn post_filter(mut self, plugin: impl PostFilter) -> Profile {
        self.post_filters.push(Box::new(plugin));
        self
    }

    /// Adds a plugin that reserves.
    #[must_use]
    pub fn reserve<P: Reserve>(mut self, plugin: P) -> Profile {
        let plugin = Arc::new(plugin);
        let place = self.register(&plugin);
        self.reserves.push((place, Box::new(Reserves(plugin))));
        self
    }

    /// Adds a plugin that reserves and has something to do before the binding.
    #[must_use]
    pub fn reserve_and_pre_bind<P: PreBind>(mut self, plugin: P) -> Profile {
        let plugin = Arc::new(plugin);
        let place = self.register(&plugin);
        self.reserves.push((place, Box::new(PreBinds(plugin))));
        self
    }

    /// Adds a plugin that permits.
    #[must_use]
    pub fn permit<P: Permit>(mut self, plugin: P) -> Profile {
        let plugin = Arc::new(plugin);
        let place = self.register(&plugin);
        self.permits.push((place, Box::new(plugin)));
        self
    }

    /// Adds a plugin that binds.
    #[must_use]
    pub fn bind<P: Bind>(mut self, plugin: P) -> Profile {
        let plugin = Arc::new(plugin);
        self.register(&plugin);
        self.binds.push((P::NAME, Box::new(plugin)));
        self
    }

    /// Adds a plugin that is notified of bindings.
    #[must_use]
    pub fn post_bind<P: PostBind>(mut self, plugin: P) -> Profile {
        let plugin = Arc::new(plugin);
        self.register(&plugin);
        self.post_binds.push(Box::new(plugin));
        self
    }

    /// The index of a plugin, which is the same at all extension points.
    fn register<P: Plugin>(&mut self, plugin: &Arc<P>) -> usize {
        if let Some(place) = self.place(P::NAME) {
            return place;
        }
        assert!(self.plugins.len() < 64, "a set of plugins has 64 places");
        self.plugins.push(Registered { name: P::NAME, hint: Box::new(Arc::clone(plugin)) });
        self.plugins.len() - 1
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
            let result = plugin.post_filter(pod, snapshot, failure);
            let found = result.preemption.is_some();
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
        for (weight, plugin) in &self.scores {
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

/// The hints of any plugin.
trait AnyHint: Send + Sync {
    fn wakes_on(&self, pod: &PodInfo) -> EventKinds;
    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool;
}

impl<P: Plugin> AnyHint for Arc<P> {
    fn wakes_on(&self, pod: &PodInfo) -> EventKinds {
        P::wakes_on(self, pod)
    }

    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool {
        P::may_help(self, pod, event)
    }
}

trait AnyPreEnqueue: Send + Sync {
    fn run(&self, pod: &PodInfo) -> Result<(), String>;
}

impl<P: PreEnqueue> AnyPreEnqueue for Arc<P> {
    fn run(&self, pod: &PodInfo) -> Result<(), String> {
        self.pre_enqueue(pod)
    }
}

/// A filter of any state: the state moves into what checks the nodes.
trait AnyFilter: Send + Sync {
    fn prepare<'a>(&'a self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Box<dyn Ready + 'a>>;
}

impl<P: Filter> AnyFilter for Arc<P> {
    fn prepare<'a>(&'a self, pod: &PodInfo, snapshot: &Snapshot) -> PreFilter<Box<dyn Ready + 'a>> {
        let boxed = |state| -> Box<dyn Ready + 'a> { Box::new(Stateful::<P> { plugin: self, state }) };
        match self.pre_filter(pod, snapshot) {
            PreFilter::Skip => PreFilter::Skip,
            PreFilter::Reject(rejection) => PreFilter::Reject(rejection),
            PreFilter::Check(state) => PreFilter::Check(boxed(state)),
            PreFilter::CheckOnly(state, nodes) => PreFilter::CheckOnly(boxed(state), nodes),
        }
    }
}

/// A score of any state: one virtual call scores all nodes.
trait AnyScore: Send + Sync {
    /// Fills `scores`, or returns `false`.
    fn run(&self, pod: &PodInfo, snapshot: &Snapshot, feasible: &[&NodeInfo], scores: &mut Vec<i64>) -> bool;
}

impl<P: Score> AnyScore for Arc<P> {
    fn run(&self, pod: &PodInfo, snapshot: &Snapshot, feasible: &[&NodeInfo], scores: &mut Vec<i64>) -> bool {
        let Some(state) = self.pre_score(pod, snapshot, feasible) else { return false };
        scores.clear();
        scores.extend(feasible.iter().map(|node| P::score(self, &state, pod, node)));
        self.normalize(&state, feasible, scores);
        true
    }
}

trait AnyPermit: Send + Sync {
    fn run(&self, pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> Permission;
}

impl<P: Permit> AnyPermit for Arc<P> {
    fn run(&self, pod: &PodInfo, node: &NodeInfo, snapshot: &Snapshot) -> Permission {
        self.permit(pod, node, snapshot)
    }
}

/// [`PostBind`] of any plugin.
pub(super) trait AnyPostBind: Send + Sync {
    fn post_bind(&self, pod: &PodInfo, node: &str);
}

impl<P: PostBind> AnyPostBind for Arc<P> {
    fn post_bind(&self, pod: &PodInfo, node: &str) {
        P::post_bind(self, pod, node);
    }
}
