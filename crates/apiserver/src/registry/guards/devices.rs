//! Devices that are in use are for administrators: claims may ask for access to them only in namespaces that are labelled
//! for it (upstream: `pkg/apis/resource/validation`'s callers, `AuthorizedForAdmin`).

use async_trait::async_trait;
use object::field::{Error, Path};
use object::{Status, Value};
use schema::GroupResource;

use super::{Guard, Guards, Server, WriteRequest};
use crate::admission::Reader;
use crate::errors::from_cache;

const GROUP: &str = "resource.k8s.io";
const CLAIMS: GroupResource<'static> = GroupResource::new(GROUP, "resourceclaims");
const TEMPLATES: GroupResource<'static> = GroupResource::new(GROUP, "resourceclaimtemplates");
/// The label of a namespace whose claims may.
const LABEL: &str = "resource.kubernetes.io/admin-access";

/// Refuses access to devices that are in use outside of the namespaces for it.
pub(super) struct AdminAccess;

#[async_trait]
impl Guard for AdminAccess {
    fn concerns(&self, resource: GroupResource<'_>) -> bool {
        resource == CLAIMS || resource == TEMPLATES
    }

    async fn check(
        &self,
        guards: &Guards,
        write: &WriteRequest<'_>,
        server: &Server<'_>,
    ) -> Result<(), Status> {
        let (spec, status) = (Path::root("spec"), Path::root("status"));
        let (devices, allocation) = (spec.child("devices"), status.child("allocation"));
        let of_allocation = allocation.child("devices");
        let (list, found) = match write.old() {
            // What a claim asks for does not change.
            None => (devices.child("requests"), requested(write)),
            Some(old) if granted(old).is_none() => (of_allocation.child("results"), granted(&write.object)),
            Some(_) => return Ok(()),
        };
        let Some(index) = found else { return Ok(()) };
        // The label may have come or gone a moment ago.
        guards.parts()?.hub.catch_up().await.map_err(from_cache)?;
        let namespace = write.object.str_at("metadata.namespace");
        let namespace = server.get(GroupResource::NAMESPACES, "", namespace).map(|found| found.value());
        let label = namespace.as_ref().map(|found| found.at_path(&["metadata", "labels", LABEL]).as_str());
        if label.flatten() == Some("true") {
            return Ok(());
        }
        let why =
            format!("admin access to devices requires the `{LABEL}: true` label on the containing namespace");
        let error = Error::forbidden(&list.index(index).child("adminAccess"), why);
        let def = &write.endpoint.def;
        Err(Status::invalid(&def.group, &def.kind, write.name, &error.into()))
    }
}

fn wants(device: &Value) -> bool {
    device.get("adminAccess").as_bool() == Some(true)
}

/// The first request for such access. Alternatives cannot have any.
fn requested(write: &WriteRequest<'_>) -> Option<usize> {
    let spec = if write.resource() == TEMPLATES { "spec.spec" } else { "spec" };
    let requests = write.object.at(spec).at("devices.requests");
    requests.items().position(|request| wants(request.get("exactly")))
}

/// The first device of an allocation with such access.
fn granted(claim: &Value) -> Option<usize> {
    claim.at("status.allocation.devices.results").items().position(wants)
}
