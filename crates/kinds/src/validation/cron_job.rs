//! CronJobs (`pkg/apis/batch/validation`).

use cron::Schedule;
use object::Value;
use object::field::Errors;

use super::field::Field;
use super::job::validate_job_fields;

const CRON_JOB: &str = "io.k8s.api.batch.v1.CronJob";
/// The maximum length of a name: a job's name is followed by eleven characters for the time, and is a label.
const NAME_BYTES_MAX: usize = 52;
/// How long a part of a time zone's name may be.
const ZONE_PART_BYTES_MAX: usize = 14;

/// Checks a CronJob, except its metadata apart from the length of its name.
pub fn validate_cron_job(cron_job: &Value) -> Errors {
    let mut errors = validate(cron_job, &Value::Null);
    let root = Field::root(cron_job, CRON_JOB);
    let metadata = root.child("metadata");
    let name = metadata.child("name");
    if name.text().len() > NAME_BYTES_MAX {
        name.invalid(&mut errors, format!("must be no more than {NAME_BYTES_MAX} characters"));
    }
    errors
}

/// Checks a change of a CronJob, except its metadata.
pub fn validate_cron_job_update(cron_job: &Value, old: &Value) -> Errors {
    validate(cron_job, old)
}

fn validate(cron_job: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(cron_job, CRON_JOB);
    let spec = root.child("spec");
    let zone = spec.child("timeZone");
    validate_schedule(&mut errors, &spec.child("schedule"), &zone, old);
    spec.child("startingDeadlineSeconds").check_not_negative(&mut errors);
    if zone.is_set() && zone.value != old.at("spec.timeZone") {
        validate_zone(&mut errors, &zone);
    }
    spec.child("concurrencyPolicy").check_one_of(&mut errors, &["Allow", "Forbid", "Replace"]);
    let template = spec.child("jobTemplate");
    validate_template(&mut errors, &template.child("spec"));
    for name in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        spec.child(name).check_not_negative(&mut errors);
    }
    errors
}

/// A schedule may keep a time zone in it that was set before there was a field for it.
fn validate_schedule(errors: &mut Errors, schedule: &Field<'_, '_>, zone: &Field<'_, '_>, old: &Value) {
    if schedule.is_empty() {
        return schedule.required(errors, "");
    }
    if let Err(why) = Schedule::parse(schedule.text()) {
        schedule.invalid(errors, why);
    }
    if !schedule.text().contains("TZ") {
        return;
    }
    match (old.str_at("spec.schedule").contains("TZ"), zone.is_set()) {
        (true, true) => {
            schedule.invalid(errors, "cannot use both timeZone field and TZ or CRON_TZ in schedule")
        }
        (true, false) => {}
        (false, _) => {
            schedule.invalid(errors, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
        }
    }
}

fn validate_zone(errors: &mut Errors, zone: &Field<'_, '_>) {
    let name = zone.text();
    if name.is_empty() {
        return zone.invalid(errors, "timeZone must be nil or non-empty string");
    }
    let is_part = |part: &str| {
        (1..=ZONE_PART_BYTES_MAX).contains(&part.len())
            && !matches!(part, "." | "..")
            && !part.starts_with('-')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte))
    };
    if !name.split('/').all(is_part) {
        return zone.invalid(errors, format!("unknown time zone {name}"));
    }
    if name.eq_ignore_ascii_case("Local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        zone.invalid(errors, why);
    } else if let Err(why) = cron::zone(name) {
        zone.invalid(errors, why);
    }
}

/// The jobs get their selectors when they are created.
fn validate_template(errors: &mut Errors, job: &Field<'_, '_>) {
    validate_job_fields(errors, job);
    let (selector, manual) = (job.child("selector"), job.child("manualSelector"));
    if selector.is_set() {
        selector.invalid(errors, "`selector` will be auto-generated");
    }
    if manual.is_true() {
        errors.not_supported(&manual.path, true, &["nil", "false"]);
    }
}
