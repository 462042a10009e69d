//! `DoNotSchedule` constraints.

use std::sync::Arc;

use super::counted;
use crate::framework::Supposition;
use crate::state::{Counted, NodeInfo, PodInfo, PodQuery, Snapshot, SpreadConstraint};

/// A hard constraint and the pods that it counts in each domain.
#[derive(Clone, Debug)]
pub struct Hard {
    query: Arc<PodQuery>,
    pods: Counted,
    /// How many the emptiest domain has.
    pods_min: i64,
    domains_min: i64,
    /// 1 if the pod counts itself.
    own: i64,
    skew_max: i64,
}

impl Hard {
    /// One of all hard constraints of a pod.
    pub(super) fn new(
        from: &SpreadConstraint,
        pod: &PodInfo,
        all: &[SpreadConstraint],
        snapshot: &Snapshot,
    ) -> Hard {
        let nodes = counted::nodes(&from.rule, pod, counted::labels(all));
        let mut hard = Hard {
            query: Arc::clone(&from.query),
            pods: snapshot.count(&from.query, &from.rule.topology_key, &nodes),
            pods_min: 0,
            domains_min: from.rule.domains_min,
            own: i64::from(from.selector.matches(pod.labels())),
            skew_max: from.rule.skew_max,
        };
        hard.update();
        hard
    }

    /// Whether a node can take the pod; `None` if it is in no domain.
    pub(super) fn allows(&self, node: &NodeInfo) -> Option<bool> {
        Some(self.pods.at(node)? + self.own - self.pods_min <= self.skew_max)
    }

    pub(super) fn suppose(&mut self, what: &Supposition<'_>) {
        if what.other.is_meant_by(&self.query, what.snapshot.namespaces()) {
            self.pods.suppose(what.node, what.amount());
            self.update();
        }
    }

    fn update(&mut self) {
        self.pods_min = match self.pods.least() {
            _ if (self.pods.domains() as i64) < self.domains_min => 0,
            Some(least) => least,
            // Without any domain that counts nothing can be uneven.
            None => i64::from(i32::MAX),
        };
    }
}
