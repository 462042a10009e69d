"""Objects of several kinds through the typed and the dynamic client: made, read, listed, changed, deleted."""

import base64

from kubernetes import client, dynamic, utils

from common import BUSYBOX, NAMESPACE, core, pod, refused, run, until, until_pod

# Pods, in pages and with their logs.
run("one", ["sh", "-c", "echo said; sleep 1000"])
assert until("the log", lambda: core.read_namespaced_pod_log("one", NAMESPACE)) == "said\n"
lines = core.read_namespaced_pod_log("one", NAMESPACE, _preload_content=False, follow=False).data
assert lines == b"said\n"
for name in ("two", "three"):
    core.create_namespaced_pod(NAMESPACE, pod(name, ["sleep", "1000"]))
page = core.list_namespaced_pod(NAMESPACE, limit=2)
rest = core.list_namespaced_pod(NAMESPACE, limit=2, _continue=page.metadata._continue)
names = [found.metadata.name for found in page.items + rest.items]
assert names == ["one", "three", "two"] and rest.metadata._continue is None
core.patch_namespaced_pod("one", NAMESPACE, {"metadata": {"annotations": {"a": "b"}}})
assert core.read_namespaced_pod("one", NAMESPACE).metadata.annotations["a"] == "b"
core.delete_namespaced_pod("two", NAMESPACE, grace_period_seconds=0)
until("the pod's end", lambda: "two" not in [p.metadata.name for p in core.list_namespaced_pod(NAMESPACE).items])
refused(404, lambda: core.read_namespaced_pod("two", NAMESPACE))

# Services.
ports = [client.V1ServicePort(port=80, name="http", protocol="TCP", target_port="http")]
service = client.V1Service(
    api_version="v1",
    kind="Service",
    metadata=client.V1ObjectMeta(name="front", resource_version=""),
    spec=client.V1ServiceSpec(ports=ports, selector={"app": "one"}),
)
made = core.create_namespaced_service(NAMESPACE, service)
assert made.spec.cluster_ip and made.spec.type == "ClusterIP"
assert made.status.load_balancer is not None
changed = core.patch_namespaced_service("front", NAMESPACE, {"spec": {"ports": [{"port": 80, "name": "new"}]}})
assert [port.name for port in changed.spec.ports] == ["new"]
core.delete_namespaced_service("front", NAMESPACE)

# ConfigMaps and Secrets; what is deleted is told.
core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "map"}, "data": {"file": '{"a": "b\\n"}'}})
changed = core.patch_namespaced_config_map("map", NAMESPACE, {"data": {"more": "1"}})
assert changed.data == {"file": '{"a": "b\\n"}', "more": "1"}
core.delete_namespaced_config_map("map", NAMESPACE, body={})
refused(404, lambda: core.read_namespaced_config_map("map", NAMESPACE))
core.create_namespaced_secret(NAMESPACE, {"metadata": {"name": "secret"}, "stringData": {"key": "value"}})
assert base64.b64decode(core.read_namespaced_secret("secret", NAMESPACE).data["key"]) == b"value"

# A ReplicationController and a Deployment, scaled.
def ready(name):
    return core.read_namespaced_replication_controller(name, NAMESPACE).status.ready_replicas


template = {"metadata": {"labels": {"name": "scaled"}}, "spec": pod("x", ["sleep", "1000"])["spec"]}
controller = {"metadata": {"name": "rc"}, "spec": {"replicas": 1, "selector": {"name": "scaled"}, "template": template}}
core.create_namespaced_replication_controller(NAMESPACE, controller)
until("its pod", lambda: ready("rc") == 1)
core.patch_namespaced_replication_controller_scale("rc", NAMESPACE, {"spec": {"replicas": 2}})
until("both", lambda: ready("rc") == 2)
core.delete_namespaced_replication_controller("rc", NAMESPACE, propagation_policy="Background")
apps = client.AppsV1Api()
selector = {"matchLabels": {"name": "deployed"}}
template = {"metadata": {"labels": {"name": "deployed"}}, "spec": template["spec"]}
deployment = {"metadata": {"name": "d"}, "spec": {"replicas": 1, "selector": selector, "template": template}}
apps.create_namespaced_deployment(NAMESPACE, deployment)


def available(name):
    return apps.read_namespaced_deployment(name, NAMESPACE).status.available_replicas


until("it", lambda: available("d") == 1)
found = apps.read_namespaced_deployment("d", NAMESPACE)
found.spec.replicas = 0
apps.replace_namespaced_deployment("d", NAMESPACE, found)
stale = refused(409, lambda: apps.replace_namespaced_deployment("d", NAMESPACE, found))
assert "the object has been modified" in stale.body
apps.delete_namespaced_deployment("d", NAMESPACE, propagation_policy="Foreground")
until("its end", lambda: not apps.list_namespaced_deployment(NAMESPACE).items)

# Jobs are stored, though nobody runs them yet.
batch = client.BatchV1Api()
job = {"metadata": {"name": "job"}, "spec": {"template": {"spec": {**template["spec"], "restartPolicy": "Never"}}}}
batch.create_namespaced_job(NAMESPACE, job)
assert batch.read_namespaced_job("job", NAMESPACE).spec.template.spec.containers[0].image == BUSYBOX
batch.delete_namespaced_job("job", NAMESPACE, propagation_policy="Background")

# Nodes, and their amounts.
node = core.list_node().items[0]
assert utils.parse_quantity(node.status.allocatable["memory"]) > 0
assert core.read_node(node.metadata.name).metadata.uid == node.metadata.uid

# Discovery by the dynamic client.
anything = dynamic.DynamicClient(client.ApiClient())
maps = anything.resources.get(api_version="v1", kind="ConfigMap")
maps.create(body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dyn"}}, namespace=NAMESPACE)
patched = maps.patch(
    body={"metadata": {"name": "dyn"}, "data": {"a": "b"}},
    namespace=NAMESPACE,
    content_type="application/merge-patch+json",
)
assert patched.data.a == "b" and maps.get(name="dyn", namespace=NAMESPACE).kind == "ConfigMap"

# Server-side apply: created, a conflict, and by force.
wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}
made = maps.server_side_apply(body=wanted, name="applied", namespace=NAMESPACE, field_manager="first")
assert [(entry.manager, entry.operation) for entry in made.metadata.managedFields] == [("first", "Apply")]
other = {**wanted, "data": {"a": "2"}}


def conflicting():
    return maps.server_side_apply(body=other, name="applied", namespace=NAMESPACE, field_manager="second")


assert 'conflict with \\"first\\": .data.a' in refused(409, conflicting).body
forced = maps.server_side_apply(
    body=other, name="applied", namespace=NAMESPACE, field_manager="second", force_conflicts=True
)
assert forced.data.a == "2"
maps.delete(name="dyn", namespace=NAMESPACE)
assert anything.version["kubernetes"]["minor"].startswith("37")
