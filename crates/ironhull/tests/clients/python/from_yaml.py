"""Objects from YAML: one document and several, lists, dicts, directories, and what is refused."""

import pathlib
import tempfile

from kubernetes import client, utils

from common import BUSYBOX, NAMESPACE, core, refused

api = client.ApiClient()
apps = client.AppsV1Api()
directory = pathlib.Path(tempfile.mkdtemp())

DEPLOYMENT = """
apiVersion: apps/v1 # the group and its version
kind: Deployment
metadata: {name: NAME}
spec:
  replicas: 0
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec: {containers: [{name: c, image: IMAGE}]}
"""
SERVICE = "{apiVersion: v1, kind: Service, metadata: {name: NAME}, spec: {ports: [{port: 80}]}}"
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: NAME}
rules: [{apiGroups: [''], resources: [pods], verbs: [get, list, watch]}]
"""


def file(name, *documents):
    text = "\n---\n".join(document.replace("NAME", name).replace("IMAGE", BUSYBOX) for document in documents)
    path = directory / f"{name}.yaml"
    path.write_text(text)
    return str(path)


def create(*documents, name):
    return utils.create_from_yaml(api, file(name, *documents), namespace=NAMESPACE)


# One document, several, and one among empty ones.
create(DEPLOYMENT, name="one")
assert apps.read_namespaced_deployment("one", NAMESPACE).spec.replicas == 0
create(DEPLOYMENT, SERVICE, "", ROLE, name="several")
assert core.read_namespaced_service("several", NAMESPACE).spec.type == "ClusterIP"
assert client.RbacAuthorizationV1Api().read_namespaced_role("several", NAMESPACE).rules[0].verbs[2] == "watch"

# A List, and the list of a kind.
item = "{apiVersion: v1, kind: ConfigMap, metadata: {name: NAME-0}, data: {a: b}}"
create(f"{{apiVersion: v1, kind: List, items: [{item}, {item.replace('-0', '-1')}]}}", name="list")
create(f"{{apiVersion: v1, kind: ConfigMapList, items: [{item}]}}", name="of-kind")
for name in ("list-0", "list-1", "of-kind-0"):
    assert core.read_namespaced_config_map(name, NAMESPACE).data == {"a": "b"}

# A dict, with a namespace of its own.
in_dict = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dict", "namespace": NAMESPACE}}
utils.create_from_dict(api, in_dict)
assert core.read_namespaced_config_map("dict", NAMESPACE).data is None

# A directory.
in_directory = directory / "all"
in_directory.mkdir()
for name in ("first", "second"):
    pathlib.Path(file(name, SERVICE)).rename(in_directory / f"{name}.yaml")
utils.create_from_directory(api, str(in_directory), namespace=NAMESPACE)
assert {"first", "second"} <= {found.metadata.name for found in core.list_namespaced_service(NAMESPACE).items}

# What is there already, and what is wrong: all others are made, and every failure is told.
try:
    create(DEPLOYMENT, SERVICE.replace("NAME", "made-beside"), name="one")
    raise AssertionError("made twice")
except utils.FailToCreateError as error:
    assert len(error.api_exceptions) == 1 and error.api_exceptions[0].status == 409, error
    assert "already exists" in str(error)
assert core.read_namespaced_service("made-beside", NAMESPACE)
try:
    create("{apiVersion: v1, kind: Service, metadata: {name: NAME}, spec: {ports: [{port: 0}]}}", name="wrong")
    raise AssertionError("a port that is none")
except utils.FailToCreateError as error:
    assert error.api_exceptions[0].status == 422, error
refused(404, lambda: core.read_namespaced_service("wrong", NAMESPACE))
