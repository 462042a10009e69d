"""Watches: events in order, from a version, with selectors, with an end; and the informer that is built on them."""

import threading

from kubernetes import client, watch
from kubernetes.informer import SharedInformer

from common import LIMIT, NAMESPACE, core, until


def made(name, **labels):
    return {"metadata": {"name": name, "labels": {"of": "watches", **labels}}, "data": {"count": "0"}}


def events(**options):
    watching = watch.Watch()
    options = {"label_selector": "of=watches", "timeout_seconds": LIMIT, **options}
    return watching, watching.stream(core.list_namespaced_config_map, NAMESPACE, **options)


# Everything that happens to one object, in its order.
begin = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
core.create_namespaced_config_map(NAMESPACE, made("one"))
for count in ("1", "2"):
    core.patch_namespaced_config_map("one", NAMESPACE, {"data": {"count": count}})
core.delete_namespaced_config_map("one", NAMESPACE)
seen = []
watching, stream = events(resource_version=begin)
for event in stream:
    seen.append((event["type"], event["object"].data["count"]))
    assert event["object"].metadata.name == "one" and event["raw_object"]["kind"] == "ConfigMap"
    if event["type"] == "DELETED":
        watching.stop()
assert seen == [("ADDED", "0"), ("MODIFIED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], seen

# A watch ends when its time is over, and sees nothing that its selector does not.
core.create_namespaced_config_map(NAMESPACE, made("other", of="others"))
assert list(events(timeout_seconds=1)[1]) == []

# What came before the watch comes first, and then what happens.
core.create_namespaced_config_map(NAMESPACE, made("two"))
watching, stream = events()
first = next(stream)
assert (first["type"], first["object"].metadata.name) == ("ADDED", "two")
core.patch_namespaced_config_map("two", NAMESPACE, {"data": {"count": "9"}})
second = next(stream)
assert (second["type"], second["object"].data["count"]) == ("MODIFIED", "9")
watching.stop()

# Bookmarks and objects as they come.
custom = client.CustomObjectsApi()
raw = custom.list_cluster_custom_object("rbac.authorization.k8s.io", "v1", "clusterroles")
assert any(item["metadata"]["name"] == "cluster-admin" for item in raw["items"])

# An informer keeps what is there and follows it.
informer = SharedInformer(
    list_func=core.list_namespaced_config_map, namespace=NAMESPACE, label_selector="of=watches"
)
added, deleted = threading.Event(), threading.Event()
informer.add_event_handler("ADDED", lambda found: found.metadata.name == "three" and added.set())
informer.add_event_handler("DELETED", lambda found: found.metadata.name == "three" and deleted.set())
informer.start()
until("what is there already", lambda: [found.metadata.name for found in informer.cache.list()] == ["two"])
core.create_namespaced_config_map(NAMESPACE, made("three"))
assert added.wait(LIMIT)
core.delete_namespaced_config_map("three", NAMESPACE)
assert deleted.wait(LIMIT)
informer.stop()
