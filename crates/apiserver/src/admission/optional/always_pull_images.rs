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
        Ok(())
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        if !concerns(what, object, old) {
            return Ok(());
        }
        let mut refusals = Vec::new();
        for (list, index, container) in containers(object) {
            let policy = container.str_at("imagePullPolicy");
            if policy != ALWAYS {
                let (spec, at) = (Path::root("spec"), index);
                let list = spec.child(list);
                let path = list.index(at);
                let error = Error::not_supported(&path.child("imagePullPolicy"), policy, &[ALWAYS]);
                refusals.push(what.forbidden(&error.to_string()).message);
            }
        }
        match refusals.as_slice() {
            [] => Ok(()),
            [one] => Err(Status { message: one.clone(), ..what.forbidden("") }),
            several => Err(Status { message: format!("[{}]", several.join(", ")), ..what.forbidden("") }),
        }
    }
}

/// Whether a pod comes, or gets an image that it did not have.
fn concerns(what: &Attributes<'_>, pod: &Value, old: &Value) -> bool {
    let images =
        |pod| containers(pod).map(|(.., container)| container.str_at("image")).collect::<HashSet<_>>();
    writes_pod(what, true) && (what.operation == Operation::Create || !images(pod).is_subset(&images(old)))
}
