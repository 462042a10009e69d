//! Changes of Jobs.

use object::Value;
use object::field::Errors;
use semantics::conditions::holds;

use super::{JOB, NAME_LABELS, UID_LABELS, validate};
use crate::validation::field::Field;

/// Checks a change of a Job, its metadata aside.
pub fn validate_job_update(job: &Value, old: &Value) -> Errors {
    let labels = old.at("spec.template.metadata.labels");
    let had_prefix = [UID_LABELS[1], NAME_LABELS[1]].iter().all(|label| !labels.get(label).is_null());
    let mut errors = validate(job, had_prefix);
    let root = Field::root(job, JOB);
    let (spec, before) = (root.child("spec"), old.get("spec"));
    validate_completions(&mut errors, &spec, before);
    spec.child("selector").check_immutable(&mut errors, before.get("selector"));
    let template = with_allowed_changes(before.get("template"), spec.value.get("template"), old);
    spec.child("template").check_immutable(&mut errors, &template);
    for name in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"] {
        spec.child(name).check_immutable(&mut errors, before.get(name));
    }
    errors
}

/// The completions of an Indexed Job may change together with its parallelism.
fn validate_completions(errors: &mut Errors, spec: &Field<'_, '_>, before: &Value) {
    let completions = spec.child("completions");
    if spec.child("completionMode").text() != "Indexed" {
        return completions.check_immutable(errors, before.get("completions"));
    }
    let is_changed = completions.value != before.get("completions");
    if is_changed && completions.is_set() && completions.number() != spec.child("parallelism").number() {
        completions.invalid(errors, "can only be modified in tandem with spec.parallelism");
    }
}

/// The old template with what may change in a Job that is suspended and has no pods: where they may run, their labels and
/// annotations, and what their containers ask for.
fn with_allowed_changes(before: &Value, now: &Value, old: &Value) -> Value {
    let is_idle = holds(old, "Suspended") && old.at("status.active").as_i64().unwrap_or_default() == 0;
    let has_no_pods = old.at("status.startTime").is_null() || is_idle;
    let mut template = before.clone();
    if old.at("spec.suspend").as_bool() != Some(true) || !has_no_pods {
        return template;
    }
    for name in ["annotations", "labels"] {
        take(template.entry("metadata"), now.get("metadata"), name);
    }
    let spec = template.entry("spec");
    for name in ["nodeSelector", "tolerations", "schedulingGates"] {
        take(spec, now.get("spec"), name);
    }
    match (now.at("spec.affinity"), spec.get("affinity").is_null()) {
        (Value::Null, false) => {
            let affinity = spec.entry("affinity");
            affinity.remove("nodeAffinity");
            if affinity.is_empty() {
                spec.remove("affinity");
            }
        }
        (Value::Null, true) => {}
        (affinity, _) => take(spec.entry("affinity"), affinity, "nodeAffinity"),
    }
    for list in ["containers", "initContainers"] {
        let containers = spec.get_mut(list).map(Value::items_mut).into_iter().flatten();
        for (container, now) in containers.zip(now.get("spec").get(list).items()) {
            take(container, now, "resources");
        }
    }
    template
}

fn take(into: &mut Value, from: &Value, name: &'static str) {
    match from.get(name) {
        Value::Null => drop(into.remove(name)),
        value => into.set(name, value.clone()),
    }
}
