//! Making metrics and registering them in one step.

use std::hash::Hash;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

use crate::{Family, Histograms};

/// What a registry makes for the struct of a component's metrics. Counters are named without the ending `_total`, which
/// the formats add.
pub trait Register {
    /// A counter, a gauge, or a family of them.
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M;

    /// A histogram.
    fn add_histogram(&mut self, name: &str, help: &str, histogram: Histogram) -> Histogram;

    /// A family of histograms, each made by `make`.
    fn add_histograms<L>(&mut self, name: &str, help: &str, make: fn() -> Histogram) -> Histograms<L>
    where
        L: EncodeLabelSet + Clone + Eq + Hash + Send + Sync + std::fmt::Debug + 'static;
}

impl Register for Registry {
    fn add<M: Metric + Clone + Default>(&mut self, name: &str, help: &str) -> M {
        let metric = M::default();
        self.register(name, help, metric.clone());
        metric
    }

    fn add_histogram(&mut self, name: &str, help: &str, histogram: Histogram) -> Histogram {
        self.register(name, help, histogram.clone());
        histogram
    }

    fn add_histograms<L>(&mut self, name: &str, help: &str, make: fn() -> Histogram) -> Histograms<L>
    where
        L: EncodeLabelSet + Clone + Eq + Hash + Send + Sync + std::fmt::Debug + 'static,
    {
        let family = Family::new_with_constructor(make);
        self.register(name, help, family.clone());
        family
    }
}
