//! LimitPodHardAntiAffinityTopology: required anti-affinity keeps others from a node, never from a whole zone (upstream:
//! `plugin/pkg/admission/antiaffinity`).

use async_trait::async_trait;
use object::{Status, Value};

use super::writes_pod;
use crate::admission::{Attributes, Plugin};

const REQUIRED: &str = "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution";
const HOST: &str = "kubernetes.io/hostname";

/// The plugin.
pub struct LimitPodHardAntiAffinityTopology;

#[async_trait]
impl Plugin for LimitPodHardAntiAffinityTopology {
    fn name(&self) -> &'static str {
        "LimitPodHardAntiAffinityTopology"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, _old: &Value) -> Result<(), Status> {
        if !writes_pod(what, true) {
            return Ok(());
        }
        let mut keys = object.at(REQUIRED).items().map(|term| term.str_at("topologyKey"));
        match keys.find(|key| *key != HOST) {
            None => Ok(()),
            Some(key) => {
                let why = format!(
                    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {key} but only key {HOST} is allowed"
                );
                let name = object.str_at("metadata.name");
                Err(Status::forbidden(what.resource.group, what.resource.plural, name, &why))
            }
        }
    }
}
