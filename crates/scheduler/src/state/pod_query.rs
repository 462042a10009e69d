//! Queries for pods: the selecting part of affinity terms and spread constraints.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use object::{Operator, Pairs, Requirement, Selector};

use super::numbers::LabelKey;

/// The labels of the namespaces.
#[derive(Debug, Default)]
pub struct Namespaces(HashMap<String, BTreeMap<String, String>>);

impl Namespaces {
    /// The labels of a namespace.
    pub fn labels(&self, name: &str) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.0.get(name).unwrap_or(&NONE)
    }

    /// Sets the labels of a namespace; `None` if it is gone. Returns whether that made a difference.
    pub(super) fn set(&mut self, name: &str, labels: Option<BTreeMap<String, String>>) -> bool {
        match labels {
            Some(labels) => self.0.insert(name.to_owned(), labels.clone()) != Some(labels),
            None => self.0.remove(name).is_some(),
        }
    }
}

/// Pods by namespace and labels.
#[derive(Clone, Debug)]
pub struct PodSelection {
    /// The namespaces by name.
    pub namespaces: Vec<String>,
    /// Further namespaces by their labels.
    pub namespace_selector: Selector,
    /// The labels of the pods.
    pub selector: Selector,
}

impl PodSelection {
    fn matches(&self, namespace: &str, labels: &Pairs, namespaces: &Namespaces) -> bool {
        (self.namespaces.iter().any(|listed| listed == namespace)
            || self.namespace_selector.matches(namespaces.labels(namespace)))
            && self.selector.matches(labels)
    }

    /// The labels of which a requirement demands one.
    fn needed(&self, requirement: &Requirement) -> Option<NeededLabel> {
        if !matches!(requirement.operator(), Operator::In | Operator::Equals | Operator::DoubleEquals) {
            return None;
        }
        let anywhere = self.namespace_selector.requirements().is_some();
        let key = |namespace, value: &String| LabelKey::new(namespace, requirement.key(), value);
        let values = requirement.values();
        let mut keys: Vec<LabelKey> = match anywhere {
            true => values.iter().map(|value| key(None, value)).collect(),
            false => {
                let named = self.namespaces.iter();
                named.flat_map(|name| values.iter().map(move |value| key(Some(name), value))).collect()
            }
        };
        keys.sort_unstable();
        keys.dedup();
        Some(NeededLabel { keys, anywhere })
    }

    fn write(&self, text: &mut String) {
        let mut selector = |selector: &Selector| match selector.requirements() {
            Some(_) => write!(text, "[{selector}]"),
            None => write!(text, "-"),
        };
        // Writing into a string does not fail.
        let _ = selector(&self.selector).and_then(|()| selector(&self.namespace_selector));
        let _ = write!(text, "{};", self.namespaces.join(","));
    }
}

/// Pods that all of some selections mean. Queries of the same [`PodQuery::text`] mean the same pods.
#[derive(Debug)]
pub struct PodQuery {
    text: Arc<str>,
    selections: Vec<PodSelection>,
    living_only: bool,
}

impl PodQuery {
    /// The pods that all selections mean; with `living_only` none whose deletion has begun.
    pub fn new(selections: Vec<PodSelection>, living_only: bool) -> PodQuery {
        let mut text = String::from(if living_only { "+" } else { "" });
        selections.iter().for_each(|selection| selection.write(&mut text));
        PodQuery { text: text.into(), selections, living_only }
    }

    /// Its identity.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether it means a pod of this namespace and these labels.
    pub fn matches(
        &self,
        namespace: &str,
        labels: &Pairs,
        is_deleting: bool,
        namespaces: &Namespaces,
    ) -> bool {
        !(self.living_only && is_deleting)
            && self.selections.iter().all(|selection| selection.matches(namespace, labels, namespaces))
    }

    /// Whether the labels of namespaces decide, too.
    pub fn reads_namespaces(&self) -> bool {
        let decides = |selector: &Selector| selector.requirements().is_some_and(|all| !all.is_empty());
        self.selections.iter().any(|selection| decides(&selection.namespace_selector))
    }

    /// What every pod that it means has: of each item, one of the labels. A query for nothing has an item without any.
    pub(super) fn needed_labels(&self) -> impl Iterator<Item = NeededLabel> {
        self.selections.iter().flat_map(|selection| {
            let requirements = selection.selector.requirements().into_iter().flatten();
            requirements.filter_map(|requirement| selection.needed(requirement))
        })
    }
}

/// Labels of which a pod must have one.
#[derive(Debug)]
pub(super) struct NeededLabel {
    /// The labels, each once.
    pub(super) keys: Vec<LabelKey>,
    /// Whether the pod's namespace is not known by name.
    pub(super) anywhere: bool,
}
