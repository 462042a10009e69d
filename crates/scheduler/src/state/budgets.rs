//! PodDisruptionBudgets: how many pods may be evicted at once.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use object::{ObjectKey, Selector};
use semantics::selector;

use super::PodInfo;

/// The budgets of the cluster.
#[derive(Debug, Default)]
pub struct Budgets(HashMap<ObjectKey, Budget>);

#[derive(Debug)]
struct Budget {
    selector: Selector,
    allowed: i32,
    /// Pods that are going already, and are counted.
    disrupted: Vec<String>,
}

impl Budget {
    fn new(from: &PodDisruptionBudget) -> Budget {
        let spec = from.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let status = from.status.as_ref();
        let disrupted = status.and_then(|status| status.disrupted_pods.as_ref());
        Budget {
            // Here, an empty selector means no pod.
            selector: Some(selector(&spec)).filter(|all| !all.is_everything()).unwrap_or(Selector::nothing()),
            allowed: status.and_then(|status| status.disruptions_allowed).unwrap_or(0),
            disrupted: disrupted.into_iter().flat_map(|pods| pods.keys().cloned()).collect(),
        }
    }
}

impl Budgets {
    /// Sets a budget; `None` if it is gone.
    pub(super) fn set(&mut self, key: &ObjectKey, budget: Option<&PodDisruptionBudget>) {
        match budget {
            Some(budget) => self.0.insert(key.clone(), Budget::new(budget)),
            None => self.0.remove(key),
        };
    }

    /// Splits pods, which would be evicted one after the other, into those whose eviction violates a budget and the
    /// others.
    pub fn split(&self, pods: Vec<Arc<PodInfo>>) -> (Vec<Arc<PodInfo>>, Vec<Arc<PodInfo>>) {
        let mut allowed: HashMap<&ObjectKey, i32> =
            self.0.iter().map(|(key, budget)| (key, budget.allowed)).collect();
        pods.into_iter().partition(|pod| {
            let mut violates = false;
            for (key, budget) in &self.0 {
                let counts = key.namespace == pod.key.namespace
                    && !pod.labels().is_empty()
                    && budget.selector.matches(pod.labels())
                    && !budget.disrupted.iter().any(|name| **name == *pod.key.name);
                if counts && let Some(allowed) = allowed.get_mut(key) {
                    *allowed -= 1;
                    violates |= *allowed < 0;
                }
            }
            violates
        })
    }
}
