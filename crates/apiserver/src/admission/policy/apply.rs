//! What mutations do to an object (`plugin/policy/mutating/patch`).

use object::{Status, Value};

use super::super::Attributes;
use super::super::matching::View;

/// An object with the fields of a configuration.
///
/// # Errors
/// Why it cannot be applied.
pub(super) fn configuration(mut config: Value, view: &View, what: &Attributes<'_>) -> Result<Value, String> {
    let ty = what.shapes.type_of(&view.shape, what.subresource);
    let ty = ty.ok_or_else(|| format!("Resource kind {} not found", view.shape.kind().kind))?;
    for member in ["apiVersion", "kind"] {
        config.set(member, view.object.get(member).clone());
    }
    let typed =
        |why: String| format!("error applying patch: failed to convert patch object to typed object: {why}");
    managedfields::check(&config, &ty).map_err(typed)?;
    let atomics = managedfields::atomics(&config, &ty);
    if !atomics.is_empty() {
        return Err(format!(
            "error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {}",
            atomics.join(", ")
        ));
    }
    managedfields::merge(&view.object, &config, &ty)
        .map_err(|why| format!("error applying patch: failed to merge patch: {why}"))
}

/// An object after a JSON patch; none if a test in it says that it is not meant.
///
/// # Errors
/// Why it cannot be applied.
pub(super) fn json_patch(operations: Value, view: &View) -> Result<Option<Value>, String> {
    let mut operations = operations;
    for operation in operations.items_mut() {
        // `from` of an operation that has none.
        if operation.get("from").as_str() == Some("") {
            operation.remove("from");
        }
    }
    match object::patch::json_patch(view.object.clone(), &operations) {
        Ok(patched) => Ok(Some(patched)),
        Err(error) if error.is_failed_test() => Ok(None),
        Err(error) => Err(format!("JSON Patch: {error}")),
    }
}

/// The patched object as its kind has it, with defaults.
pub(super) fn complete(patched: Value, view: &View, what: &Attributes<'_>) -> Result<Value, Status> {
    what.shapes.complete(patched, &view.shape, what.subresource)
}
