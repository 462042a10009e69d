"""What all scripts share: a client, the namespace of the trial, and waiting."""

import os
import time

from kubernetes import client, config, watch

NAMESPACE = os.environ["NAMESPACE"]
BUSYBOX = os.environ["BUSYBOX"]
NGINX = os.environ["NGINX"]
# No step takes longer unless it hangs.
LIMIT = 90

config.load_kube_config()
core = client.CoreV1Api()


def pod(name, command, **options):
    """A pod with one container of busybox, as a dict."""
    container = {"name": "c", "image": BUSYBOX, "command": command, **options.pop("container", {})}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0, **options}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def run(name, command, **options):
    """Creates a pod and waits until it is ready."""
    core.create_namespaced_pod(NAMESPACE, pod(name, command, **options))
    return until_pod(name, is_ready)


def is_ready(found):
    conditions = found.status.conditions or []
    return any(condition.type == "Ready" and condition.status == "True" for condition in conditions)


def until_pod(name, check):
    """Waits, with a watch, until a pod satisfies the check."""
    watching = watch.Watch()
    events = watching.stream(
        core.list_namespaced_pod,
        NAMESPACE,
        field_selector=f"metadata.name={name}",
        timeout_seconds=LIMIT,
    )
    for event in events:
        if event["type"] != "DELETED" and check(event["object"]):
            watching.stop()
            return event["object"]
    raise AssertionError(f"waited in vain for {name}: {core.read_namespaced_pod(name, NAMESPACE).status}")


def until(what, look):
    """Waits for what cannot be watched; `look` returns something true in the end."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited in vain for {what}")


def refused(code, call):
    """Calls something that the server must refuse with this code."""
    try:
        call()
    except client.ApiException as error:
        assert error.status == code, error
        return error
    raise AssertionError(f"not refused with {code}")
