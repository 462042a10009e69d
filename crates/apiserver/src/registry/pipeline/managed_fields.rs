//! Who manages which fields (`metadata.managedFields`).
//!
//! Every write passes here before admission, with everything that managing fields depends on: the manager, whether it
//! updates or applies, the subresource, the new and the current object. Until server-side apply is implemented, no
//! managers are recorded: those that clients send are dropped, and objects have none.

use object::Value;

use crate::admission::Operation;
use crate::registry::write::{Effect, ManagerOperation, WriteRequest};

/// The writer, as `managedFields` distinguishes managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manager<'a> {
    /// The name.
    pub name: &'a str,
    /// How it writes.
    pub operation: ManagerOperation,
    /// The version of the API in which it writes.
    pub api_version: &'a str,
    /// The subresource; empty for the object itself.
    pub subresource: &'a str,
    /// Whether it takes over the fields of others.
    pub force: bool,
}

/// Determines the managers of the new state.
pub(super) fn settle(write: &mut WriteRequest<'_>) {
    if matches!(write.effect, Effect::Act(_)) || write.operation == Operation::Delete {
        // The object is not stored.
        return;
    }
    let manager = Manager {
        name: &write.call.options.field_manager,
        operation: write.manages,
        api_version: write.endpoint.api_version(),
        subresource: write.call.subresource,
        force: write.call.options.force,
    };
    let (object, old) = write.seen_mut();
    update(&manager, object, old);
}

/// The fields that an update changes become its manager's.
fn update(_manager: &Manager<'_>, object: &mut Value, _old: &Value) {
    keep(object);
}

/// Undoes changes of an admission plugin to the managers, which it must not change.
pub(super) fn keep(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata") {
        metadata.remove("managedFields");
    }
}
