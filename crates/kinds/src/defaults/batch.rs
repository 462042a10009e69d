//! Defaults of `batch`.

use object::Value;

use super::{each, fill, pod::default_pod_template, within};

/// Fills in a Job. Labels of the template become the Job's if it has none.
pub fn default_job(job: &mut Value) {
    let labels = job.at("spec.template.metadata.labels").clone();
    default_job_spec(job.entry("spec"));
    if !labels.is_empty() {
        fill(job.entry("metadata"), "labels", labels);
    }
}

fn default_job_spec(spec: &mut Value) {
    if spec.get("completions").is_null() && spec.get("parallelism").is_null() {
        spec.set("completions", 1);
    }
    spec.set_default("parallelism", 1);
    let limit = if spec.get("backoffLimitPerIndex").is_null() { 6 } else { i32::MAX };
    spec.set_default("backoffLimit", limit);
    spec.set_default("completionMode", "NonIndexed");
    spec.set_default("suspend", false);
    let has_failure_policy = spec.get("podFailurePolicy").as_map().is_some();
    spec.set_default(
        "podReplacementPolicy",
        if has_failure_policy { "Failed" } else { "TerminatingOrFailed" },
    );
    within(spec, "podFailurePolicy", |policy| {
        each(policy, "rules", |rule| {
            each(rule, "onPodConditions", |condition| fill(condition, "status", "True"));
        });
    });
    default_pod_template(spec.entry("template"));
}

/// Fills in a CronJob. In the template of its Jobs, only the pods' fields are filled in: the rest follows when a Job is
/// created from it.
pub fn default_cron_job(cron_job: &mut Value) {
    let spec = cron_job.entry("spec");
    fill(spec, "concurrencyPolicy", "Allow");
    spec.set_default("suspend", false);
    spec.set_default("successfulJobsHistoryLimit", 3);
    spec.set_default("failedJobsHistoryLimit", 1);
    default_pod_template(spec.entry("jobTemplate").entry("spec").entry("template"));
}
