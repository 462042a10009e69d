//! AlwaysPullImages: every start of a container asks the registry, so that an image which is on a node already is only for
//! those with the rights to pull it (upstream: `plugin/pkg/admission/alwayspullimages`).

use std::collections::HashSet;

use async_trait::async_trait;
use object::field::{Error, Path};
use object::{Status, Value};

use super::{CONTAINERS, containers, writes_pod};
use crate::admission::{Attributes, Operation, Plugin};

const ALWAYS: &str = "Always";

/// The plugin.
pub struct AlwaysPullImages;

#[async_trait]
impl Plugin for AlwaysPullImages {
    fn name(&self) -> &'static str {
        "AlwaysPullImages"
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, old: &Value) -> Result<(), Status> {
        if !concerns(what, object, old) {
            return Ok(());
        }
        let spec = object.entry("spec");
        for list in CONTAINERS {
            for container in spec.get_mut(list).into_iter().flat_map(Value::items_mut) {
                container.set("imagePullPolicy", ALWAYS);
            }
        }
        for volume in spec.get_mut("volumes").into_iter().flat_map(Value::items_mut) {
            if let Some(image) = volume.get_mut("image") {
                image.set("pullPolicy", ALWAYS);
            }
        }
        Ok(())
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        if !concerns(what, object, old) {
            return Ok(());
        }
        let spec = Path::root("spec");
        let mut refusals = Vec::new();
        let mut check = |path: Path<'_>, policy: &str| {
            if policy != ALWAYS {
                let error = Error::not_supported(&path, policy, &[ALWAYS]);
                refusals.push(what.forbidden(&error.to_string()).message);
            }
        };
        for (list, index, container) in containers(object) {
            let list = spec.child(list);
            check(list.index(index).child("imagePullPolicy"), container.str_at("imagePullPolicy"));
        }
        for (index, image) in image_volumes(object) {
            let volumes = spec.child("volumes");
            check(volumes.index(index).child("image").child("pullPolicy"), image.str_at("pullPolicy"));
        }
        match refusals.as_slice() {
            [] => Ok(()),
            [one] => Err(Status { message: one.clone(), ..what.forbidden("") }),
            several => Err(Status { message: format!("[{}]", several.join(", ")), ..what.forbidden("") }),
        }
    }
}

/// The images that are volumes of a pod, with the places of the volumes.
fn image_volumes(pod: &Value) -> impl Iterator<Item = (usize, &Value)> {
    let volumes = pod.at("spec.volumes").items().map(|volume| volume.get("image"));
    volumes.enumerate().filter(|(_, image)| !image.is_null())
}

/// Whether a pod comes, or gets an image that it did not have.
fn concerns(what: &Attributes<'_>, pod: &Value, old: &Value) -> bool {
    fn images(pod: &Value) -> HashSet<&str> {
        let of_containers = containers(pod).map(|(.., container)| container.str_at("image"));
        of_containers.chain(image_volumes(pod).map(|(_, image)| image.str_at("reference"))).collect()
    }
    writes_pod(what, true) && (what.operation == Operation::Create || !images(pod).is_subset(&images(old)))
}
