//! CustomResourceDefinition

use object::{Value, field, value};

use crate::strategy::{Strategy, restore};
use crate::table::{Column, NAME, cells, name};
use crate::{defaults, validation};

/// The finalizer of a definition whose objects are to be deleted first.
pub const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// The versions in which objects of the kind may be stored are recorded in the status by every write. A deletion waits
/// until the objects are gone.
pub(crate) struct CustomResourceDefinitions;

impl Strategy for CustomResourceDefinitions {
    fn default(&self, object: &mut Value) {
        defaults::default_custom_resource_definition(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", value!({}));
        record_stored_version(object);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        restore(object, old, "status");
        record_stored_version(object);
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_custom_resource_definition(object)
    }

    fn validate_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_custom_resource_definition_update(object, old)
    }

    fn validate_status_update(&self, object: &Value, _old: &Value) -> field::Errors {
        validation::validate_custom_resource_definition_status_update(object)
    }

    /// Patterns and rules.
    fn takes_long(&self, _definition: &Value) -> bool {
        true
    }

    fn has_status(&self) -> bool {
        true
    }

    fn updates_unconditionally(&self) -> bool {
        false
    }

    /// Until it has begun, a deletion waits for [`Strategy::prepare_deletion`] to add the finalizer.
    fn blocks_deletion(&self, object: &Value) -> bool {
        object.at("metadata.deletionTimestamp").is_null()
    }

    fn prepare_deletion(&self, object: &mut Value) {
        let time = object.at("metadata.deletionTimestamp").clone();
        let finalizers = object.entry("metadata").entry("finalizers");
        let own = Value::from(CLEANUP_FINALIZER);
        match finalizers.as_list_mut() {
            Some(list) if list.contains(&own) => return,
            Some(list) => list.push(own),
            None => *finalizers = Value::from(vec![own]),
        }
        let condition = value!({
            "type": "Terminating", "status": "True", "reason": "InstanceDeletionPending",
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        });
        set_condition(object, condition, time);
    }

    fn warnings(&self, object: &Value, old: Option<&Value>) -> Vec<String> {
        validation::custom_resource_definition_warnings(object, old)
    }

    fn columns(&self) -> &'static [Column] {
        const {
            &[
                NAME,
                Column::text("Scope", "Whether the objects live in namespaces."),
                Column::text("Versions", "The served versions, and which of them is stored."),
                Column { kind: "date", ..Column::text("Created At", "When the definition was created.") },
                Column::text("Group", "The API group.").wide(),
                Column::text("Kind", "The kind of the objects.").wide(),
                Column::text("ShortNames", "The short names.").wide(),
                Column::boolean("Established", "Whether the objects are served.").wide(),
            ]
        }
    }

    fn row(&self, object: &Value, _clock: &clock::Clock) -> Vec<Value> {
        let spec = object.get("spec");
        let is_on = |version: &Value, what: &str| version.get(what).as_bool() == Some(true);
        let served = spec.get("versions").items().filter(|version| is_on(version, "served"));
        let mut versions: Vec<String> = served
            .map(|version| {
                let stored = if is_on(version, "storage") { "(storage)" } else { "" };
                format!("{}{stored}", version.str_at("name"))
            })
            .collect();
        versions.sort();
        let short: Vec<&str> = spec.at("names.shortNames").items().filter_map(Value::as_str).collect();
        cells![
            name(object),
            spec.str_at("scope"),
            versions.join(","),
            object.str_at("metadata.creationTimestamp"),
            spec.str_at("group"),
            spec.str_at("names.kind"),
            short.join(","),
            is_condition_true(object, "Established"),
        ]
    }
}

/// Whether a definition has a condition.
pub fn is_condition_true(definition: &Value, condition: &str) -> bool {
    let is_it = |other: &Value| other.str_at("type") == condition && other.str_at("status") == "True";
    definition.at("status.conditions").items().any(is_it)
}

/// Sets a condition of a definition, whose status changes at `time` if it does.
pub fn set_condition(definition: &mut Value, mut condition: Value, time: Value) {
    let conditions = definition.entry("status").entry("conditions");
    if conditions.as_list().is_none() {
        *conditions = Value::from(Vec::new());
    }
    let Some(list) = conditions.as_list_mut() else { return };
    let old = list.iter_mut().find(|old| old.str_at("type") == condition.str_at("type"));
    let kept = old.as_ref().filter(|old| old.get("status") == condition.get("status"));
    let kept = kept.map(|old| old.get("lastTransitionTime").clone()).filter(|time| !time.is_null());
    condition.set("lastTransitionTime", kept.unwrap_or(time));
    match old {
        Some(old) => *old = condition,
        None => list.push(condition),
    }
}

fn record_stored_version(object: &mut Value) {
    let is_stored = |version: &&Value| version.get("storage").as_bool() == Some(true);
    let Some(stored) = object.at("spec.versions").items().find(is_stored) else { return };
    let stored = stored.get("name").clone();
    let versions = object.entry("status").entry("storedVersions");
    match versions.as_list_mut() {
        Some(list) if list.contains(&stored) => {}
        Some(list) => list.push(stored),
        None => *versions = Value::from(vec![stored]),
    }
}

#[cfg(test)]
mod tests;
