//! PodTopologyLabels: a pod that gets a node has the labels of the node's zone and region (upstream:
//! `plugin/pkg/admission/podtopologylabels`; KEP-4742).

use async_trait::async_trait;
use object::{Status, Value};
use schema::GroupResource;

use super::{Attributes, Operation, Plugin};

/// The labels that pods get.
pub(crate) const TOPOLOGY_LABELS: [&str; 2] =
    ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// The plugin.
pub struct TopologyLabels;

#[async_trait]
impl Plugin for TopologyLabels {
    fn name(&self) -> &'static str {
        "PodTopologyLabels"
    }

    fn wants_reinvocation(&self) -> bool {
        true
    }

    async fn admit(&self, what: &Attributes<'_>, object: &mut Value, _old: &Value) -> Result<(), Status> {
        if what.operation != Operation::Create {
            return Ok(());
        }
        let node = if what.is(GroupResource::PODS) {
            object.str_at("spec.nodeName")
        } else if what.is_part(GroupResource::PODS, "binding") && object.str_at("target.kind") == "Node" {
            // The labels of a binding become those of its pod.
            object.str_at("target.name")
        } else {
            return Ok(());
        };
        if node.is_empty() {
            return Ok(());
        }
        let Some(node) = what.reader.find(GroupResource::NODES, "", node).await? else { return Ok(()) };
        let node = node.tree();
        for label in TOPOLOGY_LABELS {
            let value = node.at("metadata.labels").get(label);
            if !value.is_null() {
                object.entry("metadata").entry("labels").set(label, value.clone());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::TestServer;

    const PODS: &str = "/api/v1/namespaces/default/pods";

    async fn server() -> TestServer {
        let server = TestServer::start().await;
        let account = value!({"metadata": {"name": "default"}});
        server.create("", "serviceaccounts", "default", account).await.unwrap();
        let labels = value!({
            "topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r",
            "topology.kubernetes.io/rack": "7", "sub.topology.kubernetes.io/zone": "b"
        });
        for (name, labels) in [("here", labels), ("plain", value!({"color": "red"}))] {
            let node = value!({"metadata": {"name": name, "labels": (labels)}});
            server.create("", "nodes", "", node).await.unwrap();
        }
        server
    }

    fn pod(name: &str, node: Option<&str>) -> Value {
        let mut pod = value!({
            "metadata": {"name": name, "labels": {"app": "p", "topology.kubernetes.io/zone": "old"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}
        });
        if let Some(node) = node {
            pod.entry("spec").set("nodeName", node);
        }
        pod
    }

    /// The labels of a pod that is on a node with labels, and of one that is not.
    fn expected() -> [Value; 2] {
        let here = value!({
            "app": "p", "topology.kubernetes.io/zone": "a", "topology.kubernetes.io/region": "r"
        });
        [here, value!({"app": "p", "topology.kubernetes.io/zone": "old"})]
    }

    #[tokio::test]
    async fn a_bound_pod_is_where_its_node_is() {
        let server = server().await;
        let [here, elsewhere] = expected();
        for (name, target, labels) in [
            ("p", value!({"kind": "Node", "name": "here"}), &here),
            ("q", value!({"kind": "Node", "name": "plain"}), &elsewhere),
            ("r", value!({"kind": "Node", "name": "missing"}), &elsewhere),
            ("s", value!({"name": "here"}), &elsewhere),
        ] {
            server.json("POST", PODS, &pod(name, None)).await.unwrap();
            let binding = value!({"metadata": {"name": name}, "target": (target)});
            server.json("POST", &format!("{PODS}/{name}/binding"), &binding).await.unwrap();
            let bound = server.get("", "pods", "default", name).await.unwrap();
            assert_eq!(bound.at("metadata.labels"), labels, "{name}");
        }
    }

    #[tokio::test]
    async fn a_pod_that_comes_with_a_node_is_where_that_is() {
        let server = server().await;
        let [here, elsewhere] = expected();
        for (name, node, labels) in [
            ("p", Some("here"), &here),
            ("q", Some("plain"), &elsewhere),
            ("r", Some("missing"), &elsewhere),
            ("s", None, &elsewhere),
        ] {
            let made = server.json("POST", PODS, &pod(name, node)).await.unwrap();
            assert_eq!(made.at("metadata.labels"), labels, "{name}");
        }
        let mut moved = server.get("", "pods", "default", "p").await.unwrap();
        moved.entry("metadata").set("labels", elsewhere.clone());
        let moved = server.json("PUT", &format!("{PODS}/p"), &moved).await.unwrap();
        assert_eq!(*moved.at("metadata.labels"), elsewhere, "later changes of labels are the client's");
    }
}
