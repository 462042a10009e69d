//! Changes of a Job's status. A rule holds for what changes, so that what older versions wrote stays.

use std::collections::HashSet;

use object::Value;
use object::field::{Error, Errors};
use semantics::conditions::holds;

use super::{JOB, indexes};
use crate::validation::field::Field;

const TERMINAL: [&str; 3] = ["Failed", "Complete", "FailureTarget"];

/// Checks a change of a Job's status, its metadata aside.
pub fn validate_job_status_update(job: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(job, JOB);
    let status = root.child("status");
    for name in ["active", "succeeded", "failed", "ready", "terminating"] {
        status.child(name).check_not_negative(&mut errors);
    }
    validate_uncounted(&mut errors, &status.child("uncountedTerminatedPods"));
    let change = Change { job, old, status };
    change.validate_conditions(&mut errors);
    change.validate_times(&mut errors);
    change.validate_finished(&mut errors);
    change.validate_indexes(&mut errors);
    change.validate_counters(&mut errors);
    errors
}

/// Pods are named once.
fn validate_uncounted(errors: &mut Errors, uncounted: &Field<'_, '_>) {
    let mut seen = HashSet::new();
    for name in ["succeeded", "failed"] {
        let list = uncounted.child(name);
        for uid in list.items() {
            if uid.is_empty() {
                uid.invalid(errors, "must not be empty");
            } else if !seen.insert(uid.text()) {
                uid.duplicate(errors);
            }
        }
    }
}

struct Change<'v, 'p> {
    job: &'v Value,
    old: &'v Value,
    status: Field<'v, 'p>,
}

impl Change<'_, '_> {
    fn is(&self, condition: &str) -> bool {
        holds(self.job, condition)
    }

    fn was(&self, condition: &str) -> bool {
        holds(self.old, condition)
    }

    /// Whether one of these conditions holds now and did not, or the other way round.
    fn has_changed(&self, conditions: &[&str]) -> bool {
        conditions.iter().any(|condition| self.is(condition) != self.was(condition))
    }

    fn is_finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    fn finish_has_changed(&self) -> bool {
        self.is_finished() != (self.was("Complete") || self.was("Failed"))
    }

    /// Whether a member of the status is another than it was.
    fn differs(&self, name: &str) -> bool {
        self.status.value.get(name) != self.old.get("status").get(name)
    }

    fn wrong_conditions(&self, errors: &mut Errors, why: &str) {
        let path = self.status.path.child("conditions");
        errors.push(Error::invalid(&path, Value::Null, why).without_value());
    }

    fn validate_conditions(&self, errors: &mut Errors) {
        // Condition, what goes wrong with it, when the rule counts.
        let exclusive = [
            ("Complete", "Failed", "cannot set Complete=True and Failed=true conditions"),
            ("Complete", "FailureTarget", "cannot set Complete=True and FailureTarget=true conditions"),
        ];
        for (a, b, why) in exclusive {
            if self.has_changed(&[a, b]) && self.is(a) && self.is(b) {
                self.wrong_conditions(errors, why);
            }
        }
        let needs = [
            (
                "Failed",
                "FailureTarget",
                "cannot set Failed=True condition without the FailureTarget=true condition",
            ),
            (
                "Complete",
                "SuccessCriteriaMet",
                "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
            ),
        ];
        for (condition, needed, why) in needs {
            if self.has_changed(&[condition, needed]) && self.is(condition) && !self.is(needed) {
                self.wrong_conditions(errors, why);
            }
        }
        let met = self.is("SuccessCriteriaMet");
        for (condition, why) in [
            ("Failed", "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
            ("FailureTarget", "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
        ] {
            if met && self.is(condition) {
                self.wrong_conditions(errors, why);
            }
        }
        if !self.job.at("spec.successPolicy").is_null() && !met && self.is("Complete") {
            let why = "cannot set Complete=True for Job with SuccessPolicy unless SuccessCriteriaMet=True";
            self.wrong_conditions(errors, why);
        }
        for condition in TERMINAL {
            if self.was(condition) && !self.is(condition) {
                self.wrong_conditions(
                    errors,
                    &format!("cannot disable the terminal {condition}=True condition"),
                );
            }
        }
        let was_met = self.was("SuccessCriteriaMet");
        if was_met && !met {
            self.wrong_conditions(errors, "cannot disable the SuccessCriteriaMet=True condition");
        }
        if self.was("Complete") && !was_met && met {
            let why = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions";
            self.wrong_conditions(errors, why);
        }
    }

    fn validate_times(&self, errors: &mut Errors) {
        let (start, end) = (self.status.child("startTime"), self.status.child("completionTime"));
        let is_complete = self.is("Complete");
        if self.has_changed(&["Complete"]) || self.differs("completionTime") {
            match (end.is_set(), is_complete) {
                (true, false) => {
                    end.invalid(errors, "cannot set completionTime when there is no Complete=True condition");
                }
                (false, true) => end.required(errors, "completionTime is required for Complete jobs"),
                _ => {}
            }
        }
        let time = |field: &Field<'_, '_>| field.text().parse::<jiff::Timestamp>().ok();
        if (self.differs("startTime") || self.differs("completionTime"))
            && let (Some(start), Some(end_time)) = (time(&start), time(&end))
            && end_time < start
        {
            end.invalid(errors, "completionTime cannot be set before startTime");
        }
        let was = |name| self.old.get("status").get(name);
        if end.is_set() && !was("completionTime").is_null() && end.value != was("completionTime") {
            end.invalid(errors, "completionTime cannot be mutated");
        }
        let is_suspended = self.job.at("spec.suspend").as_bool() == Some(true);
        // A Job that resumes begins anew.
        let resumes = self.was("Suspended") && !self.is("Suspended");
        if self.differs("startTime") && !was("startTime").is_null() && !is_suspended && !resumes {
            start.required(errors, "startTime cannot be removed for unsuspended job");
        }
    }

    fn validate_finished(&self, errors: &mut Errors) {
        let concerns = |name: &str| self.is_finished() && (self.finish_has_changed() || self.differs(name));
        for name in ["active", "terminating"] {
            let count = self.status.child(name);
            if concerns(name) && count.number() > 0 {
                count.invalid(errors, format!("{name}>0 is invalid for finished job"));
            }
        }
        let start = self.status.child("startTime");
        if concerns("startTime") && !start.is_set() {
            start.required(errors, "startTime is required for finished job");
        }
        let uncounted = self.status.child("uncountedTerminatedPods");
        let is_empty = uncounted.child("failed").is_empty() && uncounted.child("succeeded").is_empty();
        if concerns("uncountedTerminatedPods") && !is_empty {
            uncounted.invalid(errors, "uncountedTerminatedPods needs to be empty for finished job");
        }
    }

    fn validate_indexes(&self, errors: &mut Errors) {
        let spec = self.job.get("spec");
        let (completed, failed) = (self.status.child("completedIndexes"), self.status.child("failedIndexes"));
        let completions = spec.get("completions").as_i64();
        let per_index = !spec.get("backoffLimitPerIndex").is_null();
        for (list, name, counts) in
            [(&completed, "completedIndexes", true), (&failed, "failedIndexes", per_index)]
        {
            let Some(completions) = completions.filter(|_| counts && self.differs(name)) else { continue };
            if let Err(why) = indexes::count(list.text(), completions) {
                list.invalid(errors, format!("error parsing {name}: {why}"));
            }
        }
        if self.differs("completedIndexes")
            && !completed.is_empty()
            && spec.str_at("completionMode") != "Indexed"
        {
            let why = "cannot set non-empty completedIndexes when non-indexed completion mode";
            completed.invalid(errors, why);
        }
        if self.differs("failedIndexes") && !per_index && failed.is_set() {
            failed.invalid(errors, "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
        }
        if (self.differs("failedIndexes") || self.differs("completedIndexes"))
            && let Some(completions) = completions
            && let Some(index) = indexes::overlap(completed.text(), failed.text(), completions)
        {
            let why = format!("failedIndexes and completedIndexes overlap at index: {index}");
            failed.invalid(errors, why);
        }
    }

    fn validate_counters(&self, errors: &mut Errors) {
        let was = |name| self.old.get("status").get(name).as_i64().unwrap_or_default();
        let (ready, active) = (self.status.child("ready"), self.status.child("active"));
        if (self.differs("ready") || self.differs("active")) && ready.number() > active.number() {
            ready.invalid(errors, "cannot set more ready pods than active");
        }
        // An Indexed Job that is made smaller forgets what succeeded.
        let spec = self.job.get("spec");
        let shrinks =
            spec.str_at("completionMode") == "Indexed" && spec.get("completions") == spec.get("parallelism");
        for (name, counts) in [("failed", true), ("succeeded", !shrinks)] {
            let count = self.status.child(name);
            if counts && count.number() < was(name) {
                errors.invalid(&count.path, count.number(), format!("cannot decrease the {name} counter"));
            }
        }
    }
}
