"""Ports forwarded over a WebSocket: bytes, several at once, HTTP on top, and one where nobody listens."""

import select
import socket
import urllib.request

from kubernetes.stream import portforward

from common import NAMESPACE, NGINX, core, is_ready, run, until, until_pod

run(
    "echo",
    ["sh", "-c", "nc -ll -p 1234 -e cat & nc -ll -p 1235 -e cat & wait"],
    container={
        "readinessProbe": {
            "exec": {"command": ["sh", "-c", "netstat -tln | grep -q :1234 && netstat -tln | grep -q :1235"]},
            "periodSeconds": 1,
        }
    },
)

forwarded = portforward(core.connect_get_namespaced_pod_portforward, "echo", NAMESPACE, ports="1234,1235,9")
sockets = {port: forwarded.socket(port) for port in (1234, 1235)}
for connection in sockets.values():
    connection.settimeout(60)
for round in range(3):
    for port, connection in sockets.items():
        line = f"line {round} to {port}\n".encode()
        connection.sendall(line)
        got = b""
        while len(got) < len(line):
            got += connection.recv(1024)
        assert got == line, got
assert forwarded.error(1234) is None and forwarded.error(1235) is None
assert "9" in until("the error of a port without a server", lambda: forwarded.error(9))
for connection in sockets.values():
    connection.close()

# Much, both ways at once.
forwarded = portforward(core.connect_get_namespaced_pod_portforward, "echo", NAMESPACE, ports="1234")
connection = forwarded.socket(1234)
connection.settimeout(60)
sent, got = b"0123456789abcdef" * (64 << 10), b""
connection.setblocking(False)
left = memoryview(sent)
while len(got) < len(sent):
    readable, writable, _ = select.select([connection], [connection] if left else [], [], 60)
    assert readable or writable, f"stuck after {len(got)} bytes"
    if writable:
        left = left[connection.send(left[:65536]):]
    if readable:
        got += connection.recv(65536)
assert got == sent
connection.close()

# A web page, by a socket that the client's library makes.
core.create_namespaced_pod(
    NAMESPACE,
    {
        "metadata": {"name": "web"},
        "spec": {
            "containers": [
                {"name": "c", "image": NGINX, "readinessProbe": {"httpGet": {"port": 80}, "periodSeconds": 1}}
            ],
            "terminationGracePeriodSeconds": 0,
        },
    },
)
until_pod("web", is_ready)
real = socket.create_connection


def through_the_pod(address, *arguments, **options):
    if address[0] != "web.pod":
        return real(address, *arguments, **options)
    ported = portforward(core.connect_get_namespaced_pod_portforward, "web", NAMESPACE, ports=str(address[1]))
    return ported.socket(address[1])


socket.create_connection = through_the_pod
page = urllib.request.urlopen("http://web.pod:80/", timeout=60).read().decode()
assert "version 1" in page, page
