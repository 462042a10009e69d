//! PodResizeValidator: a pod on a node does not grow beyond the node (upstream: `plugin/pkg/admission/podresize`).

use async_trait::async_trait;
use object::{Status, Value, quote};
use schema::GroupResource;
use semantics::{Amounts, Options, View, pod_requests};

use super::{Attributes, Operation, Plugin};

/// The label that names a node's operating system.
const OS: &str = "kubernetes.io/os";

/// The plugin.
pub struct PodResize;

#[async_trait]
impl Plugin for PodResize {
    fn name(&self) -> &'static str {
        "PodResizeValidator"
    }

    async fn validate(&self, what: &Attributes<'_>, object: &Value, old: &Value) -> Result<(), Status> {
        let is_resize = what.operation == Operation::Update && what.is_part(GroupResource::PODS, "resize");
        let generation = |pod: &Value| pod.at("metadata.generation").as_i64();
        let name = object.str_at("spec.nodeName");
        if !is_resize || name.is_empty() || generation(object) == generation(old) {
            return Ok(());
        }
        let Some(node) = what.reader.find(GroupResource::NODES, "", name).await? else {
            return Err(what.forbidden(&format!("node {} not found", quote(name))));
        };
        check(object, &node.tree(), name).map_err(|why| what.forbidden(&why))
    }
}

/// Whether the pod, as it is wanted, fits the node, regardless of other pods.
fn check(pod: &Value, node: &Value, name: &str) -> Result<(), String> {
    let allocatable = Amounts::read(node.field("status").field("allocatable"));
    let requests = pod_requests(pod, Options { ignores_status: true, ..Options::default() });
    let milli = |amounts: &Amounts<'_>| amounts.get("cpu").map_or(0, |amount| amount.milli_value());
    let whole = |amounts: &Amounts<'_>| amounts.get("memory").map_or(0, |amount| amount.value());
    let pairs =
        [("cpu", milli(&requests), milli(&allocatable)), ("memory", whole(&requests), whole(&allocatable))];
    let lacking = pairs.iter().filter(|(_, requested, allocatable)| requested > allocatable);
    let lacking: Vec<String> = lacking
        .map(|(resource, requested, allocatable)| {
            format!("{resource}, requested: {requested}, allocatable: {allocatable}")
        })
        .collect();
    if !lacking.is_empty() {
        return Err(format!("Node didn't have enough allocatable resources: {}", lacking.join("; ")));
    }
    match node.at("metadata.labels").get(OS).as_str().unwrap_or_default() {
        "linux" => Ok(()),
        other => Err(format!(
            "pod resize is only supported on linux nodes, node {} is {}",
            quote(name),
            quote(other)
        )),
    }
}

#[cfg(test)]
mod tests {
    use object::value;

    use super::*;
    use crate::testing::TestServer;

    fn pod(cpu: &str, memory: &str) -> Value {
        let resources = value!({"requests": {"cpu": cpu, "memory": memory}});
        value!({"spec": {"containers": [{"name": "c", "image": "i", "resources": (resources)}]}})
    }

    fn node(os: &str) -> Value {
        value!({
            "metadata": {"name": "n", "labels": {"kubernetes.io/os": os}},
            "status": {"allocatable": {"cpu": "2", "memory": "1Ki"}}
        })
    }

    #[test]
    fn a_pod_must_fit_its_node() {
        let checked = |pod: Value, node: Value| check(&pod, &node, "n");
        assert_eq!(checked(pod("2", "1Ki"), node("linux")), Ok(()));
        for (pod, node, why) in [
            (
                pod("2001m", "1Ki"),
                node("linux"),
                "Node didn't have enough allocatable resources: cpu, requested: 2001, allocatable: 2000",
            ),
            (
                pod("3", "2Ki"),
                node("linux"),
                "Node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000; memory, requested: 2048, allocatable: 1024",
            ),
            (
                pod("1", "1Ki"),
                node("windows"),
                "pod resize is only supported on linux nodes, node \"n\" is \"windows\"",
            ),
            (pod("0", "0"), value!({}), "pod resize is only supported on linux nodes, node \"n\" is \"\""),
        ] {
            assert_eq!(checked(pod, node), Err(why.to_owned()));
        }
    }

    #[tokio::test]
    async fn only_resizes_of_pods_on_nodes_are_checked() {
        const PODS: &str = "/api/v1/namespaces/default/pods";
        let server = TestServer::start().await;
        let account = value!({"metadata": {"name": "default"}});
        server.create("", "serviceaccounts", "default", account).await.unwrap();
        server.create("", "nodes", "", node("linux")).await.unwrap();
        let resized = async |name: &str, node: &str, cpu: &str| {
            let mut made = pod("1", "1Ki");
            made.set("metadata", value!({"name": name}));
            if !node.is_empty() {
                made.entry("spec").set("nodeName", node);
            }
            let mut made = server.json("POST", PODS, &made).await.unwrap();
            made.entry("metadata").set("labels", value!({"a": "b"}));
            let mut made = server.json("PUT", &format!("{PODS}/{name}"), &made).await.unwrap();
            for container in made.entry("spec").entry("containers").items_mut() {
                container.entry("resources").entry("requests").set("cpu", cpu);
            }
            server.json("PUT", &format!("{PODS}/{name}/resize"), &made).await
        };
        resized("fits", "n", "2").await.unwrap();
        resized("unbound", "", "3").await.unwrap();
        resized("same", "missing", "1").await.expect("nothing changes");
        let refused = resized("large", "n", "3").await.unwrap_err();
        let why = "Node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000";
        assert_eq!((refused.code(), refused.message), (403, format!("pods \"large\" is forbidden: {why}")));
        let refused = resized("lost", "missing", "2").await.unwrap_err();
        assert_eq!(refused.message, "pods \"lost\" is forbidden: node \"missing\" not found");
    }
}
