//! LimitRanger: containers get the defaults of their namespace, and what pods and claims ask for stays within its limits
//! (upstream: `plugin/pkg/admission/limitranger`).
//!
//! The LimitRanges come from the watch cache, which the server feeds itself and which is behind its store by moments
//! only. Upstream's informer may be behind for longer, so upstream asks the server when it knows of none.

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

use super::{Attributes, Operation, Plugin};

mod defaults;
mod limits;
#[cfg(test)]
mod tests;

const LIMIT_RANGES: GroupResource<'static> = GroupResource::new("", "limitranges");
const CLAIMS: GroupResource<'static> = GroupResource::new("", "persistentvolumeclaims");

/// The plugin.
pub struct LimitRanger;

#[async_trait]
impl Plugin for LimitRanger {
    fn name(&self) -> &'static str {
        "LimitRanger"
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, old: &Value) -> Result<(), Status> {
        if !is_pod(what) || is_deleting(old) {
            return Ok(());
        }
        for range in what.reader.in_namespace(LIMIT_RANGES, what.namespace) {
            defaults::fill_in(object, &range.tree());
        }
        Ok(())
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        let is_pod = is_pod(what);
        if !(is_pod || is_claim(what)) || is_deleting(old) {
            return Ok(());
        }
        for range in what.reader.in_namespace(LIMIT_RANGES, what.namespace) {
            let violations = if is_pod {
                limits::of_pod(&range.tree(), object, old)
            } else {
                limits::of_claim(&range.tree(), object, old)
            };
            if let Some(why) = joined(violations) {
                return Err(what.forbidden(&why));
            }
        }
        Ok(())
    }
}

/// Pods that come, and pods that are resized. Other updates do not change resources.
fn is_pod(what: &Attributes<'_>) -> bool {
    (what.operation == Operation::Create && what.is(GroupResource::PODS))
        || (what.operation == Operation::Update && what.is_part(GroupResource::PODS, "resize"))
}

fn is_claim(what: &Attributes<'_>) -> bool {
    matches!(what.operation, Operation::Create | Operation::Update) && what.is(CLAIMS)
}

fn is_deleting(old: &Value) -> bool {
    !old.at("metadata.deletionTimestamp").is_null()
}

/// All messages as one, each once; `None` if there are none.
fn joined(messages: Vec<String>) -> Option<String> {
    let mut each: Vec<String> = Vec::with_capacity(messages.len());
    let mut seen = std::collections::HashSet::new();
    each.extend(messages.into_iter().filter(|message| seen.insert(message.clone())));
    match each.len() {
        0 => None,
        1 => each.pop(),
        _ => Some(format!("[{}]", each.join(", "))),
    }
}
