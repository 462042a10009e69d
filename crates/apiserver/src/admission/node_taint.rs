//! TaintNodesByCondition: a new node takes no pods until it is known to be ready (upstream:
//! `plugin/pkg/admission/nodetaint`).
//!
//! The node lifecycle controller removes the taint.

use async_trait::async_trait;
use object::{Status, Value, value};
use schema::GroupResource;
use semantics::{Effect, taints};

use super::{Attributes, Operation, Plugin};

/// The key of the taint.
const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// The plugin.
pub struct TaintNodesByCondition;

#[async_trait]
impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if !what.is(GroupResource::NODES) || what.operation != Operation::Create {
            return Ok(());
        }
        let ours = |taint: &semantics::Taint| &*taint.key == NOT_READY && taint.effect == Effect::NoSchedule;
        if taints(object).iter().any(ours) {
            return Ok(());
        }
        let taint = value!({"key": NOT_READY, "effect": "NoSchedule"});
        let taints = object.entry("spec").entry("taints");
        match taints.as_list_mut() {
            Some(list) => list.push(taint),
            None => *taints = Value::from(vec![taint]),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TestServer;

    /// A node's taints, as `KEY:EFFECT`.
    fn named(node: &Value) -> Vec<String> {
        let taints = node.at("spec.taints").items();
        taints.map(|taint| format!("{}:{}", taint.str_at("key"), taint.str_at("effect"))).collect()
    }

    #[tokio::test]
    async fn a_new_node_is_not_ready() {
        let server = TestServer::start().await;
        let cases = [
            (value!([]), vec!["node.kubernetes.io/not-ready:NoSchedule"]),
            (
                value!([{"key": "gpu", "effect": "NoSchedule"}, {"key": NOT_READY, "effect": "NoExecute"}]),
                vec![
                    "gpu:NoSchedule",
                    "node.kubernetes.io/not-ready:NoExecute",
                    "node.kubernetes.io/not-ready:NoSchedule",
                ],
            ),
            (
                value!([{"key": NOT_READY, "effect": "NoSchedule"}]),
                vec!["node.kubernetes.io/not-ready:NoSchedule"],
            ),
        ];
        for (taints, expected) in cases {
            let node = value!({"metadata": {"name": "n"}, "spec": {"taints": (taints)}});
            let made = server.json("POST", "/api/v1/nodes?dryRun=All", &node).await.unwrap();
            assert_eq!(named(&made), expected);
        }
    }

    #[tokio::test]
    async fn an_existing_node_is_left_alone() {
        let server = TestServer::start().await;
        let mut node = server.create("", "nodes", "", value!({"metadata": {"name": "n"}})).await.unwrap();
        node.entry("spec").remove("taints");
        let changed = server.json("PUT", "/api/v1/nodes/n", &node).await.unwrap();
        assert!(named(&changed).is_empty());
    }
}
