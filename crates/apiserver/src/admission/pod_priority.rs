//! Priority: resolves a pod's priority class to a number.

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

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if !what.is(GroupResource::PODS) || what.operation != Operation::Create {
            return Ok(());
        }
        let name = object.str_at("spec.priorityClassName").to_owned();
        let class = if name.is_empty() { global_default(what) } else { Some(named(what, &name).await?) };
        let priority = class.as_ref().and_then(|class| class.get("value").as_i64()).unwrap_or(0);
        let policy = class.as_ref().map_or("", |class| class.str_at("preemptionPolicy"));
        let policy = if policy.is_empty() { "PreemptLowerPriority" } else { policy };
        if object.at("spec.priority").as_i64().is_some_and(|given| given != priority) {
            let why = format!(
                "the integer value of priority ({}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name",
                object.at("spec.priority").as_i64().unwrap_or_default(),
            );
            return Err(what.forbidden(&why));
        }
        let spec = object.entry("spec");
        if let Some(class) = &class {
            spec.set("priorityClassName", class.str_at("metadata.name"));
        }
        spec.set("priority", priority);
        spec.set_default("preemptionPolicy", policy);
        Ok(())
    }
}

fn global_default(what: &Attributes<'_>) -> Option<Value> {
    let classes = what.reader.all(CLASSES);
    let defaults = classes.values().map(object::Versioned::value);
    // Of several defaults the lowest counts, as upstream decides.
    defaults
        .filter(|class| class.get("globalDefault").as_bool() == Some(true))
        .min_by_key(|class| class.get("value").as_i64().unwrap_or_default())
}

async fn named(what: &Attributes<'_>, name: &str) -> Result<Value, Status> {
    let class = what.reader.find(CLASSES, "", name).await?;
    class
        .map(|class| class.value())
        .ok_or_else(|| what.forbidden(&format!("no PriorityClass with name {name} was found")))
}
