//! CustomResourceDefinition

use object::{Value, value};

use crate::defaults;
use crate::strategy::{Strategy, restore};

/// The versions in which objects of the kind may be stored are recorded in the status by every write.
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

    fn has_status(&self) -> bool {
        true
    }

    fn updates_unconditionally(&self) -> bool {
        false
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
mod tests {
    use super::*;

    #[test]
    fn a_version_once_stored_stays_recorded() {
        let versions = |stored: &str| {
            let version = |name: &str| value!({"name": name, "served": true, "storage": (name == stored)});
            value!({"versions": [(version("v1")), (version("v2"))]})
        };
        let mut old = value!({"spec": (versions("v1")), "status": {"storedVersions": ["v0"]}});
        CustomResourceDefinitions.prepare_create(&mut old);
        assert_eq!(old.get("status"), &value!({"storedVersions": ["v1"]}));
        let mut new = value!({"spec": (versions("v2"))});
        CustomResourceDefinitions.prepare_update(&mut new, &old);
        assert_eq!(new.get("status"), &value!({"storedVersions": ["v1", "v2"]}));
    }
}
