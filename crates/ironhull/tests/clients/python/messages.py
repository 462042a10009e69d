"""Logs and watches over a WebSocket, as browsers read them."""

import json
import ssl
from urllib.parse import urlsplit

import websocket

from common import NAMESPACE, core, run, until


def connect(path, protocols=()):
    settings = core.api_client.configuration
    options = {"ca_certs": settings.ssl_ca_cert, "certfile": settings.cert_file, "keyfile": settings.key_file}
    options["cert_reqs"] = ssl.CERT_REQUIRED
    address = urlsplit(settings.host).netloc
    return websocket.create_connection(
        f"wss://{address}/api/v1/namespaces/{NAMESPACE}/{path}",
        sslopt=options,
        subprotocols=list(protocols),
        timeout=60,
    )


run("speaker", ["sh", "-c", "echo one; echo two; sleep 1000"])
# A pod may be ready before its first words.
until("both lines", lambda: core.read_namespaced_pod_log("speaker", NAMESPACE) == "one\ntwo\n")

# The log ends with its last line unless it is followed; an empty message comes first.
log = connect("pods/speaker/log")
seen = b""
while True:
    code, data = log.recv_data()
    if code == websocket.ABNF.OPCODE_CLOSE:
        break
    assert code == websocket.ABNF.OPCODE_BINARY
    seen += data
assert seen == b"one\ntwo\n", seen
encoded = connect("pods/speaker/log?tailLines=1", ["base64.binary.k8s.io"])
assert encoded.recv_data() == (websocket.ABNF.OPCODE_TEXT, b"")
assert encoded.recv() == "dHdvCg=="
encoded.close()

# A watch tells each event in a message of text.
watch = connect("configmaps?watch=true")
for name in ("one", "two"):
    core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": f"made-{name}"}})
names = []
while len(names) < 2:
    code, data = watch.recv_data()
    assert code == websocket.ABNF.OPCODE_TEXT
    event = json.loads(data)
    assert event["type"] == "ADDED"
    if event["object"]["metadata"]["name"].startswith("made-"):
        names.append(event["object"]["metadata"]["name"])
assert names == ["made-one", "made-two"]
watch.close()

# What is refused is refused as ever.
try:
    connect("pods/none/log")
    raise AssertionError("the log of a pod that is not there")
except websocket.WebSocketBadStatusException as error:
    assert error.status_code == 404
