//! What a Job makes of failures and successes of its pods.

use std::collections::HashSet;

use object::Value;
use object::field::{Error, Errors, Path};
use object::names;

use super::indexes;
use crate::validation::field::Field;

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const CONDITIONS_MAX: usize = 20;
const SUCCEEDED_INDEXES_BYTES_MAX: usize = 64 << 10;
const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const STATES: [&str; 3] = ["False", "True", "Unknown"];

pub(super) fn validate_policies(errors: &mut Errors, spec: &Field<'_, '_>) {
    let failure = spec.child("podFailurePolicy");
    if failure.is_set() {
        validate_failure(errors, spec, &failure.child("rules"));
    }
    let success = spec.child("successPolicy");
    if success.is_set() {
        if spec.child("completionMode").text() == "Indexed" {
            validate_success(errors, &success.child("rules"), spec.child("completions").number());
        } else {
            success.invalid(errors, "requires indexed completion mode");
        }
    }
    let replacement = spec.child("podReplacementPolicy");
    if failure.is_set() {
        replacement.check_known(errors, &["Failed"]);
    } else {
        replacement.check_known(errors, &["Failed", "TerminatingOrFailed"]);
    }
}

fn too_many(errors: &mut Errors, list: &Field<'_, '_>, max: usize) {
    if list.len() > max {
        errors.push(Error::too_many(&list.path, list.len(), max));
    }
}

/// Adds: one of these must be there.
fn valid_values(errors: &mut Errors, path: &Path<'_>, values: &[&str]) {
    errors.required(path, format!("valid values: [\"{}\"]", values.join("\" \"")));
}

fn validate_failure(errors: &mut Errors, spec: &Field<'_, '_>, rules: &Field<'_, '_>) {
    too_many(errors, rules, RULES_MAX);
    let pod = spec.value.at("template.spec");
    let containers: HashSet<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|name| pod.get(name).items())
        .map(|container| container.str_at("name"))
        .collect();
    for rule in rules.items() {
        let action = rule.child("action");
        match action.text() {
            "" => valid_values(errors, &action.path, &ACTIONS),
            "FailIndex" if !spec.child("backoffLimitPerIndex").is_set() => {
                action.invalid(errors, "requires the backoffLimitPerIndex to be set");
            }
            text if ACTIONS.contains(&text) => {}
            _ => action.not_supported(errors, &ACTIONS),
        }
        let (codes, conditions) = (rule.child("onExitCodes"), rule.child("onPodConditions"));
        if codes.is_set() {
            validate_exit_codes(errors, &codes, &containers);
        }
        validate_conditions(errors, &conditions);
        let why = match (codes.is_set(), !conditions.is_empty()) {
            (true, true) => "specifying both OnExitCodes and OnPodConditions is not supported",
            (false, false) => "specifying one of OnExitCodes and OnPodConditions is required",
            _ => continue,
        };
        errors.push(Error::invalid(&rule.path, Value::Null, why).without_value());
    }
}

fn validate_conditions(errors: &mut Errors, conditions: &Field<'_, '_>) {
    too_many(errors, conditions, CONDITIONS_MAX);
    for pattern in conditions.items() {
        pattern.child("type").check(errors, names::is_qualified_name);
        let status = pattern.child("status");
        match status.text() {
            "" => valid_values(errors, &status.path, &STATES),
            text if STATES.contains(&text) => {}
            _ => status.not_supported(errors, &STATES),
        }
    }
}

fn validate_exit_codes(errors: &mut Errors, codes: &Field<'_, '_>, containers: &HashSet<&str>) {
    let operator = codes.child("operator");
    match operator.text() {
        "" => valid_values(errors, &operator.path, &["In", "NotIn"]),
        "In" | "NotIn" => {}
        _ => operator.not_supported(errors, &["In", "NotIn"]),
    }
    let container = codes.child("containerName");
    if container.is_set() && !containers.contains(container.text()) {
        let why = "must be one of the container or initContainer names in the pod template";
        container.invalid(errors, why);
    }
    let values = codes.child("values");
    if values.is_empty() {
        values.invalid(errors, "at least one value is required");
    }
    too_many(errors, &values, EXIT_CODES_MAX);
    let mut seen = HashSet::new();
    for code in values.items() {
        if operator.text() == "In" && code.number() == 0 {
            code.invalid(errors, "must not be 0 for the In operator");
        }
        if !seen.insert(code.number()) {
            code.duplicate(errors);
        }
    }
    let numbers: Vec<i64> = values.items().map(|code| code.number()).collect();
    if !numbers.is_sorted() {
        values.invalid(errors, "must be ordered");
    }
}

fn validate_success(errors: &mut Errors, rules: &Field<'_, '_>, completions: i64) {
    if rules.is_empty() {
        rules.required(errors, "at least one rules must be specified when the successPolicy is specified");
    }
    too_many(errors, rules, RULES_MAX);
    for rule in rules.items() {
        let (list, count) = (rule.child("succeededIndexes"), rule.child("succeededCount"));
        if !list.is_set() && !count.is_set() {
            rule.required(errors, "at least one of succeededCount or succeededIndexes must be specified");
        }
        let mut total = 0;
        if list.text().len() > SUCCEEDED_INDEXES_BYTES_MAX {
            errors.push(Error::too_long(&list.path, SUCCEEDED_INDEXES_BYTES_MAX));
        }
        match indexes::count(list.text(), completions) {
            Ok(indexes) => total = indexes,
            Err(why) => list.invalid(errors, format!("error parsing succeededIndexes: {why}")),
        }
        count.check_not_negative(errors);
        let what = "the number of specified completions";
        let of_list = "the number of indexes in the specified succeededIndexes field";
        for (max, what) in [(Some(completions), what), (list.is_set().then_some(total), of_list)] {
            if let Some(max) = max.filter(|max| count.number() > *max) {
                count.invalid(errors, format!("must be less than or equal to {max} ({what})"));
            }
        }
    }
}
