//! Jobs (`pkg/apis/batch/validation`).

use object::field::{Error, Errors};
use object::{Value, names};

use super::field::Field;
use super::pod::validate_pod_template;

mod indexes;
mod policies;
mod status;
mod update;

pub use status::validate_job_status_update;
pub use update::validate_job_update;

const JOB: &str = "io.k8s.api.batch.v1.Job";
/// How many pods of an Indexed Job may run at once, and how many indexes may fail.
const INDEXES_MAX: i64 = 100_000;
/// The same for a Job of more completions than [`INDEXES_MAX`].
const INDEXES_MAX_OF_MANY: i64 = 10_000;
/// How long the name of another controller may be.
const MANAGED_BY_BYTES_MAX: usize = 63;
/// Labels of pods that have the Job's UID and its name; the older forms come first.
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];

/// Checks a Job, its metadata aside.
pub fn validate_job(job: &Value) -> Errors {
    validate(job, true)
}

/// `with_prefix` asks for the labels with a prefix too, which Jobs of older versions do not have.
fn validate(job: &Value, with_prefix: bool) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(job, JOB);
    let spec = root.child("spec");
    validate_generated(&mut errors, &root, with_prefix);
    validate_job_fields(&mut errors, &spec);
    let selector = spec.child("selector");
    if selector.is_set() {
        errors.append(selector.selector().validate(&selector.path, false));
    } else {
        selector.required(&mut errors, "");
    }
    let template = spec.child("template");
    let metadata = template.child("metadata");
    let labels = metadata.child("labels");
    let matches = |parsed: object::Selector| selector.is_set() && parsed.matches(labels.value);
    if semantics::try_selector(selector.value).is_ok_and(|parsed| !matches(parsed)) {
        labels.invalid(&mut errors, "`selector` does not match template `labels`");
    }
    validate_host_names(&mut errors, &root);
    errors
}

/// The selector and the labels that the server generates name just this Job.
fn validate_generated(errors: &mut Errors, job: &Field<'_, '_>, with_prefix: bool) {
    let (metadata, spec) = (job.child("metadata"), job.child("spec"));
    let selector = spec.child("selector");
    if spec.child("manualSelector").is_true() || !selector.is_set() {
        return;
    }
    let (uid, name) = (metadata.child("uid"), metadata.child("name"));
    if uid.is_empty() {
        uid.required(errors, "");
    }
    let template = spec.child("template");
    let template = template.child("metadata");
    let labels = template.child("labels");
    let mut expected = Value::map();
    for (uid_label, name_label) in
        UID_LABELS.into_iter().zip(NAME_LABELS).take(if with_prefix { 2 } else { 1 })
    {
        for (label, wanted) in [(uid_label, uid.text()), (name_label, name.text())] {
            let why = format!("must be '{wanted}'");
            match labels.value.get(label) {
                Value::Null => errors.required(&labels.path.key(label), why),
                found if found.as_str() == Some(wanted) => {}
                _ => errors.invalid(&labels.path.key(label), labels.value.clone(), why),
            }
            expected.set(label, wanted);
        }
    }
    if semantics::try_selector(selector.value).is_ok_and(|selector| !selector.matches(&expected)) {
        selector.invalid(errors, "`selector` not auto-generated");
    }
}

/// The pods of an Indexed Job have its name and their index as host names.
fn validate_host_names(errors: &mut Errors, job: &Field<'_, '_>) {
    let (metadata, spec) = (job.child("metadata"), job.child("spec"));
    let completions = spec.child("completions").number();
    if spec.child("completionMode").text() != "Indexed" || completions <= 0 {
        return;
    }
    let name = metadata.child("name");
    let last = format!("{}-{}", name.text(), completions - 1);
    if !names::is_dns1123_label(&last).is_empty() {
        name.invalid(errors, format!("will not able to create pod with invalid DNS label: {last}"));
    }
}

/// Checks what Jobs and the templates of CronJobs share.
pub(super) fn validate_job_fields(errors: &mut Errors, spec: &Field<'_, '_>) {
    let counts = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    for name in counts {
        spec.child(name).check_not_negative(errors);
    }
    if spec.child("maxFailedIndexes").is_set() && !spec.child("backoffLimitPerIndex").is_set() {
        spec.child("backoffLimitPerIndex").required(errors, "when maxFailedIndexes is specified");
    }
    let managed_by = spec.child("managedBy");
    if managed_by.is_set() {
        validate_managed_by(errors, &managed_by);
    }
    let mode = spec.child("completionMode");
    mode.check_known(errors, &["NonIndexed", "Indexed"]);
    match mode.text() {
        "Indexed" => validate_indexed(errors, spec),
        "" | "NonIndexed" => {
            for name in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                let field = spec.child(name);
                if field.is_set() {
                    field.invalid(errors, "requires indexed completion mode");
                }
            }
        }
        _ => {}
    }
    // A field of a feature that is off (WorkloadWithJob).
    let scheduling = spec.child("scheduling");
    if scheduling.is_set() {
        scheduling.forbidden(errors, "");
    }
    policies::validate_policies(errors, spec);
    let template = spec.child("template");
    validate_pod_template(errors, &template);
    let pod = template.child("spec");
    let policy = pod.child("restartPolicy");
    match policy.text() {
        "" | "Always" => policy.required(errors, r#"valid values: "OnFailure", "Never""#),
        "OnFailure" if spec.child("podFailurePolicy").is_set() => {
            policy.invalid(errors, r#"only "Never" is supported when podFailurePolicy is specified"#);
        }
        "OnFailure" | "Never" => {}
        _ => policy.not_supported(errors, &["OnFailure", "Never"]),
    }
}

fn validate_managed_by(errors: &mut Errors, field: &Field<'_, '_>) {
    if field.is_empty() {
        field.required(errors, "");
    } else {
        field.check_domain_path(errors);
    }
    if field.text().len() > MANAGED_BY_BYTES_MAX {
        errors.push(Error::too_long(&field.path, MANAGED_BY_BYTES_MAX));
    }
}

fn validate_indexed(errors: &mut Errors, spec: &Field<'_, '_>) {
    let (completions, parallelism) = (spec.child("completions"), spec.child("parallelism"));
    let failed = spec.child("maxFailedIndexes");
    if !completions.is_set() {
        completions.required(errors, "when completion mode is Indexed");
    }
    if parallelism.number() > INDEXES_MAX {
        let why = format!("must be less than or equal to {INDEXES_MAX} when completion mode is Indexed");
        parallelism.invalid(errors, why);
    }
    if completions.is_set() && failed.number() > completions.number() {
        failed.invalid(errors, "must be less than or equal to completions");
    }
    if failed.number() > INDEXES_MAX {
        failed.invalid(errors, format!("must be less than or equal to {INDEXES_MAX}"));
    }
    if completions.number() <= INDEXES_MAX || !spec.child("backoffLimitPerIndex").is_set() {
        return;
    }
    if !failed.is_set() {
        failed.required(errors, &format!("must be specified when completions is above {INDEXES_MAX}"));
    }
    for field in [parallelism, failed] {
        if field.number() > INDEXES_MAX_OF_MANY {
            let why = format!(
                "must be less than or equal to {INDEXES_MAX_OF_MANY} when completions are above {INDEXES_MAX} and used with backoff limit per index"
            );
            field.invalid(errors, why);
        }
    }
}
