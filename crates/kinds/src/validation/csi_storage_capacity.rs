//! CSIStorageCapacities (`pkg/apis/storage/validation`).

use object::Value;
use object::field::Errors;
use object::names;

use super::field::{Field, NEGATIVE};

const CAPACITY: &str = "io.k8s.api.storage.v1.CSIStorageCapacity";

/// Checks a CSIStorageCapacity, except its metadata.
pub fn validate_csi_storage_capacity(capacity: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(capacity, CAPACITY);
    let topology = root.child("nodeTopology");
    if topology.is_set() {
        errors.append(topology.selector().validate(&topology.path, false));
    }
    root.child("storageClassName").check(&mut errors, names::is_dns1123_subdomain);
    let amount = root.child("capacity");
    if amount.quantity().sign() < 0 {
        errors.invalid(&amount.path, amount.quantity().to_string(), NEGATIVE);
    }
    errors
}

/// Checks a change of a CSIStorageCapacity, except its metadata: it keeps saying how much room there is of the same.
pub fn validate_csi_storage_capacity_update(capacity: &Value, old: &Value) -> Errors {
    let mut errors = validate_csi_storage_capacity(capacity);
    let root = Field::root(capacity, CAPACITY);
    for name in ["nodeTopology", "storageClassName"] {
        root.child(name).check_immutable(&mut errors, old.get(name));
    }
    errors
}
