//! What a claim asks for.

use std::collections::{HashMap, HashSet};

use object::field::{Error, Errors};
use object::names;

use super::names_of_devices::{validate_driver, validate_fully_qualified};
use super::taint::validate_toleration;
use super::{LIST_MAX, fits, validate_raw};
use crate::validation::field::{Field, NOT_POSITIVE};

/// How many alternatives a request may have.
const ALTERNATIVES_MAX: usize = 8;
/// How long an expression may be, in bytes.
const EXPRESSION_BYTES_MAX: usize = 10 * 1024;
/// How much an expression may cost.
const EXPRESSION_COST_MAX: u64 = 1_000_000;
/// How large the parameters for a driver may be, in bytes of JSON.
const PARAMETERS_BYTES_MAX: usize = 10 * 1024;
const NO_REQUEST: &str =
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/// The names of a claim's requests, each with those of its alternatives.
pub(super) struct Requests<'v>(HashMap<&'v str, HashSet<&'v str>>);

impl<'v> Requests<'v> {
    /// Of the spec of a claim.
    pub(super) fn of(spec: &'v object::Value) -> Requests<'v> {
        let requests = spec.at("devices.requests").items();
        let alternatives = |request: &'v object::Value| {
            request.get("firstAvailable").items().map(|one| one.str_at("name")).collect()
        };
        Requests(requests.map(|request| (request.str_at("name"), alternatives(request))).collect())
    }

    /// Checks the name of a request, or of a request and an alternative of it.
    pub(super) fn check(&self, errors: &mut Errors, reference: &Field<'_, '_>) {
        let name = reference.text();
        let parts: Vec<&str> = name.split('/').collect();
        if parts.len() > 2 {
            return errors.invalid(&reference.path, name, NO_REQUEST);
        }
        for part in &parts {
            errors.invalid_each(&reference.path, *part, names::is_dns1123_label(part));
        }
        let alternatives = self.0.get(parts[0]);
        let is_known = alternatives.is_some_and(|known| parts.len() == 1 || known.contains(parts[1]));
        if !is_known {
            errors.invalid(&reference.path, name, NO_REQUEST);
        }
    }

    /// Checks a list of such names.
    pub(super) fn check_all(&self, errors: &mut Errors, list: &Field<'_, '_>) {
        if !fits(errors, list, LIST_MAX) {
            return;
        }
        list.items().for_each(|reference| self.check(errors, &reference));
        let mut seen = HashSet::new();
        list.items().filter(|name| !seen.insert(name.text())).for_each(|name| name.duplicate(errors));
    }
}

/// Checks the spec of a claim, or of a template for claims.
pub(super) fn validate_claim_spec(errors: &mut Errors, spec: &Field<'_, '_>) {
    let known = Requests::of(spec.value);
    let devices = spec.child("devices");
    let (requests, constraints) = (devices.child("requests"), devices.child("constraints"));
    if fits(errors, &requests, LIST_MAX) {
        requests.items().for_each(|request| validate_request(errors, &request));
        check_names_differ(errors, &requests);
    }
    if fits(errors, &constraints, LIST_MAX) {
        constraints.items().for_each(|constraint| validate_constraint(errors, &constraint, &known));
    }
    let configurations = devices.child("config");
    if fits(errors, &configurations, LIST_MAX) {
        for config in configurations.items() {
            known.check_all(errors, &config.child("requests"));
            validate_configuration(errors, &config, false);
        }
    }
}

/// Items with the name of another one.
fn check_names_differ(errors: &mut Errors, list: &Field<'_, '_>) {
    let mut seen = HashSet::new();
    let double = list.items().filter(|item| !seen.insert(item.value.str_at("name")));
    double.for_each(|item| item.duplicate(errors));
}

fn validate_request(errors: &mut Errors, request: &Field<'_, '_>) {
    request.child("name").check(errors, names::is_dns1123_label);
    let (exactly, alternatives) = (request.child("exactly"), request.child("firstAvailable"));
    let why = "exactly one of `exactly` or `firstAvailable` is required";
    match (exactly.is_set(), !alternatives.is_empty()) {
        (false, false) => request.required(errors, why),
        (true, true) => {
            errors.invalid(&request.path, object::Value::Null, format!("{why}, but multiple fields are set"));
        }
        (true, false) => validate_wanted(errors, &exactly),
        (false, true) if fits(errors, &alternatives, ALTERNATIVES_MAX) => {
            for alternative in alternatives.items() {
                alternative.child("name").check(errors, names::is_dns1123_label);
                validate_wanted(errors, &alternative);
            }
            check_names_differ(errors, &alternatives);
        }
        (false, true) => {}
    }
}

/// Checks which devices are wanted, and how many.
fn validate_wanted(errors: &mut Errors, wanted: &Field<'_, '_>) {
    wanted.child("deviceClassName").check_required(errors, names::is_dns1123_subdomain);
    validate_selectors(errors, &wanted.child("selectors"), false);
    let (mode, count) = (wanted.child("allocationMode"), wanted.child("count"));
    match mode.text() {
        "All" if count.number() != 0 => {
            count.invalid(errors, "must not be specified when allocationMode is 'All'");
        }
        "ExactCount" if count.number() <= 0 => {
            errors.invalid(&count.path, count.number(), NOT_POSITIVE);
        }
        "All" | "ExactCount" => {}
        _ => mode.not_supported(errors, &["All", "ExactCount"]),
    }
    wanted.child("tolerations").items().for_each(|toleration| validate_toleration(errors, &toleration));
}

/// Checks the expressions that select devices; those that are stored have been checked.
pub(super) fn validate_selectors(errors: &mut Errors, selectors: &Field<'_, '_>, stored: bool) {
    if !fits(errors, selectors, LIST_MAX) {
        return;
    }
    for selector in selectors.items() {
        let cel = selector.child("cel");
        match cel.is_set() {
            true if !stored => validate_expression(errors, &cel.child("expression")),
            true => {}
            false => cel.required(errors, ""),
        }
    }
}

fn validate_expression(errors: &mut Errors, expression: &Field<'_, '_>) {
    if expression.text().len() > EXPRESSION_BYTES_MAX {
        return errors.push_with(|| Error::too_long(&expression.path, EXPRESSION_BYTES_MAX));
    }
    match rules::devices::check(expression.text()) {
        Err(why) => errors.invalid(&expression.path, expression.text(), why),
        Ok(cost) if cost > EXPRESSION_COST_MAX => {
            expression.forbidden(errors, "too complex, exceeds cost limit");
        }
        Ok(_) => {}
    }
}

fn validate_constraint(errors: &mut Errors, constraint: &Field<'_, '_>, known: &Requests<'_>) {
    known.check_all(errors, &constraint.child("requests"));
    let (same, distinct) = (constraint.child("matchAttribute"), constraint.child("distinctAttribute"));
    match [same, distinct].into_iter().find(Field::is_set) {
        Some(name) => validate_fully_qualified(errors, &name.path, name.text()),
        None => constraint.required(
            errors,
            r#"exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set"#,
        ),
    }
}

/// Checks a configuration for a driver; one that is stored may be larger.
pub(super) fn validate_configuration(errors: &mut Errors, config: &Field<'_, '_>, stored: bool) {
    let opaque = config.child("opaque");
    if !opaque.is_set() {
        return opaque.required(errors, "");
    }
    let driver = opaque.child("driver");
    validate_driver(errors, &driver.path, driver.text());
    validate_raw(errors, &opaque.child("parameters"), stored, PARAMETERS_BYTES_MAX);
}
