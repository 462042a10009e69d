//! A model of the store's content, updated change by change, and queries on it.

use std::collections::BTreeMap;

use object::Value;
use simulation::Change;

/// All objects by their key below `/registry/`.
#[derive(Default)]
pub(crate) struct Model {
    objects: BTreeMap<String, Value>,
}

impl Model {
    pub(crate) fn apply(&mut self, change: &Change) {
        if change.new.is_null() {
            self.objects.remove(&change.key);
        } else {
            self.objects.insert(change.key.clone(), change.new.clone());
        }
    }

    /// The objects of a collection, such as `pods` or `services/specs`.
    pub(crate) fn all<'m>(&'m self, collection: &str) -> impl Iterator<Item = &'m Value> + use<'m> {
        let prefix = format!("{collection}/");
        let from = self.objects.range(prefix.clone()..);
        from.take_while(move |(key, _)| key.starts_with(&prefix)).map(|(_, object)| object)
    }

    pub(crate) fn everything(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.objects.iter().map(|(key, object)| (&**key, object))
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.objects.get(key)
    }

    /// The pods that this object controls.
    pub(crate) fn pods_of<'m>(&'m self, owner: &Value) -> impl Iterator<Item = &'m Value> + use<'m> {
        let uid = uid(owner).to_owned();
        self.all("pods").filter(move |pod| controller(pod).is_some_and(|by| by.str_at("uid") == uid))
    }
}

pub(crate) fn uid(object: &Value) -> &str {
    object.str_at("metadata.uid")
}

pub(crate) fn name(object: &Value) -> String {
    format!("{}/{}", object.str_at("metadata.namespace"), object.str_at("metadata.name"))
}

/// The reference to the object's controller.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    object
        .at("metadata.ownerReferences")
        .items()
        .find(|owner| owner.get("controller").as_bool() == Some(true))
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    !object.at("metadata.deletionTimestamp").is_null()
}

pub(crate) fn is_over(pod: &Value) -> bool {
    matches!(pod.str_at("status.phase"), "Succeeded" | "Failed")
}

/// Whether a pod counts for its controller.
pub(crate) fn is_active(pod: &Value) -> bool {
    !is_over(pod) && !is_deleting(pod)
}

pub(crate) fn has_condition(object: &Value, kind: &str) -> bool {
    let mut conditions = object.at("status.conditions").items();
    conditions.any(|condition| condition.str_at("type") == kind && condition.str_at("status") == "True")
}

pub(crate) fn number(object: &Value, path: &str) -> i64 {
    object.at(path).as_i64().unwrap_or(0)
}

/// Whether an object has these labels.
pub(crate) fn matches(labels: &Value, object: &Value) -> bool {
    labels.entries().all(|(key, value)| object.at_path(&["metadata", "labels", key]) == value)
}

/// An amount of CPU in thousandths, or of memory in MiB, as the workload writes them.
pub(crate) fn amount(text: &str) -> i64 {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: i64 = digits.parse().unwrap_or(0);
    match &text[digits.len()..] {
        "m" | "Mi" => number,
        "Gi" => number * 1024,
        "" => number * 1000,
        unit => panic!("the workload does not write amounts in {unit}"),
    }
}

/// A pod's request for a resource.
pub(crate) fn request(pod: &Value, resource: &str) -> i64 {
    let containers = pod.at("spec.containers").items();
    containers
        .map(|container| {
            amount(container.at_path(&["resources", "requests", resource]).as_str().unwrap_or("0m"))
        })
        .sum()
}
