//! Finds the queries that may match a pod, by the labels that they require.

use std::collections::{BTreeMap, HashMap};

use super::PodQuery;

/// Numbers of queries by a label that each of them needs. A pod is compared with those that ask for one of its
/// labels, however many others there are.
#[derive(Debug, Default)]
pub struct LabelIndex {
    by_label: HashMap<String, HashMap<String, Vec<usize>>>,
    /// Those that need no label.
    rest: Vec<usize>,
}

impl LabelIndex {
    /// Adds a query under a number.
    pub fn insert(&mut self, query: &PodQuery, number: usize) {
        self.places(query, |place| place.push(number));
    }

    /// Removes a query that was added under a number.
    pub fn remove(&mut self, query: &PodQuery, number: usize) {
        self.places(query, |place| {
            if let Some(at) = place.iter().position(|listed| *listed == number) {
                place.swap_remove(at);
            }
        });
        let Some((key, values)) = query.needed_labels().next() else { return };
        let Some(by_value) = self.by_label.get_mut(key) else { return };
        for value in values {
            if by_value.get(value).is_some_and(Vec::is_empty) {
                by_value.remove(value);
            }
        }
        if by_value.is_empty() {
            self.by_label.remove(key);
        }
    }

    /// The numbers of the queries that may mean a pod with these labels, each once.
    pub fn candidates(&self, labels: &BTreeMap<String, String>) -> impl Iterator<Item = usize> {
        let of_labels = (!self.by_label.is_empty()).then_some(labels).into_iter().flatten();
        let listed = of_labels.filter_map(|(key, value)| self.by_label.get(key)?.get(value));
        listed.flatten().chain(&self.rest).copied()
    }

    fn places(&mut self, query: &PodQuery, mut change: impl FnMut(&mut Vec<usize>)) {
        match query.needed_labels().next() {
            Some((key, values)) => {
                let by_value = self.by_label.entry(key.to_owned()).or_default();
                // A value that is listed twice counts once.
                let distinct = values.iter().enumerate().filter(|(at, value)| !values[..*at].contains(value));
                distinct.for_each(|(_, value)| change(by_value.entry(value.clone()).or_default()));
            }
            None => change(&mut self.rest),
        }
    }
}
