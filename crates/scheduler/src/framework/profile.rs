//! The plugins in their order, ready to run.

use std::sync::Arc;

use super::{
    Event, EventKinds, Filter, Plugin, PostFilter, PreEnqueue, PreFilter, QueueSort, Rejection, Score,
    Verdict,
};
use crate::state::{NodeInfo, NodeSlot, PodInfo, Snapshot};

/// A set of plugins of one profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginSet(u64);

impl PluginSet {
    /// Adds the plugin at a place of the profile.
    pub fn insert(&mut self, plugin: usize) {
        self.0 |= 1 << plugin;
    }

    /// Adds another set.
    pub fn extend(&mut self, other: PluginSet) {
        self.0 |= other.0;
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn contains(self, plugin: usize) -> bool {
        self.0 & (1 << plugin) != 0
    }
}

/// Whether a node passes a filter, in one decision.
pub type CheckNode<'a> = Box<dyn Fn(&NodeInfo) -> Verdict + 'a>;

/// A filter that is prepared for one decision.
pub enum PreFiltered<'a> {
    /// It has nothing to say.
    Skip,
    /// It checks nodes: only those listed, if there is a list.
    Check(CheckNode<'a>, Option<Vec<NodeSlot>>),
    /// It rejects all nodes.
    Reject(Rejection),
}

/// The plugins in their order, ready to run.
pub struct Profile {
    plugins: Vec<Registered>,
    queue_sort: Box<dyn QueueSort>,
    pre_enqueue: Vec<(usize, Box<dyn AnyPreEnqueue>)>,
    filters: Vec<(usize, Box<dyn AnyFilter>)>,
    post_filters: Vec<Box<dyn PostFilter>>,
    scores: Vec<(i64, Box<dyn AnyScore>)>,
}

struct Registered {
    name: &'static str,
    wakes_on: EventKinds,
    hint: Box<dyn AnyHint>,
}

impl Profile {
    /// A profile without plugins: every pod fits on every node.
    pub fn new(queue_sort: impl QueueSort) -> Profile {
        Profile {
            plugins: Vec::new(),
            queue_sort: Box::new(queue_sort),
            pre_enqueue: Vec::new(),
            filters: Vec::new(),
            post_filters: Vec::new(),
            scores: Vec::new(),
        }
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

    fn register<P: Plugin>(&mut self, plugin: &Arc<P>) -> usize {
        assert!(self.plugins.len() < 64, "a set of plugins has 64 places");
        let hint: Box<dyn AnyHint> = Box::new(Arc::clone(plugin));
        self.plugins.push(Registered { name: P::NAME, wakes_on: P::WAKES_ON, hint });
        self.plugins.len() - 1
    }

    /// The names of the plugins of a set, sorted.
    pub fn names(&self, set: PluginSet) -> Vec<&'static str> {
        let named = self.plugins.iter().enumerate().filter(|(place, _)| set.contains(*place));
        let mut names: Vec<_> = named.map(|(_, plugin)| plugin.name).collect();
        names.sort_unstable();
        names
    }

    /// The place of a pod in the queue; smaller is sooner.
    pub fn rank(&self, pod: &PodInfo) -> i64 {
        self.queue_sort.rank(pod)
    }

    /// Whether a pod may be tried; else who objects, and why.
    pub fn run_pre_enqueue(&self, pod: &PodInfo) -> Result<(), (PluginSet, String)> {
        for (place, plugin) in &self.pre_enqueue {
            if let Err(why) = plugin.run(pod) {
                let mut set = PluginSet::default();
                set.insert(*place);
                return Err((set, why));
            }
        }
        Ok(())
    }

    /// The filters, prepared for one decision, with their places.
    pub fn pre_filter<'a>(
        &'a self,
        pod: &'a PodInfo,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = (usize, PreFiltered<'a>)> {
        self.filters.iter().map(move |(place, filter)| (*place, filter.prepare(pod, snapshot)))
    }

    /// The sentences of those that have the last word.
    pub fn run_post_filter(
        &self,
        pod: &PodInfo,
        snapshot: &Snapshot,
        rejections: &[(NodeSlot, Rejection)],
    ) -> Vec<String> {
        self.post_filters.iter().filter_map(|plugin| plugin.post_filter(pod, snapshot, rejections)).collect()
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

    /// Whether an event may make a pod schedulable that these plugins rejected. If nobody in particular did,
    /// anything may.
    pub fn may_help(&self, rejected_by: PluginSet, pod: &PodInfo, event: &Event<'_>) -> bool {
        rejected_by.is_empty()
            || self.plugins.iter().enumerate().any(|(place, plugin)| {
                rejected_by.contains(place)
                    && plugin.wakes_on.meets(event.kinds)
                    && plugin.hint.may_help(pod, event)
            })
    }

    /// Whether any plugin waits for an event of these kinds.
    pub fn wakes_on(&self, kinds: EventKinds) -> bool {
        self.plugins.iter().any(|plugin| plugin.wakes_on.meets(kinds))
    }
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.plugins.iter().map(|plugin| plugin.name)).finish()
    }
}

/// [`Plugin::may_help`] of any plugin.
trait AnyHint: Send + Sync {
    fn may_help(&self, pod: &PodInfo, event: &Event<'_>) -> bool;
}

impl<P: Plugin> AnyHint for Arc<P> {
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
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> PreFiltered<'a>;
}

impl<P: Filter> AnyFilter for Arc<P> {
    fn prepare<'a>(&'a self, pod: &'a PodInfo, snapshot: &'a Snapshot) -> PreFiltered<'a> {
        let (state, only) = match self.pre_filter(pod, snapshot) {
            PreFilter::Skip => return PreFiltered::Skip,
            PreFilter::Reject(rejection) => return PreFiltered::Reject(rejection),
            PreFilter::Check(state) => (state, None),
            PreFilter::CheckOnly(state, nodes) => (state, Some(nodes)),
        };
        PreFiltered::Check(Box::new(move |node| P::filter(self, &state, pod, node)), only)
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
