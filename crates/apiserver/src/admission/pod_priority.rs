//! Priority: a pod's class becomes its number.

use std::sync::Arc;

use async_trait::async_trait;
use object::{Status, Value};

use super::{Attributes, Operation, Plugin};
use crate::cache::{Collection, Hub};
use crate::errors::from_cache;

/// The plugin.
pub struct PodPriority {
    /// What tells how fresh the cache is.
    pub hub: Arc<Hub>,
    /// The priority classes.
    pub classes: Arc<Collection>,
}

#[async_trait]
impl Plugin for PodPriority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value) -> Result<(), Status> {
        if !what.is("", "pods") || what.operation != Operation::Create {
            return Ok(());
        }
        let name = object.str_at("spec.priorityClassName").to_owned();
        let class =
            if name.is_empty() { self.global_default() } else { Some(self.named(what, &name).await?) };
        let priority = class.as_ref().and_then(|class| class.get("value").as_i64()).unwrap_or(0);
        let policy = class.as_ref().map_or("", |class| class.str_at("preemptionPolicy"));
        let policy = if policy.is_empty() { "PreemptLowerPriority" } else { policy };
        if object.at("spec.priority").as_i64().is_some_and(|given| given != priority) {
            let why = format!(
                "the integer value of priority ({}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name",
                object.at("spec.priority").as_i64().unwrap_or_default(),
            );
            return Err(Status::forbidden("", "pods", what.name, &why));
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

impl PodPriority {
    fn global_default(&self) -> Option<Value> {
        let classes = self.classes.snapshot(&self.hub).objects;
        let defaults = classes.values().map(object::Versioned::value);
        // Of several defaults the lowest counts, as upstream decides.
        defaults
            .filter(|class| class.get("globalDefault").as_bool() == Some(true))
            .min_by_key(|class| class.get("value").as_i64().unwrap_or_default())
    }

    async fn named(&self, what: &Attributes<'_>, name: &str) -> Result<Value, Status> {
        if let Some(class) = self.classes.get("", name) {
            return Ok(class.value());
        }
        self.hub.catch_up().await.map_err(from_cache)?;
        self.classes.get("", name).map(|class| class.value()).ok_or_else(|| {
            let why = format!("no PriorityClass with name {name} was found");
            Status::forbidden("", "pods", what.name, &why)
        })
    }
}
