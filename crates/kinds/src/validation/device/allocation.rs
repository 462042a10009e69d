//! Which devices a claim has, and who uses them.

use std::collections::HashSet;

use object::Value;
use object::field::{Error, Errors, Path};
use object::names;

use super::claim::{Requests, validate_configuration};
use super::names_of_devices::{device_id, validate_driver, validate_pool, validate_uuid};
use super::taint::validate_toleration;
use super::{CLAIM, LIST_MAX, fits, validate_binding_conditions, validate_raw, validate_skipped};
use crate::validation::conditions::validate_conditions;
use crate::validation::field::{Field, same};
use crate::validation::pod::validate_node_selector;

/// How many may use a claim at a time.
const RESERVED_MAX: usize = 256;
/// How many conditions the status of a device may have.
const CONDITIONS_MAX: usize = 8;
/// How large the data of a device's status may be, in bytes of JSON.
const DATA_BYTES_MAX: usize = 10 * 1024;
/// How many addresses a network device may have.
const IPS_MAX: usize = 16;
const INTERFACE_BYTES_MAX: usize = 256;
const HARDWARE_ADDRESS_BYTES_MAX: usize = 128;

/// Checks a change of a ResourceClaim's status, except its metadata: an allocation comes and goes, but does not change.
pub fn validate_resource_claim_status_update(claim: &Value, old: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(claim, CLAIM);
    let status = root.child("status");
    let (reserved, allocation) = (status.child("reservedFor"), status.child("allocation"));
    validate_consumers(&mut errors, &reserved);
    validate_devices(&mut errors, &status.child("devices"), allocation.value);
    if !reserved.is_empty() {
        if !allocation.is_set() {
            reserved.forbidden(&mut errors, "may not be specified when `allocated` is not set");
        } else if reserved.len() <= RESERVED_MAX && !claim.at("metadata.deletionTimestamp").is_null() {
            let before: Vec<&Value> = old.at("status.reservedFor").items().collect();
            if reserved.value.items().any(|consumer| !before.contains(&consumer)) {
                let why = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set";
                reserved.forbidden(&mut errors, why);
            }
        }
    }
    let before = old.at("status.allocation");
    if allocation.is_set() && !before.is_null() {
        if !same(allocation.value, before) {
            errors.invalid(&allocation.path, Value::Null, "field cannot be modified once set");
        }
    } else if allocation.is_set() {
        validate_allocation(&mut errors, &allocation, &Requests::of(claim.get("spec")));
    }
    errors
}

fn validate_consumers(errors: &mut Errors, reserved: &Field<'_, '_>) {
    if !fits(errors, reserved, RESERVED_MAX) {
        return;
    }
    for consumer in reserved.items() {
        for member in ["resource", "name", "uid"] {
            consumer.child(member).check_present(errors);
        }
    }
    let mut seen = HashSet::new();
    let double = reserved.items().filter(|consumer| !seen.insert(consumer.value.str_at("uid")));
    double.for_each(|consumer| consumer.duplicate(errors));
}

/// Checks a new allocation.
fn validate_allocation(errors: &mut Errors, allocation: &Field<'_, '_>, known: &Requests<'_>) {
    let devices = allocation.child("devices");
    let (results, configurations) = (devices.child("results"), devices.child("config"));
    if fits(errors, &results, LIST_MAX) {
        results.items().for_each(|result| validate_result(errors, &result, known));
    }
    // Those of the class and those of the claim.
    if fits(errors, &configurations, 2 * LIST_MAX) {
        for config in configurations.items() {
            config.child("source").check_one_of(errors, &["FromClaim", "FromClass"]);
            known.check_all(errors, &config.child("requests"));
            validate_configuration(errors, &config, false);
        }
    }
    let selector = allocation.child("nodeSelector");
    if selector.is_set() {
        validate_node_selector(errors, &selector);
    }
}

fn validate_result(errors: &mut Errors, result: &Field<'_, '_>, known: &Requests<'_>) {
    known.check(errors, &result.child("request"));
    let driver = result.child("driver");
    validate_driver(errors, &driver.path, driver.text());
    validate_pool(errors, &result.child("pool"));
    result.child("device").check(errors, names::is_dns1123_label);
    validate_binding_conditions(errors, result);
    result.child("tolerations").items().for_each(|toleration| validate_toleration(errors, &toleration));
    let share = result.child("shareID");
    if share.is_set() {
        validate_uuid(errors, &share);
    }
    validate_skipped(errors, &result.child("skipNodeOperations"));
}

/// Checks what drivers tell of the devices of an allocation.
fn validate_devices(errors: &mut Errors, devices: &Field<'_, '_>, allocation: &Value) {
    let allocated: HashSet<String> = allocation.at("devices.results").items().map(device_id).collect();
    let mut seen = HashSet::new();
    for device in devices.items() {
        let driver = device.child("driver");
        validate_driver(errors, &driver.path, driver.text());
        validate_pool(errors, &device.child("pool"));
        device.child("device").check(errors, names::is_dns1123_label);
        let share = device.child("shareID");
        if share.is_set() {
            validate_uuid(errors, &share);
        }
        let id = device_id(device.value);
        if !allocated.contains(&id) {
            errors.invalid(&device.path, id.as_str(), "must be an allocated device in the claim");
        }
        let conditions = device.child("conditions");
        if conditions.len() > CONDITIONS_MAX {
            errors.push_with(|| Error::too_many(&conditions.path, conditions.len(), CONDITIONS_MAX));
        }
        validate_conditions(errors, &conditions);
        let data = device.child("data");
        if data.is_set() {
            validate_raw(errors, &data, false, DATA_BYTES_MAX);
        }
        validate_network(errors, &device.child("networkData"));
        if !seen.insert(id) {
            device.duplicate(errors);
        }
    }
}

fn validate_network(errors: &mut Errors, network: &Field<'_, '_>) {
    for (member, max) in
        [("interfaceName", INTERFACE_BYTES_MAX), ("hardwareAddress", HARDWARE_ADDRESS_BYTES_MAX)]
    {
        let text = network.child(member);
        if text.text().len() > max {
            errors.push_with(|| Error::too_long(&text.path, max));
        }
    }
    let ips = network.child("ips");
    if !fits(errors, &ips, IPS_MAX) {
        return;
    }
    let mut seen = HashSet::new();
    for ip in ips.items() {
        validate_interface_address(errors, &ip.path, ip.text());
        if !seen.insert(ip.text()) {
            ip.duplicate(errors);
        }
    }
}

/// Checks an address with the length of its network's prefix, in the canonical form.
fn validate_interface_address(errors: &mut Errors, path: &Path<'_>, text: &str) {
    match names::parse_cidr_sloppy(text) {
        None => {
            let why = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
            errors.invalid(path, text, why);
        }
        Some((ip, length)) if format!("{ip}/{length}") != text => {
            let canonical = object::quote(&format!("{ip}/{length}"));
            errors.invalid(path, text, format!("must be in canonical form ({canonical})"));
        }
        Some(_) => {}
    }
}
