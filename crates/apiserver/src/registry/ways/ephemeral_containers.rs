//! `ephemeralcontainers` of pods: nothing else can be changed. Labels in particular stay, because Services and policies
//! select by them, and users who may only debug must not change that.

use async_trait::async_trait;
use object::{Status, Value};

use super::change::{Change, Make};
use super::{Answer, At, Way};

pub(super) struct EphemeralContainers;

#[async_trait]
impl Way for EphemeralContainers {
    async fn change(&self, at: &At<'_>, make: &mut dyn Make) -> Result<Answer, Status> {
        at.registry.modify(at.endpoint, at.call, Change::only(restore, FIELDS), make).await
    }
}

/// What it writes.
const FIELDS: &[&[&str]] = &[&["spec", "ephemeralContainers"]];

fn restore(object: &mut Value, old: &Value) {
    let changed = object.at("spec.ephemeralContainers").clone();
    *object = old.clone();
    object.entry("spec").set("ephemeralContainers", changed);
}
