//! Filters prepared for one decision, and their verdicts if pods were added or removed.

use std::sync::Arc;

use object::Uid;

use super::deciding::{Filter, Rejection, Supposition, Verdict};
use super::plugin_set::PluginSet;
use crate::state::{NodeInfo, NodeSlot, PodInfo, Snapshot};

/// The filters of a profile, prepared for one pod. Those that do not apply to it are left out.
pub struct Filters<'a> {
    pub(super) pod: &'a PodInfo,
    pub(super) snapshot: &'a Snapshot,
    pub(super) ready: Vec<(usize, Box<dyn Ready + 'a>)>,
    pub(super) only: Option<Vec<NodeSlot>>,
    pub(super) narrowed_by: PluginSet,
}

/// A filter with its state.
pub(super) trait Ready {
    fn check(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict;
    fn suppose(&mut self, pod: &PodInfo, what: &Supposition<'_>);
    fn fork<'a>(&self) -> Box<dyn Ready + 'a>
    where
        Self: 'a;
}

/// Any filter's form of [`Ready`].
pub(super) struct Stateful<'a, P: Filter> {
    pub(super) plugin: &'a P,
    pub(super) state: P::State,
}

impl<P: Filter> Ready for Stateful<'_, P> {
    fn check(&self, pod: &PodInfo, node: &NodeInfo) -> Verdict {
        self.plugin.filter(&self.state, pod, node)
    }

    fn suppose(&mut self, pod: &PodInfo, what: &Supposition<'_>) {
        self.plugin.suppose(&mut self.state, pod, what);
    }

    fn fork<'a>(&self) -> Box<dyn Ready + 'a>
    where
        Self: 'a,
    {
        Box::new(Stateful { plugin: self.plugin, state: self.state.clone() })
    }
}

impl<'a> Filters<'a> {
    /// The only candidate nodes; `None` if all nodes are candidates.
    pub fn only(&self) -> Option<&[NodeSlot]> {
        self.only.as_deref()
    }

    /// The plugins that left only some nodes to be checked.
    pub fn narrowed_by(&self) -> PluginSet {
        self.narrowed_by
    }

    /// Whether the pod can run on a node, with the pods that are nominated for it and without: it must not take their
    /// space, nor depend on them. The error names the plugin that objects.
    pub fn check(&self, node: &NodeInfo) -> Result<(), (usize, Rejection)> {
        if self.nominated(node).next().is_some() {
            return self.simulate(node).check();
        }
        self.check_as_is(node)
    }

    /// Begins to assume other pods on a node.
    pub fn simulate(&self, node: &NodeInfo) -> Simulation<'a> {
        Simulation { filters: self.fork(), node: node.clone() }
    }

    fn check_as_is(&self, node: &NodeInfo) -> Result<(), (usize, Rejection)> {
        for (place, filter) in &self.ready {
            if let Err(rejection) = filter.check(self.pod, node) {
                return Err((*place, rejection));
            }
        }
        Ok(())
    }

    /// The pods that are nominated for a node and take precedence over this one.
    fn nominated(&self, node: &NodeInfo) -> impl Iterator<Item = &'a Arc<PodInfo>> {
        let (uid, priority) = (&self.pod.uid, self.pod.priority);
        let nominated = self.snapshot.nominations().on(&node.name).iter();
        nominated.filter(move |other| other.priority >= priority && other.uid != *uid)
    }

    fn fork(&self) -> Filters<'a> {
        Filters {
            pod: self.pod,
            snapshot: self.snapshot,
            ready: self.ready.iter().map(|(place, filter)| (*place, filter.fork())).collect(),
            only: self.only.clone(),
            narrowed_by: self.narrowed_by,
        }
    }
}

/// A node as it might be: with other pods, or without some.
pub struct Simulation<'a> {
    filters: Filters<'a>,
    node: NodeInfo,
}

impl Simulation<'_> {
    /// The node as it might be.
    pub fn node(&self) -> &NodeInfo {
        &self.node
    }

    /// Supposes another pod on the node.
    pub fn add(&mut self, other: &Arc<PodInfo>) {
        self.node.add_pod(Arc::clone(other));
        self.suppose(other, true);
    }

    /// Supposes that a pod is gone from the node.
    pub fn remove(&mut self, uid: &Uid) {
        if let Some(other) = self.node.remove_pod(uid) {
            self.suppose(&other, false);
        }
    }

    fn suppose(&mut self, other: &PodInfo, there: bool) {
        let Filters { pod, snapshot, ready, .. } = &mut self.filters;
        let what = Supposition { other, node: &self.node, there, snapshot };
        ready.iter_mut().for_each(|(_, filter)| filter.suppose(pod, &what));
    }

    /// Whether the pod could run on another node, as it is.
    #[cfg(test)]
    pub(crate) fn check_elsewhere(&self, node: &NodeInfo) -> Result<(), (usize, Rejection)> {
        self.filters.check_as_is(node)
    }

    /// Whether the pod could run on the node; as [`Filters::check`].
    pub fn check(&self) -> Result<(), (usize, Rejection)> {
        let mut nominated = self.filters.nominated(&self.node).peekable();
        if nominated.peek().is_some() {
            let mut crowded = Simulation { filters: self.filters.fork(), node: self.node.clone() };
            nominated.for_each(|other| crowded.add(other));
            crowded.filters.check_as_is(&crowded.node)?;
        }
        self.filters.check_as_is(&self.node)
    }
}
