//! For which time a Job is to be started, and when the next one is due.

use std::time::Duration;

use cron::Schedule;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::CronJob;

/// Wakes up a little late, so that the time has certainly come.
const DELTA: Duration = Duration::from_millis(100);
/// Of how many missed starts users are warned.
const MISSED_MAX: i64 = 100;

/// The text of a schedule that is never due.
pub(super) const INVALID: &str = "time difference between two schedules is less than 1 second";

/// Where a schedule stands.
#[derive(Debug, PartialEq)]
pub(super) struct Due {
    /// The time from which starts are counted: the last one, the creation or the deadline.
    earliest: Timestamp,
    /// The last time that has come.
    pub(super) latest: Option<Timestamp>,
    /// How many have come, about.
    missed: i64,
}

impl Due {
    /// Whether so many starts were missed that users should know.
    pub(super) fn is_far_behind(&self) -> bool {
        self.missed > MISSED_MAX
    }
}

/// Where `schedule` stands: which is the last time that has come since a Job was last started. With `within_deadline` only
/// times count for which a Job may still be started.
///
/// # Errors
/// The schedule is never due, or only once.
pub(super) fn due(
    cron_job: &CronJob,
    schedule: &Schedule,
    now: Timestamp,
    local: &TimeZone,
    within_deadline: bool,
) -> Result<Due, &'static str> {
    let mut earliest = counted_from(cron_job).unwrap_or(now);
    if within_deadline && let Some(seconds) = cron_job.spec.starting_deadline_seconds {
        let deadline = now.checked_sub(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MIN);
        earliest = earliest.max(deadline);
    }
    let first = schedule.next(earliest, local).ok_or(INVALID)?;
    if now < first {
        return Ok(Due { earliest, latest: None, missed: 0 });
    }
    let second = schedule.next(first, local).ok_or(INVALID)?;
    if now < second {
        return Ok(Due { earliest, latest: Some(first), missed: 0 });
    }
    // An estimate, from the first pause: counting could take long.
    let pause = second.duration_since(first).as_secs().max(1);
    let missed = now.duration_since(first).as_secs() / pause + 1;
    // From two pauses before, for schedules whose pauses differ.
    let start = SignedDuration::from_secs(pause.saturating_mul(missed - 2));
    let start = first.checked_add(start).unwrap_or(first);
    let next = |at: &Timestamp| schedule.next(*at, local).filter(|next| *next <= now);
    let latest = std::iter::successors(next(&start), next).last();
    Ok(Due { earliest, latest, missed })
}

fn counted_from(cron_job: &CronJob) -> Option<Timestamp> {
    let last = cron_job.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
    last.or(cron_job.metadata.creation_timestamp.as_ref()).map(|time| time.0)
}

/// How long it takes until the schedule is due next.
pub(super) fn until_next(
    cron_job: &CronJob,
    schedule: &Schedule,
    now: Timestamp,
    local: &TimeZone,
) -> Option<Duration> {
    let from = match due(cron_job, schedule, now, local, false) {
        Ok(Due { latest: Some(latest), .. }) => latest,
        Ok(Due { earliest, missed: 0, .. }) => earliest,
        Ok(_) | Err(_) => now,
    };
    let next = schedule.next(from, local)?;
    Some(Duration::try_from(next.duration_since(now)).unwrap_or_default() + DELTA)
}

/// How long it takes until a CronJob is due next; `None` if that cannot be told.
pub(super) fn pause(cron_job: &CronJob, now: Timestamp, local: &TimeZone) -> Option<Duration> {
    let zone = zone(cron_job, local).ok()?;
    until_next(cron_job, &Schedule::parse(&cron_job.spec.schedule).ok()?, now, &zone)
}

/// The zone of a CronJob's schedule.
///
/// # Errors
/// There is none of this name.
pub(super) fn zone(cron_job: &CronJob, local: &TimeZone) -> Result<TimeZone, String> {
    match cron_job.spec.time_zone.as_deref() {
        None | Some("Local") => Ok(local.clone()),
        Some(name) => cron::zone(name),
    }
}
