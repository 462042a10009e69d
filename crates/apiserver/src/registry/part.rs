//! Which part of an object a path changes.
//!
//! Subresources are told apart by group, plural name and their own name together: a custom resource may be called `pods`
//! and have a `status`, and nothing else of a pod.

use object::{Status, Value};
use schema::GroupResource;

use super::Endpoint;

/// Which part of an object an endpoint may change.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// All but `status`.
    Main,
    /// `status` and metadata.
    Status,
    /// What this says: it restores in the new object what may not change from the old one.
    Only(fn(&mut Value, &Value)),
}

impl Part {
    /// The part that a path changes.
    ///
    /// # Errors
    /// 405 for a subresource that cannot be changed.
    pub(super) fn of(endpoint: &Endpoint, subresource: &str) -> Result<Part, Status> {
        Ok(match (endpoint.def.group_resource(), subresource) {
            (_, "") => Part::Main,
            (_, "status") => Part::Status,
            (GroupResource::NAMESPACES, "finalize") => {
                Part::Only(|object, old| keep_all_but(object, old, "spec"))
            }
            (GroupResource::CERTIFICATE_SIGNING_REQUESTS, "approval") => Part::Only(keep_all_but_conditions),
            (GroupResource::PODS, "ephemeralcontainers") => Part::Only(keep_all_but_ephemeral_containers),
            (GroupResource::PODS, "resize") => Part::Only(keep_all_but_resources),
            (GroupResource { group, plural }, other) => {
                return Err(Status::method_not_supported(group, &format!("{plural}/{other}"), "update"));
            }
        })
    }
}

fn keep_all_but(object: &mut Value, old: &Value, member: &'static str) {
    let mut kept = old.clone();
    kept.set("metadata", object.get("metadata").clone());
    kept.set(member, object.get(member).clone());
    *object = kept;
}

/// An approval changes the conditions alone: the certificate is the signer's.
fn keep_all_but_conditions(object: &mut Value, old: &Value) {
    let mut kept = old.clone();
    kept.set("metadata", object.get("metadata").clone());
    kept.entry("status").set("conditions", object.at("status.conditions").clone());
    *object = kept;
}

/// Ephemeral containers are all that changes. Labels do not: they choose Services and policies, and are not for those who
/// may only debug.
fn keep_all_but_ephemeral_containers(object: &mut Value, old: &Value) {
    let changed = object.at("spec.ephemeralContainers").clone();
    *object = old.clone();
    object.entry("spec").set("ephemeralContainers", changed);
}

/// A resize changes the resources and the resize policies of containers, by their names, and no metadata.
fn keep_all_but_resources(object: &mut Value, old: &Value) {
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
