//! Calls of the container engine.

use std::future::Future;

use cri::CriError;
use metrics::{Counter, Family, Histogram, Histograms, Register, Registry, exponential_buckets};
use tokio::time::Instant;

use super::Label;

/// What is measured of calls of the engine. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Operations {
    calls: Family<Label, Counter>,
    errors: Family<Label, Counter>,
    durations: Histograms<Label>,
}

impl Operations {
    /// Metrics that are registered there.
    pub(super) fn register(registry: &mut Registry) -> Operations {
        let kubelet = registry.sub_registry_with_prefix("kubelet_runtime_operations");
        Operations {
            errors: kubelet.add("errors", "Calls that the container engine failed"),
            durations: kubelet.add_histograms(
                "duration_seconds",
                "Time that calls of the container engine took, in seconds",
                || Histogram::new(exponential_buckets(0.005, 2.5, 14)),
            ),
            calls: registry.add("kubelet_runtime_operations", "Calls of the container engine"),
        }
    }

    /// Measures a call.
    pub(crate) async fn measure<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, CriError>> + Send,
    ) -> Result<T, CriError> {
        let (labels, since) = ([("operation_type", operation)], Instant::now());
        self.calls.get_or_create(&labels).inc();
        let result = call.await;
        self.durations.get_or_create(&labels).observe(since.elapsed().as_secs_f64());
        if result.is_err() {
            self.errors.get_or_create(&labels).inc();
        }
        result
    }
}
