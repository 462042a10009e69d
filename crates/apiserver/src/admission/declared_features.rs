//! NodeDeclaredFeatureValidator: a pod on a node is changed only in ways that the node has declared to support (upstream:
//! `plugin/pkg/admission/nodedeclaredfeatures`; KEP-5328).
//!
//! Of upstream's features, one concerns changes that validation lets pass: a new CPU request of a pod whose class is
//! Guaranteed.

use async_trait::async_trait;
use object::{Quantity, Status, Value, quote};
use schema::GroupResource;
use semantics::{Amounts, View};

use super::{Attributes, Operation, Plugin};

/// The feature of nodes that resize the CPUs of Guaranteed pods.
const GUARANTEED_CPU: &str = "GuaranteedQoSPodCPUResize";

/// The plugin.
pub struct DeclaredFeatures;

#[async_trait]
impl Plugin for DeclaredFeatures {
    fn name(&self) -> &'static str {
        "NodeDeclaredFeatureValidator"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        let is_change = what.is(GroupResource::PODS) || what.is_part(GroupResource::PODS, "resize");
        let name = object.str_at("spec.nodeName");
        if !is_change || what.operation != Operation::Update || name.is_empty() || !resizes_cpus(object, old)
        {
            return Ok(());
        }
        let Some(node) = what.reader.find(GroupResource::NODES, "", name).await? else {
            return Err(what.forbidden(&format!("node {} not found", quote(name))));
        };
        let declared = node.tree();
        let mut declared = declared.at("status.declaredFeatures").items();
        if declared.any(|feature| feature.as_str() == Some(GUARANTEED_CPU)) {
            return Ok(());
        }
        Err(what.forbidden(&format!(
            "pod update requires features {GUARANTEED_CPU} which are not available on node {}",
            quote(name)
        )))
    }
}

/// Whether a Guaranteed pod asks for other CPUs than before.
fn resizes_cpus(pod: &Value, old: &Value) -> bool {
    let cpus = |pod: &Value| -> Vec<Quantity> {
        let cpu = |container: &Value| {
            let requests = Amounts::read(container.field("resources").field("requests"));
            requests.get("cpu").cloned().unwrap_or_default()
        };
        pod.at("spec.containers").items().map(cpu).collect()
    };
    old.str_at("status.qosClass") == "Guaranteed" && cpus(pod) != cpus(old)
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::TestServer;

    const PODS: &str = "/api/v1/namespaces/default/pods";

    /// Makes a pod on a node.
    async fn add(server: &TestServer, name: &str, node: &str, limits: Value) -> Value {
        let resources = value!({"requests": {"cpu": "1", "memory": "1Mi"}, "limits": (limits)});
        let pod = value!({"metadata": {"name": name}, "spec": {
            "nodeName": node, "containers": [{"name": "c", "image": "i", "resources": (resources)}]
        }});
        server.json("POST", PODS, &pod).await.unwrap()
    }

    /// Changes an amount of the pod's container, with its limit.
    async fn resize(
        server: &TestServer,
        mut pod: Value,
        name: &'static str,
        amount: &str,
    ) -> Result<Value, Status> {
        let path = format!("{PODS}/{}/resize", pod.str_at("metadata.name"));
        for container in pod.entry("spec").entry("containers").items_mut() {
            for what in ["requests", "limits"] {
                container.entry("resources").entry(what).set(name, amount);
            }
        }
        server.json("PUT", &path, &pod).await
    }

    #[tokio::test]
    async fn guaranteed_pods_get_other_cpus_where_the_node_can_do_that() {
        let server = TestServer::start().await;
        let account = value!({"metadata": {"name": "default"}});
        server.create("", "serviceaccounts", "default", account).await.unwrap();
        for (name, features) in [("able", value!([GUARANTEED_CPU])), ("old", value!(["Other"]))] {
            let node = value!({
                "metadata": {"name": name, "labels": {"kubernetes.io/os": "linux"}},
                "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}, "declaredFeatures": (features)}
            });
            server.create("", "nodes", "", node).await.unwrap();
        }
        let limits = || value!({"cpu": "1", "memory": "1Mi"});
        let pod = add(&server, "able", "able", limits()).await;
        resize(&server, pod, "cpu", "2").await.unwrap();
        let pod = add(&server, "memory", "old", limits()).await;
        resize(&server, pod, "memory", "2Mi").await.unwrap();
        let pod = add(&server, "burstable", "old", value!({"memory": "1Mi"})).await;
        let mut requests = pod.clone();
        for container in requests.entry("spec").entry("containers").items_mut() {
            container.entry("resources").entry("requests").set("cpu", "2");
        }
        server.json("PUT", &format!("{PODS}/burstable/resize"), &requests).await.unwrap();
        for (name, node, why) in [
            (
                "p",
                "old",
                "pod update requires features GuaranteedQoSPodCPUResize which are not available on node \"old\"",
            ),
            ("q", "missing", "node \"missing\" not found"),
        ] {
            let pod = add(&server, name, node, limits()).await;
            let refused = resize(&server, pod, "cpu", "2").await.unwrap_err();
            assert_eq!(refused.code(), 403);
            assert_eq!(refused.message, format!("pods {name:?} is forbidden: {why}"));
        }
    }
}
