//! `resize` of pods: the resources and the resize policies of containers, by their names, and no metadata.

use async_trait::async_trait;
use object::{Status, Value};

use super::change::{Change, Make};
use super::{Answer, At, Way};

pub(super) struct Resize;

#[async_trait]
impl Way for Resize {
    async fn change(&self, at: &At<'_>, make: &mut dyn Make) -> Result<Answer, Status> {
        at.registry.modify(at.endpoint, at.call, Change::only(restore, FIELDS), make).await
    }
}

/// What it writes.
const FIELDS: &[&[&str]] = &[
    &["spec", "containers", "*", "resources"],
    &["spec", "containers", "*", "resizePolicy"],
    &["spec", "initContainers", "*", "resources"],
    &["spec", "initContainers", "*", "resizePolicy"],
];

fn restore(object: &mut Value, old: &Value) {
    let mut kept = old.clone();
    for list in ["containers", "initContainers"] {
        let Some(containers) = kept.entry("spec").get_mut(list) else { continue };
        for container in containers.items_mut() {
            let name = container.str_at("name").to_owned();
            let changed = object.get("spec").get(list).items().find(|c| c.str_at("name") == name);
            let Some(changed) = changed else { continue };
            for member in ["resources", "resizePolicy"] {
                match changed.get(member) {
                    Value::Null => drop(container.remove(member)),
                    value => container.set(member, value.clone()),
                }
            }
        }
    }
    *object = kept;
}
