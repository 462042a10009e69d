//! Metrics of autoscalers, under upstream's names (`pkg/controller/podautoscaler/monitor`).

use std::time::Duration;

use metrics::{Counter, Family, Histogram, Histograms, Register, Registry, exponential_buckets};

use super::decision::{Decision, Wrong};

type Labels = [(&'static str, &'static str); 2];

/// The metrics of all autoscalers. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct AutoscalerMetrics {
    reconciliations: Family<Labels, Counter>,
    durations: Histograms<Labels>,
    computations: Family<[(&'static str, String); 3], Counter>,
}

impl Default for AutoscalerMetrics {
    fn default() -> AutoscalerMetrics {
        AutoscalerMetrics {
            reconciliations: Family::default(),
            durations: Family::new_with_constructor(durations),
            computations: Family::default(),
        }
    }
}

fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 15))
}

impl AutoscalerMetrics {
    /// Metrics that are registered with `registry`.
    pub(crate) fn register(registry: &mut Registry) -> AutoscalerMetrics {
        let own = registry.sub_registry_with_prefix("horizontal_pod_autoscaler_controller");
        AutoscalerMetrics {
            reconciliations: own
                .add("reconciliations", "The number of looks at an autoscaler, by action and error"),
            durations: own.add_histograms(
                "reconciliation_duration_seconds",
                "How long a look at an autoscaler took, by action and error",
                durations,
            ),
            computations: own.add(
                "metric_computation",
                "The number of computations of a metric, by action, error and type",
            ),
        }
    }

    /// Counts a decision that took so long.
    pub(super) fn decided(&self, decision: &Decision, took: Duration) {
        let action = match &decision.rescale {
            Some(rescale) if rescale.to > rescale.from => "scale_up",
            Some(_) => "scale_down",
            None => "none",
        };
        let labels = [("action", action), ("error", text(decision.error))];
        self.reconciliations.get_or_create(&labels).inc();
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
        for (kind, wrong) in &decision.metrics {
            let action = if wrong.is_some() { "none" } else { action };
            let labels = [
                ("action", action.to_owned()),
                ("error", text(*wrong).to_owned()),
                ("metric_type", kind.clone()),
            ];
            self.computations.get_or_create(&labels).inc();
        }
    }
}

fn text(wrong: Option<Wrong>) -> &'static str {
    match wrong {
        None => "none",
        Some(Wrong::Spec) => "spec",
        Some(Wrong::Internal) => "internal",
    }
}
