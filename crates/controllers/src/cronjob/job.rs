//! The Job of a scheduled time.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use k8s_openapi::api::batch::v1::{CronJob, Job};

use crate::framework::controller_reference;

/// The annotation with the time for which a Job was made.
pub(super) const TIMESTAMP: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// The name of the Job of a time. As it tells the minute, there are never two Jobs for one time.
pub(super) fn name(cron_job: &CronJob, scheduled: Timestamp) -> String {
    let name = cron_job.metadata.name.as_deref().unwrap_or_default();
    format!("{name}-{}", scheduled.as_second() / 60)
}

/// The Job of a time, from the template. `zone` is the one that the CronJob names, or UTC.
pub(super) fn new(cron_job: &CronJob, scheduled: Timestamp, zone: &TimeZone) -> Job {
    let template = &cron_job.spec.job_template;
    let meta = template.metadata.clone().unwrap_or_default();
    let mut job = Job { spec: Some(template.spec.clone().unwrap_or_default()), ..Job::default() };
    job.metadata.name = Some(name(cron_job, scheduled));
    job.metadata.namespace.clone_from(&cron_job.metadata.namespace);
    job.metadata.labels = meta.labels;
    let mut annotations = meta.annotations.unwrap_or_default();
    annotations.insert(TIMESTAMP.to_owned(), rfc3339(scheduled, zone));
    job.metadata.annotations = Some(annotations);
    job.metadata.owner_references = Some(vec![controller_reference(cron_job)]);
    job
}

/// The time for which the controller made this Job of the CronJob; `None` if somebody else made it.
pub(super) fn scheduled(cron_job: &CronJob, job: &Job) -> Option<Timestamp> {
    let time: Timestamp = job.metadata.annotations.as_ref()?.get(TIMESTAMP)?.parse().ok()?;
    (job.metadata.name.as_deref() == Some(&*name(cron_job, time))).then_some(time)
}

/// As Go writes it: `Z` where clocks show UTC.
fn rfc3339(time: Timestamp, zone: &TimeZone) -> String {
    let local = time.to_zoned(zone.clone());
    let form = if local.offset().is_zero() { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S%:z" };
    local.strftime(form).to_string()
}
