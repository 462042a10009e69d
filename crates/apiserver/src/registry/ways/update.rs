//! Replacing objects with a body, and creating objects that an update finds missing.

use object::{Status, Value, field};

use super::super::{Answer, Call, Endpoint, Registry};
use super::change::{Change, check_name};
use super::create::Insertion;

impl Registry {
    /// Replaces an object (or its status).
    ///
    /// # Errors
    /// 404 if the object does not exist, 409 if it has changed since the client read it, 422 if the new state is not
    /// valid.
    pub async fn update(
        &self,
        endpoint: &Endpoint,
        call: &Call<'_>,
        object: Value,
    ) -> Result<Answer, Status> {
        check_name(call, &object)?;
        let change = if call.subresource.is_empty() { Change::MAIN } else { Change::STATUS };
        let mut replace = |_: &Value| check_version(endpoint, call, &object).map(|()| object.clone());
        let result = self.modify(endpoint, call, change, &mut replace).await;
        match result {
            // If something else is missing, such as the role of a binding, the update does not create it.
            Err(status)
                if status == endpoint.not_found(call.name)
                    && endpoint.strategy.creates_on_update()
                    && call.subresource.is_empty() =>
            {
                let uid = object.str_at("metadata.uid");
                if !uid.is_empty() {
                    // The client means one that is gone.
                    let why =
                        format!("Precondition failed: UID in precondition: {uid}, UID in object meta: ");
                    return Err(endpoint.conflict(call.name, &why));
                }
                let mut object = object;
                object.entry("metadata").remove("resourceVersion");
                self.insert_new(endpoint, call, object, Insertion::ByUpdate).await
            }
            result => result,
        }
    }
}

/// Checks that a replacement names the version that it replaces, if the kind requires that. Patches need not, because
/// they change the current version.
fn check_version(endpoint: &Endpoint, call: &Call<'_>, object: &Value) -> Result<(), Status> {
    let is_missing = matches!(object.str_at("metadata.resourceVersion"), "" | "0");
    if !is_missing || endpoint.strategy.updates_unconditionally() {
        return Ok(());
    }
    let root = field::Path::root("metadata");
    let error =
        field::Error::invalid(&root.child("resourceVersion"), 0i64, "must be specified for an update");
    Err(Status::invalid(&endpoint.def.group, &endpoint.def.kind, call.name, &error.into()))
}
