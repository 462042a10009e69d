//! DefaultTolerationSeconds: pods stay for five minutes on a node that is not ready or is unreachable.

use async_trait::async_trait;
use object::{Status, Value, value};
use schema::GroupResource;
use semantics::Effect;

use super::{Attributes, Operation, Plugin};

/// How long, in seconds.
const SECONDS: i64 = 300;
/// The taints that the node lifecycle controller sets.
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/// The plugin.
pub struct DefaultTolerationSeconds;

#[async_trait]
impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if !what.is(GroupResource::PODS) || what.operation != Operation::Create {
            return Ok(());
        }
        for taint in TAINTS {
            // An existing toleration for the taint, whatever its value.
            if semantics::tolerations(object)
                .iter()
                .any(|toleration| toleration.covers(taint, &Effect::NoExecute))
            {
                continue;
            }
            let toleration = value!({
                "key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS
            });
            let tolerations = object.entry("spec").entry("tolerations");
            match tolerations.as_list_mut() {
                Some(list) => list.push(toleration),
                None => *tolerations = Value::from(vec![toleration]),
            }
        }
        Ok(())
    }
}
