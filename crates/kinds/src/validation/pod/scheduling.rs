//! Tolerations, taints, topology and scheduling gates.

use std::collections::{HashMap, HashSet};

use object::field::{Error, Errors};
use object::{Value, names};

use crate::validation::field::{Field, NOT_POSITIVE};

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

pub(crate) fn validate_tolerations(errors: &mut Errors, tolerations: &Field<'_, '_>) {
    for toleration in tolerations.items() {
        let (key, operator) = (toleration.child("key"), toleration.child("operator"));
        let (value, effect) = (toleration.child("value"), toleration.child("effect"));
        key.check_set(errors, names::is_qualified_name);
        if key.is_empty() && operator.text() != "Exists" {
            let why =
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&operator.path, operator.text(), why);
        }
        if toleration.child("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
            errors.invalid(
                &effect.path,
                effect.text(),
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            );
        }
        match operator.text() {
            "" | "Equal" => {
                let wrong = names::is_valid_label_value(value.text());
                if !wrong.is_empty() {
                    errors.invalid(&operator.path, value.text(), wrong.join(";"));
                }
            }
            "Exists" if value.is_empty() => {}
            "Exists" => {
                errors.invalid(
                    &operator.path,
                    value.text(),
                    "value must be empty when `operator` is 'Exists'",
                );
            }
            // These two are known, but off as upstream has them off by default.
            "Gt" | "Lt" => operator.not_supported(errors, &["Equal", "Exists", "Gt", "Lt"]),
            _ => operator.not_supported(errors, &["Equal", "Exists"]),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect.text()) {
            effect.not_supported(errors, &EFFECTS);
        }
    }
}

/// Checks the taints of a node.
pub(crate) fn validate_taints(errors: &mut Errors, taints: &Field<'_, '_>) {
    let mut seen = HashSet::new();
    for taint in taints.items() {
        let (key, value, effect) = (taint.child("key"), taint.child("value"), taint.child("effect"));
        key.check(errors, names::is_qualified_name);
        let wrong = names::is_valid_label_value(value.text());
        if !wrong.is_empty() {
            value.invalid(errors, wrong.join(";"));
        }
        effect.check_one_of(errors, &EFFECTS);
        if !seen.insert((effect.text(), key.text())) {
            let mut error = Error::duplicate(&taint.path, taint.value.clone());
            error.detail = "taints must be unique by key and effect pair".into();
            errors.push(error);
        }
    }
}

pub(super) fn validate_gates(errors: &mut Errors, gates: &Field<'_, '_>) {
    let mut seen = HashSet::new();
    for gate in gates.items() {
        let name = gate.child("name");
        let named = name.named(gate.path);
        named.check(errors, names::is_qualified_name);
        if !seen.insert(name.text()) {
            named.duplicate(errors);
        }
    }
}

pub(super) fn validate_topology(errors: &mut Errors, constraints: &Field<'_, '_>) {
    let pair = |constraint: &Value| {
        [constraint.str_at("topologyKey"), constraint.str_at("whenUnsatisfiable")].map(str::to_owned)
    };
    // How many of each pair are still to come.
    let mut later: HashMap<[String; 2], usize> = HashMap::new();
    constraints.value.items().for_each(|constraint| *later.entry(pair(constraint)).or_default() += 1);
    for constraint in constraints.items() {
        let skew = constraint.child("maxSkew");
        if skew.number() <= 0 {
            errors.invalid(&skew.path, skew.number(), NOT_POSITIVE);
        }
        let (key, action) = (constraint.child("topologyKey"), constraint.child("whenUnsatisfiable"));
        if key.is_empty() {
            key.required(errors, "can not be empty");
        }
        if !matches!(action.text(), "DoNotSchedule" | "ScheduleAnyway") {
            action.not_supported(errors, &["DoNotSchedule", "ScheduleAnyway"]);
        }
        let left = later.entry(pair(constraint.value)).or_default();
        *left -= 1;
        if *left > 0 {
            let path = constraint.path.child("{topologyKey, whenUnsatisfiable}");
            errors.duplicate(&path, format!("{{{}, {}}}", key.text(), action.text()));
        }
        validate_domains(errors, &constraint.child("minDomains"), action.text());
        for name in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            constraint.child(name).check_known(errors, &["Honor", "Ignore"]);
        }
        validate_label_keys(errors, &constraint);
        let selector = constraint.child("labelSelector");
        errors.append(selector.selector().validate(&selector.path, false));
    }
}

fn validate_domains(errors: &mut Errors, domains: &Field<'_, '_>, action: &str) {
    if !domains.is_set() {
        return;
    }
    if domains.number() <= 0 {
        domains.invalid(errors, NOT_POSITIVE);
    }
    if action != "DoNotSchedule" {
        let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
        domains.invalid(errors, why);
    }
}

fn validate_label_keys(errors: &mut Errors, constraint: &Field<'_, '_>) {
    let (keys, selector) = (constraint.child("matchLabelKeys"), constraint.child("labelSelector"));
    if keys.is_empty() {
        return;
    }
    if !selector.is_set() {
        keys.forbidden(errors, "must not be specified when labelSelector is not set");
    }
    let selector = selector.selector();
    let labels = selector.match_labels.iter().map(|(key, _)| key);
    let taken: HashSet<&String> = labels.chain(selector.match_expressions.iter().map(|e| &e.key)).collect();
    for key in keys.items() {
        key.check(errors, names::is_qualified_name);
        if taken.contains(&key.text().to_owned()) {
            key.invalid(errors, "exists in both matchLabelKeys and labelSelector");
        }
    }
}
