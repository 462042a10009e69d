//! A pod's terms about other pods: affinity, anti-affinity and topology spread, in matching form.

use std::sync::{Arc, LazyLock};

use client::{LeanPod, LeanPodSpec};
use k8s_openapi::api::core::v1::{PodAffinityTerm, TopologySpreadConstraint, WeightedPodAffinityTerm};
use object::{Operator, Requirement, Selector};
use semantics::{Weighted, selector};

use super::{PodQuery, PodSelection};

/// A pod's terms about other pods.
#[derive(Clone, Debug, Default)]
pub struct PodTerms {
    /// Pods that must run in the same domain.
    pub required_affinity: Vec<AffinityTerm>,
    /// The pods that all of `required_affinity` mean.
    pub together: Option<Arc<PodQuery>>,
    /// Pods that must not run in the same domain.
    pub required_anti_affinity: Vec<AffinityTerm>,
    /// Pods that should run in the same domain (weight above 0), or should not (below 0).
    pub preferred: Vec<Weighted<AffinityTerm>>,
    /// `DoNotSchedule` constraints.
    pub hard_spread: Vec<SpreadConstraint>,
    /// `ScheduleAnyway` constraints.
    pub soft_spread: Vec<SpreadConstraint>,
}

/// A pod affinity term: which pods, and in which sense near.
#[derive(Clone, Debug)]
pub struct AffinityTerm {
    /// Terms of the same text mean the same.
    pub id: Arc<str>,
    /// The node label whose value names the domain.
    pub topology_key: String,
    /// The pods.
    pub query: Arc<PodQuery>,
}

/// A topology spread constraint. See KEP-895 and KEP-3094.
#[derive(Clone, Debug)]
pub struct SpreadConstraint {
    /// How the pods are to be spread.
    pub rule: Arc<SpreadRule>,
    /// The pods that count: living ones of the pod's namespace.
    pub query: Arc<PodQuery>,
    /// The labels by which a pod counts itself.
    pub selector: Arc<Selector>,
}

/// A topology spread constraint without the pods that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpreadRule {
    /// The node label whose value names the domain.
    pub topology_key: Arc<str>,
    /// How far the domains may differ.
    pub skew_max: i64,
    /// With fewer domains than this the emptiest counts as empty.
    pub domains_min: i64,
    /// Whether nodes count that the pod's node affinity excludes.
    pub ignore_affinity: bool,
    /// Whether nodes count only if the pod tolerates their taints.
    pub honor_taints: bool,
}

impl PodTerms {
    /// Reads them from a pod.
    pub fn of(pod: &LeanPod) -> Arc<PodTerms> {
        static NONE: LazyLock<Arc<PodTerms>> = LazyLock::new(Arc::default);
        let has_any = |spec: &LeanPodSpec| {
            spec.affinity.as_ref().is_some_and(|affinity| {
                affinity.pod_affinity.is_some() || affinity.pod_anti_affinity.is_some()
            }) || spec.topology_spread_constraints.as_ref().is_some_and(|all| !all.is_empty())
        };
        match &pod.spec {
            Some(spec) if has_any(spec) => Arc::new(PodTerms::read(spec, pod)),
            _ => Arc::clone(&NONE),
        }
    }

    fn read(spec: &LeanPodSpec, pod: &LeanPod) -> PodTerms {
        let mut terms = PodTerms::default();
        let affinity = spec.affinity.as_ref();
        if let Some(affinity) = affinity.and_then(|affinity| affinity.pod_affinity.as_ref()) {
            let required = affinity.required_during_scheduling_ignored_during_execution.iter().flatten();
            terms.together = together(required.clone().map(|term| selection(term, pod)).collect());
            terms.required_affinity = required.map(|term| AffinityTerm::new(term, pod)).collect();
            let preferred = &affinity.preferred_during_scheduling_ignored_during_execution;
            terms.prefer(preferred.as_deref(), pod, 1);
        }
        if let Some(affinity) = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref()) {
            let required = affinity.required_during_scheduling_ignored_during_execution.iter().flatten();
            terms.required_anti_affinity = required.map(|term| AffinityTerm::new(term, pod)).collect();
            let preferred = &affinity.preferred_during_scheduling_ignored_during_execution;
            terms.prefer(preferred.as_deref(), pod, -1);
        }
        for constraint in spec.topology_spread_constraints.iter().flatten() {
            let hard = constraint.when_unsatisfiable == "DoNotSchedule";
            let list = if hard { &mut terms.hard_spread } else { &mut terms.soft_spread };
            list.push(SpreadConstraint::new(constraint, pod));
        }
        terms
    }

    fn prefer(&mut self, terms: Option<&[WeightedPodAffinityTerm]>, pod: &LeanPod, sign: i64) {
        self.preferred.extend(terms.into_iter().flatten().map(|term| Weighted {
            weight: sign * i64::from(term.weight),
            term: AffinityTerm::new(&term.pod_affinity_term, pod),
        }));
    }

    /// Whether the pod says itself how it is to be spread.
    pub fn has_spread(&self) -> bool {
        !(self.hard_spread.is_empty() && self.soft_spread.is_empty())
    }

    /// The terms by which it prefers to have other pods near where it runs or far off, with their weights.
    pub fn wishes(&self) -> impl Iterator<Item = (i64, &AffinityTerm)> {
        self.preferred.iter().map(|term| (term.weight, &term.term))
    }
}

fn together(selections: Vec<PodSelection>) -> Option<Arc<PodQuery>> {
    (!selections.is_empty()).then(|| Arc::new(PodQuery::new(selections, false)))
}

fn selection(term: &PodAffinityTerm, pod: &LeanPod) -> PodSelection {
    let mut namespaces = term.namespaces.clone().unwrap_or_default();
    if namespaces.is_empty() && term.namespace_selector.is_none() {
        namespaces.push(pod.metadata.namespace().to_owned());
    }
    PodSelection {
        namespaces,
        namespace_selector: selector(&term.namespace_selector),
        // `matchLabelKeys` and `mismatchLabelKeys` are merged into the selector when the pod is created.
        selector: selector(&term.label_selector),
    }
}

impl AffinityTerm {
    fn new(term: &PodAffinityTerm, pod: &LeanPod) -> AffinityTerm {
        let query = PodQuery::new(vec![selection(term, pod)], false);
        AffinityTerm {
            id: format!("{}@{}", query.text(), term.topology_key).into(),
            topology_key: term.topology_key.clone(),
            query: Arc::new(query),
        }
    }
}

impl SpreadConstraint {
    fn new(from: &TopologySpreadConstraint, pod: &LeanPod) -> SpreadConstraint {
        let mut selector = selector(&from.label_selector);
        let keys = from.match_label_keys.iter().flatten();
        let added: Vec<Requirement> = keys
            .filter_map(|key| {
                let value = pod.metadata.labels.get(key)?;
                Requirement::new(key, Operator::In, vec![value.to_owned()]).ok()
            })
            .collect();
        if let Some(requirements) = selector.requirements()
            && !added.is_empty()
        {
            selector = Selector::new(requirements.iter().cloned().chain(added));
        }
        let counted = PodSelection {
            namespaces: vec![pod.metadata.namespace().to_owned()],
            namespace_selector: Selector::nothing(),
            // As in upstream, a selector without requirements counts no pod.
            selector: if selector.is_everything() { Selector::nothing() } else { selector.clone() },
        };
        SpreadConstraint {
            rule: Arc::new(SpreadRule::new(from)),
            query: Arc::new(PodQuery::new(vec![counted], true)),
            selector: Arc::new(selector),
        }
    }
}

impl SpreadRule {
    /// Reads it from a constraint.
    pub fn new(from: &TopologySpreadConstraint) -> SpreadRule {
        SpreadRule {
            topology_key: from.topology_key.as_str().into(),
            skew_max: i64::from(from.max_skew),
            domains_min: i64::from(from.min_domains.unwrap_or(1)),
            ignore_affinity: from.node_affinity_policy.as_deref() == Some("Ignore"),
            honor_taints: from.node_taints_policy.as_deref() == Some("Honor"),
        }
    }
}
