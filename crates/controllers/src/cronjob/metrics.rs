//! Metrics of CronJobs.

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use metrics::{Histogram, Registry, exponential_buckets};

/// The metrics of the CronJob controller, with upstream's names. Clones share them.
#[derive(Clone, Debug)]
pub struct CronJobMetrics {
    creation_skew: Histogram,
}

impl Default for CronJobMetrics {
    /// Metrics that nobody sees.
    fn default() -> CronJobMetrics {
        CronJobMetrics::register(&mut Registry::default())
    }
}

impl CronJobMetrics {
    /// Metrics that are registered with `registry`: `cronjob_controller_job_creation_skew_duration_seconds`.
    pub fn register(registry: &mut Registry) -> CronJobMetrics {
        let controller = registry.sub_registry_with_prefix("cronjob_controller");
        let creation_skew = Histogram::new(exponential_buckets(1.0, 2.0, 10));
        controller.register(
            "job_creation_skew_duration_seconds",
            "Time between when a cronjob is scheduled to be run, and when the corresponding job is created",
            creation_skew.clone(),
        );
        CronJobMetrics { creation_skew }
    }

    /// A Job was created for this time.
    pub(super) fn created(&self, job: &Job, scheduled: Timestamp) {
        if let Some(created) = &job.metadata.creation_timestamp {
            self.creation_skew.observe(created.0.duration_since(scheduled).as_secs_f64());
        }
    }
}
