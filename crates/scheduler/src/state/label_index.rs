//! Finds the queries that may match a pod, by the labels that they require.

use object::Pairs;

use super::PodQuery;
use super::numbers::{LabelKey, NumberMap};

/// Numbers of queries by a label that each of them needs. A pod is compared with those that ask for one of its
/// labels in its namespace, however many others there are.
#[derive(Debug, Default)]
pub(super) struct LabelIndex {
    by_label: NumberMap<LabelKey, Vec<usize>>,
    /// How many queries ask for a label in namespaces that they do not name.
    anywhere: usize,
    /// Those that need no label.
    rest: Vec<usize>,
}

impl LabelIndex {
    /// Adds a query under a number. Of the labels that it needs, the one is used that the fewest others use.
    pub(super) fn insert(&mut self, query: &PodQuery, number: usize) {
        let others = |key: &LabelKey| self.by_label.get(key).map_or(0, Vec::len);
        let needed = query.needed_labels().min_by_key(|needed| needed.keys.iter().map(others).sum::<usize>());
        let Some(needed) = needed else { return self.rest.push(number) };
        self.anywhere += usize::from(needed.anywhere);
        for key in needed.keys {
            self.by_label.entry(key).or_default().push(number);
        }
    }

    /// Removes a query that was added under a number.
    pub(super) fn remove(&mut self, query: &PodQuery, number: usize) {
        let is_it = |listed: &usize| *listed == number;
        if let Some(at) = self.rest.iter().position(is_it) {
            self.rest.swap_remove(at);
        }
        let mut was_anywhere = false;
        for needed in query.needed_labels() {
            for key in needed.keys {
                let Some(listed) = self.by_label.get_mut(&key) else { continue };
                let Some(at) = listed.iter().position(is_it) else { continue };
                listed.swap_remove(at);
                was_anywhere |= needed.anywhere;
                if listed.is_empty() {
                    self.by_label.remove(&key);
                }
            }
        }
        self.anywhere -= usize::from(was_anywhere);
    }

    /// The numbers of the queries that may mean a pod of this namespace and these labels, each once, in their order.
    pub(super) fn candidates(&self, namespace: &str, labels: &Pairs) -> Vec<usize> {
        let mut found = self.rest.clone();
        let of_labels = (!self.by_label.is_empty()).then(|| labels.iter()).into_iter().flatten();
        for (key, value) in of_labels {
            let listed = |namespace| self.by_label.get(&LabelKey::new(namespace, key, value));
            found.extend(listed(Some(namespace)).into_iter().flatten());
            if self.anywhere > 0 {
                found.extend(listed(None).into_iter().flatten());
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}
