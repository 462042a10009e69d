//! ExtendedResourceToleration: a pod that asks for an extended resource tolerates the taint of its name, with which nodes
//! that have it are kept free of others (upstream: `plugin/pkg/admission/extendedresourcetoleration`).

use std::collections::BTreeSet;

use async_trait::async_trait;
use object::{Status, Value, value};

use super::{containers, writes_pod};
use crate::admission::{Attributes, Plugin};

/// The plugin.
pub struct ExtendedResourceToleration;

#[async_trait]
impl Plugin for ExtendedResourceToleration {
    fn name(&self) -> &'static str {
        "ExtendedResourceToleration"
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if !writes_pod(what, true) {
            return Ok(());
        }
        let resources: BTreeSet<String> = containers(object)
            .filter(|(list, ..)| *list != "ephemeralContainers")
            .flat_map(|(.., container)| container.at("resources.requests").entries())
            .map(|(resource, _)| resource)
            .filter(|resource| semantics::quota::is_extended(resource))
            .map(str::to_owned)
            .collect();
        if !resources.is_empty() {
            add(object, resources);
        }
        Ok(())
    }
}

/// Adds tolerations of the taints of these names. One that there is already keeps its place, and loses its time.
fn add(pod: &mut Value, mut resources: BTreeSet<String>) {
    let of = |name: &str| value!({"key": name, "operator": "Exists", "effect": "NoSchedule"});
    let tolerations = pod.entry("spec").entry("tolerations");
    if tolerations.as_list().is_none() {
        *tolerations = Value::from(Vec::new());
    }
    let Some(list) = tolerations.as_list_mut() else { return };
    for toleration in list.iter_mut() {
        let is_such = toleration.str_at("operator") == "Exists"
            && toleration.str_at("effect") == "NoSchedule"
            && toleration.str_at("value").is_empty();
        if is_such && let Some(name) = resources.take(toleration.str_at("key")) {
            *toleration = of(&name);
        }
    }
    list.extend(resources.iter().map(|name| of(name)));
}
