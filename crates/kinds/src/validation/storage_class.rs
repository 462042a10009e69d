//! StorageClasses (`pkg/apis/storage/validation`), and what other classes of volumes share with them.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use object::field::{Error, Errors};
use object::{Value, names};

use super::field::Field;

const CLASS: &str = "io.k8s.api.storage.v1.StorageClass";
/// How many parameters a class may have.
const PARAMETERS_MAX: usize = 512;
/// How long the names and values of all parameters may be together.
const PARAMETERS_BYTES_MAX: usize = 256 << 10;

/// Checks a StorageClass, except its metadata.
pub fn validate_storage_class(class: &Value) -> Errors {
    let mut errors = Errors::new();
    let root = Field::root(class, CLASS);
    validate_provisioner(&mut errors, &root.child("provisioner"));
    validate_parameters(&mut errors, &root.child("parameters"));
    let policy = root.child("reclaimPolicy");
    if !policy.is_empty() {
        policy.check_known(&mut errors, &["Delete", "Retain"]);
    }
    let mode = root.child("volumeBindingMode");
    match mode.is_set() {
        true => mode.check_known(&mut errors, &["Immediate", "WaitForFirstConsumer"]),
        false => mode.required(&mut errors, ""),
    }
    validate_topologies(&mut errors, &root.child("allowedTopologies"));
    errors
}

/// Checks a change of a StorageClass, except its metadata: what volumes were made from it stays true.
pub fn validate_storage_class_update(class: &Value, old: &Value) -> Errors {
    let mut errors = validate_storage_class(class);
    let root = Field::root(class, CLASS);
    for name in ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"] {
        root.child(name).check_constant(&mut errors, old.get(name));
    }
    errors
}

/// Checks the name of a driver, in any case.
pub(super) fn validate_provisioner(errors: &mut Errors, provisioner: &Field<'_, '_>) {
    if provisioner.is_empty() {
        return provisioner.required(errors, "");
    }
    let name = provisioner.text().to_lowercase();
    errors.invalid_each(&provisioner.path, name.as_str(), names::is_qualified_name(&name));
}

/// Checks what a driver is told, which only the driver understands.
pub(super) fn validate_parameters(errors: &mut Errors, parameters: &Field<'_, '_>) {
    if parameters.len() > PARAMETERS_MAX {
        return errors.push_with(|| Error::too_long(&parameters.path, PARAMETERS_MAX));
    }
    let mut bytes = 0;
    for (name, value) in parameters.value.entries() {
        if name.is_empty() {
            errors.invalid(&parameters.path, name, "field can not be empty.");
        }
        bytes += name.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > PARAMETERS_BYTES_MAX {
        errors.push_with(|| Error::too_long(&parameters.path, PARAMETERS_BYTES_MAX));
    }
}

/// Checks where volumes may be. A term that says the same as another one, or nothing, is a duplicate.
fn validate_topologies(errors: &mut Errors, terms: &Field<'_, '_>) {
    let mut seen = HashSet::from([BTreeMap::new()]);
    for term in terms.items() {
        let expressions = term.child("matchLabelExpressions");
        let mut wanted = BTreeMap::new();
        for expression in expressions.items() {
            let values = validate_expression(errors, &expression);
            let key = expression.child("key");
            if wanted.insert(key.text(), values).is_some() {
                key.duplicate(errors);
            }
        }
        if !seen.insert(wanted) {
            errors.push_with(|| Error::duplicate(&expressions.path, ""));
        }
    }
}

/// Checks one label with its values, and returns the values.
fn validate_expression<'v>(errors: &mut Errors, expression: &Field<'v, '_>) -> BTreeSet<&'v str> {
    let (key, values) = (expression.child("key"), expression.child("values"));
    values.check_present(errors);
    let mut seen = BTreeSet::new();
    for value in values.items() {
        if !seen.insert(value.text()) {
            value.duplicate(errors);
        }
    }
    key.check(errors, names::is_qualified_name);
    seen
}
