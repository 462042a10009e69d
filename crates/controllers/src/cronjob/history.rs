//! Which finished Jobs are too many.

use k8s_openapi::api::batch::v1::Job;

use super::snapshot::{Snapshot, ending};

/// The finished Jobs beyond the limits, the oldest first.
pub(super) fn surplus(snapshot: &Snapshot) -> Vec<&Job> {
    let spec = &snapshot.cron_job.spec;
    let mut surplus = Vec::new();
    for (kind, limit) in
        [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)]
    {
        let Some(limit) = limit else { continue };
        let mut ended: Vec<&Job> = snapshot.owned().filter(|job| ending(job) == Some(kind)).collect();
        ended.sort_by_key(|job| age(job));
        let excess = ended.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        surplus.extend(ended.drain(..excess));
    }
    surplus
}

/// Jobs that never started are the youngest.
fn age(job: &Job) -> (bool, Option<jiff::Timestamp>, Option<&str>) {
    let start = job.status.as_ref().and_then(|status| status.start_time.as_ref()).map(|time| time.0);
    (start.is_none(), start, job.metadata.name.as_deref())
}
