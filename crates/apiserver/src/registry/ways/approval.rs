//! `approval` of CertificateSigningRequests: writes only their conditions. The signer writes the certificate.

use async_trait::async_trait;
use object::{Status, Value};

use super::change::{Change, Make};
use super::{Answer, At, Way};

pub(super) struct Approval;

#[async_trait]
impl Way for Approval {
    async fn change(&self, at: &At<'_>, make: &mut dyn Make) -> Result<Answer, Status> {
        at.registry.modify(at.endpoint, at.call, Change::only(restore, FIELDS), make).await
    }
}

/// What it writes.
const FIELDS: &[&[&str]] = &[&["metadata"], &["status", "conditions"]];

fn restore(object: &mut Value, old: &Value) {
    let mut kept = old.clone();
    kept.set("metadata", object.get("metadata").clone());
    kept.entry("status").set("conditions", object.at("status.conditions").clone());
    *object = kept;
}
