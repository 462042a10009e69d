//! Preemption: selects pods of lower priority to evict, so that a pod finds a node.
//!
//! On each node where preemption could resolve the filters' rejections, all pods of lower priority are assumed to be
//! gone. If the pod would then fit, as many of them as possible are added back, starting with those whose eviction
//! would violate a PodDisruptionBudget, and with the most important ones. The remaining pods are the victims. Of
//! several nodes, the one with the least important victims is chosen. See upstream's
//! `pkg/scheduler/framework/preemption`.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::decide::explain;
use crate::framework::{Failure, Filters, PostFilter, PostFiltered, Preemption, Rejection};
use crate::state::{NodeInfo, PodInfo, Snapshot};

/// The minimum number of candidate nodes, or this share of all.
const CANDIDATES_MIN: usize = 100;
const CANDIDATES_PERCENT: usize = 10;

/// Selects pods of lower priority to preempt.
#[derive(Debug)]
pub struct DefaultPreemption;

impl PostFilter for DefaultPreemption {
    fn post_filter(&self, pod: &PodInfo, snapshot: &Snapshot, failure: &Failure<'_>) -> PostFiltered {
        if let Err(why) = check_eligible(pod, snapshot, failure) {
            return PostFiltered { message: Some(format!("preemption: {why}")), ..PostFiltered::default() };
        }
        let (candidates, reasons) = find_candidates(pod, snapshot, failure);
        let Some(best) = candidates.into_iter().min_by_key(Candidate::cost) else {
            let message = Some(format!("preemption: {}", explain(snapshot.len(), reasons)));
            return PostFiltered { preemption: None, gives_up_nomination: true, message };
        };
        let nominated = snapshot.nominations().on(&best.node).iter();
        let displaced = nominated.filter(|other| other.priority < pod.priority).cloned().collect();
        let preemption = Preemption { nominated: best.node, victims: best.victims, displaced };
        PostFiltered { preemption: Some(preemption), ..PostFiltered::default() }
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

/// A node that would be suitable, and the victims there.
#[derive(Debug)]
struct Candidate {
    node: Arc<str>,
    /// The most important first.
    victims: Vec<Arc<PodInfo>>,
    /// How many budgets' rules would be violated.
    violations: usize,
}

impl Candidate {
    /// The less the better, from the first on: violated budgets, the highest priority, all priorities together, the
    /// number of victims, and how long those of the highest priority have run.
    fn cost(&self) -> (usize, i32, i64, usize, Reverse<i64>) {
        let highest = self.victims.first().map_or(i32::MIN, |victim| victim.priority);
        // Raised above 0, so that many victims of low priority do not count less than few.
        let raised = |priority: i32| i64::from(priority) + i64::from(i32::MAX) + 1;
        let sum = self.victims.iter().map(|victim| raised(victim.priority)).sum();
        let important = self.victims.iter().filter(|victim| victim.priority == highest);
        let earliest = important.map(|victim| start(victim)).min().unwrap_or(i64::MAX);
        (self.violations, highest, sum, self.victims.len(), Reverse(earliest))
    }
}

/// When a pod started, in seconds; one that did not start yet counts as the youngest.
fn start(pod: &PodInfo) -> i64 {
    pod.start_seconds().unwrap_or(i64::MAX)
}

/// Sorts the most important first: by priority, then by age.
fn importance(pod: &Arc<PodInfo>) -> (Reverse<i32>, i64) {
    (Reverse(pod.priority), start(pod))
}

type Reasons = BTreeMap<Cow<'static, str>, usize>;

/// Nodes that would do; and why the others would not.
fn find_candidates(pod: &PodInfo, snapshot: &Snapshot, failure: &Failure<'_>) -> (Vec<Candidate>, Reasons) {
    let curable = failure.rejections.iter().filter(|(_, rejection)| !rejection.unresolvable);
    let nodes: Vec<&NodeInfo> = curable.map(|(slot, _)| snapshot.node(*slot)).collect();
    let mut reasons: Reasons =
        [("Preemption is not helpful for scheduling".into(), snapshot.len() - nodes.len())].into();
    let Some(filters) = failure.filters.filter(|_| !nodes.is_empty()) else { return (Vec::new(), reasons) };
    let enough = (nodes.len() * CANDIDATES_PERCENT / 100).max(CANDIDATES_MIN);
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
    lower.sort_by_key(importance);
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
    victims.sort_by_key(importance);
    Ok(Candidate { node: Arc::clone(&node.name), victims, violations })
}
