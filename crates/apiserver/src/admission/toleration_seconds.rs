//! DefaultTolerationSeconds: pods stay for five minutes on a node that is not ready or cannot be reached.

use async_trait::async_trait;
use object::{Status, Value, value};
use schema::GroupResource;

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
            if object.at("spec.tolerations").items().any(|toleration| covers(toleration, taint)) {
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

/// Whether a toleration says something of a taint's NoExecute effect already.
fn covers(toleration: &Value, taint: &str) -> bool {
    let key = toleration.str_at("key");
    let effect = toleration.str_at("effect");
    (key == taint || key.is_empty()) && (effect == "NoExecute" || effect.is_empty())
}
