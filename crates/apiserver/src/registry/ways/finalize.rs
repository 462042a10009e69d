//! `finalize` of namespaces: the finalizers in `spec`, which delay a namespace's deletion.

use async_trait::async_trait;
use object::{Status, Value};

use super::change::{Change, Make};
use super::{Answer, At, Way};

pub(super) struct Finalize;

#[async_trait]
impl Way for Finalize {
    async fn change(&self, at: &At<'_>, make: &mut dyn Make) -> Result<Answer, Status> {
        at.registry.modify(at.endpoint, at.call, Change::only(restore, FIELDS), make).await
    }
}

/// What it writes.
const FIELDS: &[&[&str]] = &[&["metadata"], &["spec"]];

fn restore(object: &mut Value, old: &Value) {
    let mut kept = old.clone();
    kept.set("metadata", object.get("metadata").clone());
    kept.set("spec", object.get("spec").clone());
    *object = kept;
}
