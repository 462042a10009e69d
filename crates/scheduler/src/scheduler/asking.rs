//! Decisions in which extenders take part: they stop at each question, and go on with its answer.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use tokio::time::Instant;

use super::{Outcome, Scheduler};
use crate::decide::{Found, Unfit};
use crate::extender::{Answer, Ask, Extender, Filtered, Question};
use crate::framework::Preemption;
use crate::queue::QueuedPod;
use crate::state::{NodeSlot, PodInfo, Snapshot};

/// A decision that waits for an answer.
#[derive(Debug)]
pub(super) struct Asked {
    queued: QueuedPod,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Which of the nodes are suitable.
    Filtering(Found),
    /// How good they are, besides these scores.
    Prioritizing(Vec<NodeSlot>, Vec<i64>),
    /// Which pods have to go.
    Preempting(Unfit),
}

impl Scheduler {
    /// Whether an extender with this verb is interested in a pod.
    fn has(&self, verb: fn(&Extender) -> &String, pod: &PodInfo) -> bool {
        self.extenders.iter().any(|other| !verb(other).is_empty() && other.is_interested_in(pod))
    }

    fn ask(&mut self, queued: QueuedPod, stage: Stage, ask: Ask) {
        let question = Question { pod: Arc::clone(&queued.info), ask };
        self.asked = Some(Asked { queued, stage });
        self.outcomes.push_back(Outcome::Ask(question));
    }

    /// Begins a decision. Where the pod is nominated for a node, `nominee` tries only that one.
    pub(super) fn find(&mut self, queued: QueuedPod, nominee: bool, now: Instant) {
        let pod = Arc::clone(&queued.info);
        let snapshot = self.cache.snapshot();
        let found = match self.decider.find(queued.profile(), &pod, snapshot, nominee) {
            Ok(found) => found,
            Err(unfit) => return self.ask_for_victims(queued, unfit, now),
        };
        let nodes = nodes(snapshot, &found.feasible);
        if nodes.is_empty() || !self.has(|extender| &extender.filter, &pod) {
            return self.go_on(queued, found, now);
        }
        self.ask(queued, Stage::Filtering(found), Ask::Filter(nodes));
    }

    /// Goes on with the nodes that passed all filters.
    fn go_on(&mut self, queued: QueuedPod, found: Found, now: Instant) {
        let pod = Arc::clone(&queued.info);
        let snapshot = self.cache.snapshot();
        match *found.feasible {
            [] if found.is_nominee => self.find(queued, false, now),
            [] => {
                let unfit = self.decider.give_up(queued.profile(), &pod, snapshot, found);
                self.ask_for_victims(queued, unfit, now);
            }
            [only] => self.take(queued, only, now),
            _ => {
                let totals = self.decider.totals(queued.profile(), &pod, snapshot, &found.feasible);
                let nodes = nodes(snapshot, &found.feasible);
                if self.has(|extender| &extender.prioritize, &pod) {
                    let stage = Stage::Prioritizing(found.feasible, totals);
                    return self.ask(queued, stage, Ask::Prioritize(nodes));
                }
                let chosen = self.decider.choose(&found.feasible, totals);
                self.take(queued, chosen, now);
            }
        }
    }

    fn take(&mut self, queued: QueuedPod, slot: NodeSlot, now: Instant) {
        let node = Arc::clone(&self.cache.view().node(slot).name);
        self.place(queued, &node, now);
    }

    fn ask_for_victims(&mut self, queued: QueuedPod, unfit: Unfit, now: Instant) {
        if unfit.candidates.is_empty() || !self.has(|extender| &extender.preempt, &queued.info) {
            return self.is_unfit(queued, unfit, now);
        }
        let view = self.cache.view();
        let residents = unfit.candidates.iter().filter_map(|candidate| {
            let node = view.node_named(&candidate.node)?;
            Some((Arc::clone(&node.name), node.pods.clone()))
        });
        let ask = Ask::Preempt(unfit.candidates.to_vec(), residents.collect());
        self.ask(queued, Stage::Preempting(unfit), ask);
    }

    /// Goes on with the answer to the last question. Nothing else may happen in between, nor before the next question is
    /// answered, which is returned if there is one.
    ///
    /// # Panics
    /// If nothing was asked, or something else.
    pub fn answer(&mut self, answer: Answer, now: Instant) -> Option<Question> {
        self.continue_with(answer, now);
        match self.outcomes.pop_back()? {
            Outcome::Ask(question) => Some(question),
            other => {
                self.outcomes.push_back(other);
                None
            }
        }
    }

    fn continue_with(&mut self, answer: Answer, now: Instant) {
        let Asked { queued, stage } = self.asked.take().expect("an answer follows a question");
        match (stage, answer) {
            (Stage::Filtering(found), Answer::Filtered(Ok(filtered))) => {
                let found = self.filtered(found, filtered);
                self.go_on(queued, found, now);
            }
            (Stage::Filtering(found), Answer::Filtered(Err(_))) if found.is_nominee => {
                self.find(queued, false, now);
            }
            (Stage::Filtering(_), Answer::Filtered(Err(message))) => self.fail(queued, message, now),
            (Stage::Prioritizing(feasible, mut totals), Answer::Prioritized(scores)) => {
                self.prioritized(&feasible, &mut totals, &scores);
                let chosen = self.decider.choose(&feasible, totals);
                self.take(queued, chosen, now);
            }
            (Stage::Preempting(mut unfit), Answer::Preempted(answer)) => {
                let (candidates, why) = match answer {
                    Ok(candidates) => (candidates, "no candidate node for preemption".to_owned()),
                    Err(why) => (Vec::new(), why),
                };
                unfit.preemption = Preemption::best(&candidates, &queued.info, self.cache.view());
                if unfit.preemption.is_none() {
                    unfit.message.push_str(&format!(" preemption: {why}"));
                }
                self.is_unfit(queued, unfit, now);
            }
            (stage, answer) => unreachable!("{answer:?} answers another question than {stage:?}"),
        }
    }

    fn filtered(&self, mut found: Found, filtered: Filtered) -> Found {
        let mut rejected: HashMap<String, _> = filtered.rejected.into_iter().collect();
        let view = self.cache.view();
        let lost = found.feasible.iter().filter(|slot| {
            let name = &*view.node(**slot).name;
            !filtered.passed.iter().any(|passed| passed == name)
        });
        let lost: Vec<_> = lost.map(|slot| (*slot, rejected.remove(&*view.node(*slot).name))).collect();
        found.reject(lost);
        found
    }

    fn prioritized(&self, feasible: &[NodeSlot], totals: &mut [i64], scores: &HashMap<String, i64>) {
        for (slot, total) in feasible.iter().zip(totals) {
            let score = scores.get(&*self.cache.view().node(*slot).name).copied().unwrap_or(0);
            *total = total.saturating_add(score);
        }
    }

    /// A decision failed: it is made again after a while.
    fn fail(&mut self, queued: QueuedPod, message: String, now: Instant) {
        let pod = Arc::clone(&queued.info);
        self.cache.nominations().remove(&pod.uid);
        self.queue.failed(queued, now);
        self.outcomes.push_back(Outcome::Failed { pod, message });
    }
}

fn nodes(snapshot: &Snapshot, slots: &[NodeSlot]) -> Vec<Arc<Node>> {
    slots.iter().filter_map(|slot| snapshot.node(*slot).node().cloned()).collect()
}
