//! Families of metrics: one metric for each set of labels.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::{MetricType, TypedMetric};

/// The metrics that differ by their labels. Clones share them.
///
/// Unlike the family of `prometheus-client`, it can remove all metrics of a subject that is gone ([`Family::retain`]),
/// and does not show new ones for late reports about it ([`Family::get_while`]).
pub struct Family<L, M> {
    metrics: Arc<RwLock<HashMap<L, M>>>,
    make: fn() -> M,
}

/// A family of histograms.
pub type Histograms<L> = Family<L, Histogram>;

impl<L: Clone + Eq + Hash, M: Clone> Family<L, M> {
    /// A family whose metrics are made by this function.
    pub fn new_with_constructor(make: fn() -> M) -> Family<L, M> {
        Family { metrics: Arc::default(), make }
    }

    /// The metric with these labels. The family is locked as long as it is borrowed.
    pub fn get_or_create(&self, labels: &L) -> MappedRwLockReadGuard<'_, M> {
        if let Ok(found) = RwLockReadGuard::try_map(self.metrics.read(), |metrics| metrics.get(labels)) {
            return found;
        }
        let mut metrics = self.metrics.write();
        metrics.entry(labels.clone()).or_insert_with(self.make);
        let metrics = parking_lot::RwLockWriteGuard::downgrade(metrics);
        RwLockReadGuard::map(metrics, |metrics| &metrics[labels])
    }

    /// The metric with these labels, to keep.
    pub fn get_or_create_owned(&self, labels: &L) -> M {
        self.get_or_create(labels).clone()
    }

    /// The metric with these labels as long as their subject exists, otherwise one that nobody sees. `exists` is asked
    /// under the family's lock: if it is false before [`Family::retain`] or [`Family::remove`] is called, nothing comes
    /// back after that.
    pub fn get_while(&self, labels: &L, exists: impl Fn() -> bool) -> M {
        {
            let metrics = self.metrics.read();
            if let Some(found) = metrics.get(labels).filter(|_| exists()) {
                return found.clone();
            }
        }
        let mut metrics = self.metrics.write();
        match exists() {
            true => metrics.entry(labels.clone()).or_insert_with(self.make).clone(),
            false => (self.make)(),
        }
    }

    /// Removes the metric with these labels. Returns whether there was one.
    pub fn remove(&self, labels: &L) -> bool {
        self.metrics.write().remove(labels).is_some()
    }

    /// Removes all metrics but those whose labels are to be kept.
    pub fn retain(&self, keep: impl Fn(&L) -> bool) {
        self.metrics.write().retain(|labels, _| keep(labels));
    }
}

impl<L, M> Clone for Family<L, M> {
    fn clone(&self) -> Family<L, M> {
        Family { metrics: Arc::clone(&self.metrics), make: self.make }
    }
}

impl<L, M: Default> Default for Family<L, M> {
    fn default() -> Family<L, M> {
        Family { metrics: Arc::default(), make: M::default }
    }
}

impl<L: fmt::Debug, M> fmt::Debug for Family<L, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.metrics.read().keys()).finish()
    }
}

impl<L: EncodeLabelSet, M: EncodeMetric + TypedMetric> EncodeMetric for Family<L, M> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let metrics = self.metrics.read();
        metrics.iter().try_for_each(|(labels, metric)| metric.encode(encoder.encode_family(labels)?))
    }

    fn metric_type(&self) -> MetricType {
        M::TYPE
    }

    fn is_empty(&self) -> bool {
        self.metrics.read().is_empty()
    }
}
