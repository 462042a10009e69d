//! What devices have, and how much of it a claim may ask for.

use object::field::{Error, Errors, Path};
use object::{Quantity, Value};

use super::names_of_devices::validate_qualified;
use crate::validation::field::{Field, NEGATIVE, NOT_POSITIVE};
use crate::validation::resources::is_node_resource;

/// How many amounts may be listed.
const VALUES_MAX: usize = 10;

/// Checks the capacities of a device; only one that several claims may have has rules for their amounts.
pub(super) fn validate_capacities(errors: &mut Errors, capacities: &Field<'_, '_>, is_shared: bool) {
    for (name, capacity) in capacities.entries() {
        validate_qualified(errors, &capacities.path, name);
        let policy = capacity.child("requestPolicy");
        match (policy.is_set(), is_shared) {
            (false, _) => {}
            (true, false) => policy.forbidden(errors, "allowMultipleAllocations must be true"),
            (true, true) => validate_policy(errors, &policy, &capacity.child("value").quantity()),
        }
    }
}

fn validate_policy(errors: &mut Errors, policy: &Field<'_, '_>, max: &Quantity) {
    let [default, values, range] =
        ["default", "validValues", "validRange"].map(|member| policy.child(member));
    match (!values.is_empty(), range.is_set()) {
        (true, true) => policy.forbidden(
            errors,
            r#"exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time"#,
        ),
        (true, false) if !default.is_set() => default.required(errors, "required when validValues is defined"),
        (true, false) => validate_values(errors, &values, &default.quantity(), max),
        (false, true) if !default.is_set() => default.required(errors, "required when validRange is defined"),
        (false, true) => validate_range(errors, &range, &default.quantity(), max),
        (false, false) => {}
    }
}

fn validate_values(errors: &mut Errors, values: &Field<'_, '_>, default: &Quantity, max: &Quantity) {
    let amounts: Vec<Quantity> = values.items().map(|value| value.quantity()).collect();
    for (index, pair) in amounts.windows(2).enumerate().filter(|(_, pair)| pair[0] > pair[1]) {
        let path = values.path.index(index + 1);
        errors.invalid(&path, pair[1].to_string(), "values must be sorted in ascending order");
    }
    if values.len() > VALUES_MAX {
        errors.push_with(|| Error::too_many(&values.path, values.len(), VALUES_MAX));
    } else {
        for (index, amount) in amounts.iter().enumerate() {
            let path = values.path.index(index);
            if amount > max {
                errors.invalid(
                    &path,
                    amount.to_string(),
                    format!("option is larger than capacity value: {max}"),
                );
            }
            if amounts[..index].contains(amount) {
                errors.duplicate(&path, amount.to_string());
            }
        }
    }
    if !amounts.contains(default) {
        let why = "default value is not valid according to the requestPolicy";
        errors.invalid(&values.path, default.to_string(), why);
    }
}

fn validate_range(errors: &mut Errors, range: &Field<'_, '_>, default: &Quantity, max: &Quantity) {
    let [least, most, step] = ["min", "max", "step"].map(|member| range.child(member));
    if !least.is_set() {
        return least.required(errors, "required when validRange is defined");
    }
    let from = least.quantity();
    let mut check = |is_wrong: bool, member: &str, value: &Quantity, why: String| {
        if is_wrong {
            errors.invalid(&range.path.child(member), value.to_string(), why);
        }
    };
    check(from > *max, "min", &from, format!("min is larger than capacity value: {max}"));
    check(*default < from, "default", default, format!("default is less than min: {from}"));
    let to = most.is_set().then(|| most.quantity());
    if let Some(to) = &to {
        check(from > *to, "max", &from, format!("min is larger than max: {to}"));
        check(to > max, "max", to, format!("max is larger than capacity value: {max}"));
        check(default > to, "default", default, format!("default is more than max: {to}"));
    }
    if step.is_set() {
        validate_step(errors, range, &step.quantity(), [Some(default), Some(&from), to.as_ref()], max);
    }
}

/// Checks the distance between amounts, and that the default and the largest one are such amounts.
fn validate_step(
    errors: &mut Errors,
    range: &Field<'_, '_>,
    step: &Quantity,
    [default, from, to]: [Option<&Quantity>; 3],
    max: &Quantity,
) {
    let path = range.path.child("step");
    let Some(from) = from else { return };
    if step.sign() <= 0 {
        return errors.invalid(&path, step.to_string(), NOT_POSITIVE);
    }
    let mut next = from.clone();
    next += step;
    if next > *max {
        let why = format!("one step {next} is larger than capacity value: {max}");
        errors.invalid(&path, step.to_string(), why);
    }
    let mut is_safe = true;
    for (member, value) in [("default", default), ("min", Some(from)), ("max", to), ("step", Some(step))] {
        let Some(value) = value else { continue };
        if let Some(why) = unsafe_amount(value) {
            errors.invalid(&range.path.child(member), value.to_string(), why);
            is_safe = false;
        }
    }
    if !is_safe {
        return;
    }
    let all = [default, Some(from), to, Some(step)];
    let is_whole = |amount: &Quantity| amount.clone().round_up(0) == *amount;
    let are_whole = all.into_iter().flatten().all(is_whole);
    let count = |amount: &Quantity| i128::from(if are_whole { amount.value() } else { amount.milli_value() });
    for value in [default, to].into_iter().flatten() {
        let step_count = count(step);
        if step_count != 0 && (count(value) - count(from)) % step_count != 0 {
            let why = format!("value is not a multiple of a given step ({step}) from ({from})");
            errors.invalid(&path, value.to_string(), why);
        }
    }
}

/// Why an amount cannot be counted in.
fn unsafe_amount(value: &Quantity) -> Option<&'static str> {
    if value.sign() < 0 {
        return Some(NEGATIVE);
    }
    (*value > Quantity::new(i64::MAX, object::QuantityFormat::DecimalSi))
        .then_some("must not be larger than 9223372036854775807")
}

/// Checks which resources of the node come with a device.
pub(super) fn validate_node_resources(errors: &mut Errors, resources: &Field<'_, '_>, capacities: &Value) {
    for (name, resource) in resources.entries() {
        let path = resources.path.key(name);
        if !is_node_resource(name) {
            errors.invalid(&path, name, "must be a node allocatable resource name");
        }
        let (mapping, overhead) = (resource.child("mapping"), resource.child("overhead"));
        if !mapping.is_set() && !overhead.is_set() {
            errors.required(&path, "at least one of mapping or overhead must be set");
        }
        if mapping.is_set() {
            validate_mapping(errors, &mapping, capacities);
        }
        if overhead.is_set() {
            validate_overhead(errors, &overhead);
        }
    }
}

fn validate_mapping(errors: &mut Errors, mapping: &Field<'_, '_>, capacities: &Value) {
    let [key, each, device] =
        ["capacityKey", "capacityMultiplier", "deviceMultiplier"].map(|member| mapping.child(member));
    if key.is_set() {
        match key.text() {
            "" => errors.invalid(&key.path, "", "capacityKey must not be an empty string"),
            name if capacities.get(name).is_null() => key.not_found(errors),
            _ => {}
        }
        match each.is_set() {
            false => each.required(errors, "capacityMultiplier is required when capacityKey is set"),
            true => check_positive(errors, &each.path, &each.quantity()),
        }
    } else if each.is_set() {
        key.required(errors, "capacityKey is required when capacityMultiplier is set");
    }
    if device.is_set() {
        check_positive(errors, &device.path, &device.quantity());
    }
    let both = "`capacityKey`, `deviceMultiplier`";
    match (key.is_set(), device.is_set()) {
        (false, false) => errors.invalid(&mapping.path, "", format!("must specify one of: {both}")),
        (true, true) => errors.invalid(
            &mapping.path,
            "{capacityKey, deviceMultiplier}",
            format!("must specify exactly one of: {both}"),
        ),
        _ => {}
    }
}

fn check_positive(errors: &mut Errors, path: &Path<'_>, amount: &Quantity) {
    if amount.sign() <= 0 {
        errors.invalid(path, amount.to_string(), "must be positive");
    }
}

fn validate_overhead(errors: &mut Errors, overhead: &Field<'_, '_>) {
    let amounts = ["perPod", "perContainer"].map(|member| overhead.child(member));
    if amounts.iter().all(|amount| !amount.is_set()) {
        return errors.invalid(&overhead.path, "", "at least one of perPod or perContainer must be set");
    }
    for amount in amounts.iter().filter(|amount| amount.quantity().sign() < 0) {
        errors.invalid(&amount.path, amount.quantity().to_string(), "must be non-negative");
    }
}
