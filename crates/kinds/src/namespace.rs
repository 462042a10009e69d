//! Namespace

use clock::Clock;
use object::{Value, field, value};

use crate::strategy::{NameRule, Strategy, restore};
use crate::table::{AGE, Column, NAME, age, cells, name};
use crate::{defaults, validation};

/// The finalizer of the controller that empties a namespace.
const FINALIZER: &str = "kubernetes";

/// The strategy of namespaces (`pkg/registry/core/namespace`): finalizers in the spec delay a deletion until the
/// namespace is empty, and the phase shows it in the meantime.
pub(crate) struct Namespaces;

impl Strategy for Namespaces {
    fn default(&self, object: &mut Value) {
        defaults::default_namespace(object);
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", value!({"phase": "Active"}));
        let finalizers = object.entry("spec").entry("finalizers");
        let own = Value::from(FINALIZER);
        match finalizers.as_list_mut() {
            Some(list) if list.contains(&own) => {}
            Some(list) => list.push(own),
            None => *finalizers = Value::from(vec![own]),
        }
    }

    /// Only `finalize` changes the finalizers.
    fn prepare_update(&self, object: &mut Value, old: &Value) {
        restore(object, old, "status");
        restore(object.entry("spec"), old.get("spec"), "finalizers");
    }

    fn validate(&self, object: &Value) -> field::Errors {
        validation::validate_namespace(object)
    }

    fn validate_status_update(&self, object: &Value, old: &Value) -> field::Errors {
        validation::validate_namespace_status_update(object, old)
    }

    fn validate_part_update(&self, _subresource: &str, object: &Value, _old: &Value) -> field::Errors {
        validation::validate_namespace_finalize(object)
    }

    fn name_rule(&self) -> NameRule {
        NameRule::Label
    }

    fn has_status(&self) -> bool {
        true
    }

    fn tracks_generation(&self) -> bool {
        false
    }

    fn selectable_fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("status.phase", object.str_at("status.phase").to_owned())]
    }

    fn selectable_field_names(&self) -> &'static [&'static str] {
        &["status.phase"]
    }

    fn blocks_deletion(&self, object: &Value) -> bool {
        !object.at("spec.finalizers").is_empty()
    }

    fn prepare_deletion(&self, object: &mut Value) {
        object.entry("status").set("phase", "Terminating");
    }

    fn columns(&self) -> &'static [Column] {
        const { &[NAME, Column::text("Status", "Whether the namespace is in use or being emptied."), AGE] }
    }

    fn row(&self, object: &Value, clock: &Clock) -> Vec<Value> {
        cells![name(object), object.str_at("status.phase"), age(object, clock)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_row, named};

    #[test]
    fn from_birth_to_end() {
        let mut namespace =
            named("n", value!({"spec": {"finalizers": ["a/b"]}, "status": {"phase": "Terminating"}}));
        Namespaces.prepare_create(&mut namespace);
        assert_eq!(namespace.at("spec.finalizers"), &value!(["a/b", "kubernetes"]));
        check_row(&Namespaces, &namespace, "n | Active | 3h");
        let mut update = namespace.clone();
        update.set("spec", value!({}));
        Namespaces.prepare_update(&mut update, &namespace);
        assert!(Namespaces.blocks_deletion(&update));
        Namespaces.prepare_deletion(&mut update);
        check_row(&Namespaces, &update, "n | Terminating | 3h");
        update.set("spec", value!({}));
        assert!(!Namespaces.blocks_deletion(&update));
    }
}
