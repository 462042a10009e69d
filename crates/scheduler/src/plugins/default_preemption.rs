//! Preemption: selects pods of lower priority to evict, so that a pod finds a node.
//!
//! On each node where preemption could resolve the filters' rejections, all pods of lower priority are assumed to be
//! gone. If the pod would then fit, as many of them as possible are added back, starting with those whose eviction
//! would violate a PodDisruptionBudget, and with the most important ones. The remaining pods are the victims. Of
//! several nodes, the one with the least important victims is chosen. See upstream's
//! `pkg/scheduler/framework/preemption`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::decide::explain;
use crate::framework::{
    Candidate, EventKinds, Failure, Filters, Plugin, PostFilter, PostFiltered, Rejection,
};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// Selects pods of lower priority to preempt.
#[derive(Debug)]
pub struct DefaultPreemption {
    candidates_percent: usize,
    candidates_min: usize,
}

impl Default for DefaultPreemption {
    fn default() -> DefaultPreemption {
        DefaultPreemption::new(10, 100)
    }
}

impl DefaultPreemption {
    /// The plugin that looks at this percentage of the nodes where preemption may help, and at no fewer than this number.
    pub fn new(candidates_percent: usize, candidates_min: usize) -> DefaultPreemption {
        DefaultPreemption { candidates_percent, candidates_min }
    }

    fn candidates(&self, nodes: usize) -> usize {
        (nodes * self.candidates_percent / 100).max(self.candidates_min)
    }

    /// Nodes that would do; and why the others would not.
    fn find_candidates(
        &self,
        pod: &PodInfo,
        snapshot: &Snapshot,
        failure: &Failure<'_>,
    ) -> (Vec<Candidate>, Reasons) {
        let curable = failure.rejections.iter().filter(|(_, rejection)| !rejection.unresolvable);
        let nodes: Vec<&NodeInfo> = curable.map(|(slot, _)| snapshot.node(*slot)).collect();
        let mut reasons: Reasons =
            [("Preemption is not helpful for scheduling".into(), snapshot.len() - nodes.len())].into();
        let Some(filters) = failure.filters.filter(|_| !nodes.is_empty()) else {
            return (Vec::new(), reasons);
        };
        let enough = self.candidates(nodes.len());
        let offset = (failure.random % nodes.len() as u64) as usize;
        let mut candidates = Vec::new();
        for node in nodes[offset..].iter().chain(&nodes[..offset]) {
            match select_victims(pod, snapshot, filters, node) {
                Ok(candidate) => candidates.push(candidate),
                Err(rejection) => {
                    for reason in rejection.reasons() {
                        *reasons.entry(reason.clone()).or_default() += 1;
                    }
                }
            }
            let unharmed = candidates.iter().any(|candidate: &Candidate| candidate.violations == 0);
            if candidates.len() >= enough && unharmed {
                break;
            }
        }
        (candidates, reasons)
    }
}

impl Plugin for DefaultPreemption {
    const NAME: &'static str = "DefaultPreemption";
    const WAKES_ON: EventKinds = EventKinds::NONE;
}

impl PostFilter for DefaultPreemption {
    fn post_filter(&self, pod: &PodInfo, snapshot: &Snapshot, failure: &Failure<'_>) -> PostFiltered {
        if let Err(why) = check_eligible(pod, snapshot, failure) {
            return PostFiltered { message: Some(format!("preemption: {why}")), ..PostFiltered::default() };
        }
        let (candidates, reasons) = self.find_candidates(pod, snapshot, failure);
        if candidates.is_empty() {
            let message = Some(format!("preemption: {}", explain(snapshot.len(), reasons)));
            return PostFiltered { candidates, gives_up_nomination: true, message };
        }
        PostFiltered { candidates, ..PostFiltered::default() }
    }
}

/// Whether the pod may preempt others now; otherwise the reason why not.
fn check_eligible(pod: &PodInfo, snapshot: &Snapshot, failure: &Failure<'_>) -> Result<(), &'static str> {
    if pod.spec().and_then(|spec| spec.preemption_policy.as_deref()) == Some("Never") {
        return Err("not eligible due to preemptionPolicy=Never.");
    }
    let nominations = snapshot.nominations();
    let nominated = nominations.node_of(&pod.uid).and_then(|name| snapshot.node_named(name));
    // Where nothing would help any more, it need not wait.
    let mut curable = failure.rejections.iter().filter(|(_, rejection)| !rejection.unresolvable);
    let Some(node) = nominated.filter(|node| curable.any(|(slot, _)| *slot == node.slot)) else {
        return Ok(());
    };
    if node.pods.iter().any(|other| other.priority < pod.priority && nominations.is_victim(other)) {
        return Err("not eligible due to a terminating pod on the nominated node.");
    }
    Ok(())
}

type Reasons = BTreeMap<Cow<'static, str>, usize>;

/// The smallest set of pods that must leave a node.
fn select_victims(
    pod: &PodInfo,
    snapshot: &Snapshot,
    filters: &Filters<'_>,
    node: &NodeInfo,
) -> Result<Candidate, Rejection> {
    let lower = node.pods.iter().filter(|other| other.priority < pod.priority);
    let mut lower: Vec<Arc<PodInfo>> = lower.cloned().collect();
    if lower.is_empty() {
        return Err(Rejection::unresolvable("No preemption victims found for incoming pod"));
    }
    let mut simulation = filters.simulate(node);
    lower.iter().for_each(|other| simulation.remove(&other.uid));
    simulation.check().map_err(|(_, rejection)| rejection)?;
    Candidate::sort(&mut lower);
    let (violating, others) = snapshot.budgets().split(lower);
    let (mut victims, mut violations) = (Vec::new(), 0);
    for (list, violates) in [(violating, 1), (others, 0)] {
        for other in list {
            simulation.add(&other);
            if simulation.check().is_err() {
                simulation.remove(&other.uid);
                victims.push(other);
                violations += violates;
            }
        }
    }
    if victims.is_empty() {
        let why = format!("expected at least one victim pod on node {:?}", node.name);
        return Err(Rejection::unresolvable(why));
    }
    Candidate::sort(&mut victims);
    Ok(Candidate { node: Arc::clone(&node.name), victims, violations })
}
