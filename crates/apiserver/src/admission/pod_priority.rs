//! Priority: resolves a pod's priority class to a number, and keeps the default class unique (upstream:
//! `plugin/pkg/admission/priority`).

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

use super::{Attributes, Operation, Plugin};

const CLASSES: GroupResource<'static> = GroupResource::new("scheduling.k8s.io", "priorityclasses");

/// The plugin.
pub struct PodPriority;

#[async_trait]
impl Plugin for PodPriority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, old: &Value) -> Result<(), Status> {
        if !what.is(GroupResource::PODS) {
            return Ok(());
        }
        match what.operation {
            Operation::Create => admit_pod(what, object).await,
            Operation::Update => {
                // A client that does not know the fields leaves them unchanged.
                for name in ["priority", "preemptionPolicy"] {
                    let before = old.get("spec").get(name);
                    if !before.is_null() {
                        object.entry("spec").set_default(name, before.clone());
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, _old: &Value) -> Result<(), Status> {
        let is_written = matches!(what.operation, Operation::Create | Operation::Update);
        if !what.is(CLASSES) || !is_written || object.get("globalDefault").as_bool() != Some(true) {
            return Ok(());
        }
        what.reader.catch_up().await?;
        let Some(present) = global_default(what) else { return Ok(()) };
        let name = present.str_at("metadata.name");
        if what.operation == Operation::Update && name == object.str_at("metadata.name") {
            return Ok(());
        }
        let why = format!("PriorityClass {name} is already marked as default. Only one default can exist");
        Err(what.forbidden(&why))
    }
}

async fn admit_pod(what: &Attributes<'_>, pod: &mut Value) -> Result<(), Status> {
    let name = pod.str_at("spec.priorityClassName").to_owned();
    let class = if name.is_empty() { global_default(what) } else { Some(named(what, &name).await?) };
    let priority = class.as_ref().and_then(|class| class.get("value").as_i64()).unwrap_or(0);
    let policy = class.as_ref().map_or("", |class| class.str_at("preemptionPolicy"));
    let policy = if policy.is_empty() { "PreemptLowerPriority" } else { policy };
    if let Some(given) = pod.at("spec.priority").as_i64().filter(|given| *given != priority) {
        let why = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name"
        );
        return Err(what.forbidden(&why));
    }
    if let Some(given) = pod.at("spec.preemptionPolicy").as_str().filter(|given| *given != policy) {
        let why = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        );
        return Err(what.forbidden(&why));
    }
    let spec = pod.entry("spec");
    if let Some(class) = &class {
        spec.set("priorityClassName", class.str_at("metadata.name"));
    }
    spec.set("priority", priority);
    spec.set("preemptionPolicy", policy);
    Ok(())
}

fn global_default(what: &Attributes<'_>) -> Option<Arc<Value>> {
    let classes = what.reader.all(CLASSES);
    let defaults = classes.values().map(object::Versioned::tree);
    // If there are several defaults, the lowest counts, as upstream decides.
    defaults
        .filter(|class| class.get("globalDefault").as_bool() == Some(true))
        .min_by_key(|class| class.get("value").as_i64().unwrap_or_default())
}

async fn named(what: &Attributes<'_>, name: &str) -> Result<Arc<Value>, Status> {
    let class = what.reader.find(CLASSES, "", name).await?;
    class
        .map(|class| class.tree())
        .ok_or_else(|| what.forbidden(&format!("no PriorityClass with name {name} was found")))
}
