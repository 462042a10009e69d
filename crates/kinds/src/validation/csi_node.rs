//! CSINodes (`pkg/apis/storage/validation`).

use std::collections::{HashMap, HashSet};

use object::Value;
use object::field::{Error, Errors};
use object::names;

use super::field::{Field, IMMUTABLE, same};
use super::pod::validate_csi_driver_name;

const NODE: &str = "io.k8s.api.storage.v1.CSINode";
/// How long a driver's name of a node may be.
const NODE_ID_BYTES_MAX: usize = 256;

/// Checks a CSINode, except its metadata.
pub fn validate_csi_node(node: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(node, NODE);
    let spec = root.child("spec");
    let mut seen = HashSet::new();
    for driver in spec.child("drivers").items() {
        validate_driver(&mut errors, &driver, &mut seen);
    }
    errors
}

fn validate_driver<'v>(errors: &mut Errors, driver: &Field<'v, '_>, seen: &mut HashSet<&'v str>) {
    let (name, node) = (driver.child("name"), driver.child("nodeID"));
    validate_csi_driver_name(errors, &name);
    node.check_present(errors);
    if node.text().len() > NODE_ID_BYTES_MAX {
        node.invalid(errors, format!("must be {NODE_ID_BYTES_MAX} characters or less"));
    }
    let allocatable = driver.child("allocatable");
    allocatable.child("count").check_not_negative(errors);
    if !seen.insert(name.text()) {
        errors.push_with(|| Error::duplicate(&name.path, name.text()));
    }
    let mut keys = HashSet::new();
    for key in driver.child("topologyKeys").items() {
        // Upstream names the driver as a whole.
        let key = key.named(driver.path);
        key.check_present(errors);
        if !keys.insert(key.text()) {
            key.duplicate(errors);
        }
        key.check(errors, names::is_qualified_name);
    }
}

/// Checks a change of a CSINode, except its metadata: a driver is registered anew to change, except for how many volumes
/// it can attach.
pub fn validate_csi_node_update(node: &Value, old: &Value) -> Errors {
    let mut errors = validate_csi_node(node);
    let fixed = |driver: &Value| {
        let mut driver = driver.clone();
        driver.remove("allocatable");
        driver
    };
    let drivers = |node: &Value| node.at("spec.drivers").clone();
    let (new, old) = (drivers(node), drivers(old));
    let by_name: HashMap<&str, &Value> = new.items().map(|driver| (driver.str_at("name"), driver)).collect();
    let root = Field::root(node, NODE);
    let spec = root.child("spec");
    let path = spec.path.child("drivers");
    for before in old.items() {
        let Some(now) = by_name.get(before.str_at("name")).map(|driver| fixed(driver)) else { continue };
        if !same(&now, &fixed(before)) {
            errors.invalid(&path, now, IMMUTABLE);
        }
    }
    errors
}
