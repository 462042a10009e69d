//! Cluster addresses and address families of Services.

use std::collections::HashSet;

use object::field::{Error, Errors};
use object::{Value, names};

use super::{SERVICE, is_external_name, is_headless};
use crate::validation::field::Field;

const FIXED: &str = "may not change once set";

/// Checks `clusterIPs`, `ipFamilies` and `ipFamilyPolicy` of a Service; also for the allocation of addresses.
pub fn validate_cluster_ips(service: &Value) -> Errors {
    validate_cluster_ips_update(service, &Value::Null)
}

/// As [`validate_cluster_ips`], for a change: addresses of the old Service are let pass.
pub(super) fn validate_cluster_ips_update(service: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(service, SERVICE);
    let spec = root.child("spec");
    if is_external_name(spec.value) {
        return errors;
    }
    let (ips, families) = (spec.child("clusterIPs"), spec.child("ipFamilies"));
    let primary = spec.child("clusterIP").text();
    match (primary, ips.value.items().next()) {
        ("", None) => {}
        ("", Some(_)) => ips.invalid(&mut errors, "must be empty when `clusterIP` is not specified"),
        (_, None) => ips.required(&mut errors, ""),
        (primary, Some(first)) if first.as_str() != Some(primary) => {
            ips.invalid(&mut errors, "first value must match `clusterIP`");
        }
        _ => {}
    }
    let mut seen = HashSet::new();
    for family in families.items() {
        family.check_known(&mut errors, &["IPv4", "IPv6"]);
        if !seen.insert(family.text()) {
            family.duplicate(&mut errors);
        }
    }
    let policies = ["PreferDualStack", "RequireDualStack", "SingleStack"];
    spec.child("ipFamilyPolicy").check_known(&mut errors, &policies);
    if validate_ips(&mut errors, &ips, &super::texts(old.at("spec.clusterIPs"))) {
        validate_stacks(&mut errors, &ips, &families, is_headless(spec.value));
    }
    errors
}

/// Checks each address on its own; returns whether all are valid.
fn validate_ips(errors: &mut Errors, ips: &Field<'_, '_>, known: &HashSet<&str>) -> bool {
    let mut valid = true;
    for (i, ip) in ips.items().enumerate() {
        if i == 0 && ip.text() == "None" {
            if ips.len() > 1 {
                valid = false;
                ips.invalid(errors, "'None' must be the first and only value");
            }
            continue;
        }
        let wrong = names::is_valid_ip_for_legacy_field(&ip.path, ip.text(), known);
        valid &= wrong.is_empty();
        errors.append(wrong);
    }
    if ips.len() > 2 {
        ips.invalid(errors, "may only hold up to 2 values");
    }
    valid
}

fn validate_stacks(errors: &mut Errors, ips: &Field<'_, '_>, families: &Field<'_, '_>, headless: bool) {
    let family = |ip: &str| if ip.contains(':') { "IPv6" } else { "IPv4" };
    let present: HashSet<&str> = ips.value.items().filter_map(Value::as_str).map(family).collect();
    if ips.len() > 1 && present.len() < 2 {
        ips.invalid(errors, "may specify no more than one IP for each IP family");
    }
    if headless || !errors.is_empty() {
        return;
    }
    for (i, (ip, expected)) in ips.items().zip(families.items()).enumerate() {
        let known = matches!(expected.text(), "IPv4" | "IPv6");
        if known && family(ip.text()) != expected.text() {
            let why = format!("expected an {} value as indicated by `ipFamilies[{i}]`", expected.text());
            ip.invalid(errors, why);
        }
    }
}

/// The primary address stays; a second one can come and go.
pub(super) fn validate_address_changes(errors: &mut Errors, spec: &Field<'_, '_>, old: &Value) {
    let unbound = is_external_name(spec.value) || is_external_name(old);
    if unbound || is_headless(spec.value) && is_headless(old) {
        return;
    }
    let ips = spec.child("clusterIPs");
    let now: Vec<&Value> = ips.value.items().collect();
    let before: Vec<&Value> = old.get("clusterIPs").items().collect();
    let wrong = |errors: &mut Errors, i, why| {
        errors.push_with(|| Error::invalid(&ips.path.index(i), ips.value.clone(), why));
    };
    if now.len() == before.len() {
        for i in (0..now.len()).filter(|&i| now[i] != before[i]) {
            wrong(errors, i, FIXED);
        }
        return;
    }
    if now.is_empty() {
        wrong(errors, 0, "primary clusterIP can not be unset");
    } else if before.first().is_some_and(|before| *before != now[0]) {
        wrong(errors, 0, FIXED);
    }
    if before.len() > now.len() && now.len() == 1 {
        released(errors, spec, "clusterIP");
    }
}

fn released(errors: &mut Errors, spec: &Field<'_, '_>, what: &str) {
    let policy = spec.child("ipFamilyPolicy");
    if policy.text() != "SingleStack" {
        policy.invalid(errors, format!("must be set to 'SingleStack' when releasing the secondary {what}"));
    }
}

/// The primary family stays; a second one can come and go.
pub(super) fn validate_family_changes(errors: &mut Errors, spec: &Field<'_, '_>, old: &Value) {
    let unbound = is_external_name(spec.value) || is_external_name(old);
    if unbound || is_headless(spec.value) || is_headless(old) {
        return;
    }
    let families = spec.child("ipFamilies");
    let now: Vec<&Value> = families.value.items().collect();
    let before: Vec<&Value> = old.get("ipFamilies").items().collect();
    let first = families.path.index(0);
    if now.len() == before.len() {
        for _ in (0..now.len()).filter(|&i| now[i] != before[i]) {
            errors.push_with(|| Error::invalid(&first, families.value.clone(), FIXED));
        }
        return;
    }
    let ips = spec.child("clusterIPs");
    if before.len() > now.len() && ips.is_empty() {
        errors.invalid(&first, families.value.clone(), "primary ipFamily can not be unset");
    }
    if now.first().zip(before.first()).is_some_and(|(now, before)| now != before) {
        errors.invalid(&first, ips.value.clone(), FIXED);
    }
    if before.len() > now.len() && now.len() == 1 {
        released(errors, spec, "ipFamily");
    }
}
