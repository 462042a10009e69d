//! Job and CronJob

use clock::Clock;
use object::{Value, field};
use semantics::conditions::holds;

use crate::strategy::Strategy;
use crate::table::{
    AGE, CONTAINERS, Column, IMAGES, NAME, SELECTOR, age, cells, containers, count, human_duration, name,
    number, optional_flag, seconds_between, selector, since_or, until_now,
};
use crate::{defaults, validation, warnings};

#[cfg(test)]
mod tests;

/// Job
pub(crate) struct Jobs;

/// Labels of a job's pods that name the job, and those that hold its UID; each with the older form first.
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

impl Strategy for Jobs {
    fn default(&self, object: &mut Value) {
        defaults::default_job(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        object.remove("status");
        if object.at("spec.manualSelector").as_bool() != Some(true) {
            generate_selector(object);
        }
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_job(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_job_update(object, old)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_job_status_update(object, old)
    }

    fn has_status(&self) -> bool {
        true
    }

    fn orphans_by_default(&self) -> bool {
        true
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("status.successful", number(object, "status.succeeded").to_string())]
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        &["status.successful"]
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("Status", "Whether the job runs, or how it ended."),
                Column::text("Completions", "How many pods succeeded, of how many that are wanted."),
                Column::text("Duration", "How long the job took, or has been running."),
                AGE,
                CONTAINERS,
                IMAGES,
                SELECTOR,
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let (names, images) = containers(object.at("spec.template.spec.containers"));
        cells![
            name(object),
            state(object),
            completions(object),
            duration(object, clock),
            age(object, clock),
            names,
            images,
            selector(object.at("spec.selector")),
        ]
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        warnings::of_job(object, old)
    }
}

/// Makes the job select just its own pods, by its UID. Labels that are set already stay: validation refuses
/// them where they are others than these.
fn generate_selector(job: &mut Value) {
    let (name, uid) = (job.at("metadata.name").clone(), job.at("metadata.uid").clone());
    let labels = job.entry("spec").entry("template").entry("metadata").entry("labels");
    for label in NAME_LABELS {
        labels.set_default(label, name.clone());
    }
    for label in UID_LABELS {
        labels.set_default(label, uid.clone());
    }
    job.entry("spec").entry("selector").entry("matchLabels").set_default(UID_LABELS[1], uid);
}

fn state(job: &Value) -> &'static str {
    let is = |kind: &str| holds(job, kind);
    if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if !job.at("metadata.deletionTimestamp").is_null() {
        "Terminating"
    } else if is("Suspended") {
        "Suspended"
    } else if is("FailureTarget") {
        "FailureTarget"
    } else if is("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn completions(job: &Value) -> String {
    let succeeded = number(job, "status.succeeded");
    match (job.at("spec.completions").as_i64(), number(job, "spec.parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn duration(job: &Value, clock: &Clock) -> String {
    let (start, end) = (job.at("status.startTime"), job.at("status.completionTime"));
    let seconds = if end.is_null() { until_now(start, clock) } else { seconds_between(start, end) };
    seconds.map(human_duration).unwrap_or_default()
}

/// CronJob
pub(crate) struct CronJobs;

impl Strategy for CronJobs {
    fn default(&self, object: &mut Value) {
        defaults::default_cron_job(object);
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_cron_job(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_cron_job_update(object, old)
    }

    fn has_status(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("Schedule", "When jobs start, in cron's form."),
                Column::text("Timezone", "The time zone of the schedule."),
                Column::boolean("Suspend", "Whether no further jobs start."),
                Column::integer("Active", "How many jobs run now."),
                Column::text("Last Schedule", "The time since a job was last due."),
                AGE,
                CONTAINERS,
                IMAGES,
                SELECTOR,
            ]
        }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        let job = object.at("spec.jobTemplate.spec");
        let (names, images) = containers(job.at("template.spec.containers"));
        cells![
            name(object),
            object.str_at("spec.schedule"),
            object.at("spec.timeZone").as_str().unwrap_or("<none>"),
            optional_flag(object.at("spec.suspend")),
            count(object, "status.active"),
            since_or(object.at("status.lastScheduleTime"), clock, "<none>"),
            age(object, clock),
            names,
            images,
            selector(job.get("selector")),
        ]
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        warnings::of_cron_job(object, old)
    }
}
