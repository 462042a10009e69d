"""Exec and attach: text and bytes, both ways, codes, terminals, and more input than anybody reads."""

from kubernetes.stream import stream
from kubernetes.stream.ws_client import ERROR_CHANNEL

from common import NAMESPACE, core, run, until_pod

OPTIONS = {"stderr": True, "stdin": False, "stdout": True, "tty": False}


def execute(command, **options):
    return stream(core.connect_get_namespaced_pod_exec, "box", NAMESPACE, command=command, **{**OPTIONS, **options})


def dialogue(command, **options):
    return execute(command, stdin=True, _preload_content=False, **options)


run("box", ["sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done"])

# All output at once, from both streams, and in the order of a shell.
assert execute(["sh", "-c", "for i in 1 2 3; do echo $i; done"]) == "1\n2\n3\n"
assert execute(["sh", "-c", "echo wrong >&2"]) == "wrong\n"
assert execute(["date"]).endswith("\n")
assert stream(
    core.connect_post_namespaced_pod_exec, "box", NAMESPACE, command=["echo", "by POST"], **OPTIONS
) == "by POST\n"

# A shell that is talked to. Lines are text, which this client sends as text messages.
shell = dialogue(["/bin/sh"])
shell.write_stdin("echo test string 1\n")
assert shell.readline_stdout(timeout=60) == "test string 1"
shell.write_stdin("echo test string 2 >&2\n")
assert shell.readline_stderr(timeout=60) == "test string 2"
shell.write_stdin("exit 7\n")
shell.run_forever(timeout=60)
assert not shell.is_open() and shell.returncode == 7

# The end of the input, where the protocol has one.
cat = dialogue(["cat"])
cat.write_stdin("kept\n")
if cat.subprotocol == "v5.channel.k8s.io":
    cat.close_channel(0)
    cat.run_forever(timeout=60)
    assert cat.returncode == 0 and cat.read_stdout() == "kept\n"
cat.close()

# Codes of commands that end by themselves.
for code in (0, 1, 42):
    ended = execute(["sh", "-c", f"exit {code}"], _preload_content=False)
    ended.run_forever(timeout=60)
    assert ended.returncode == code, code

# Bytes that are no text.
raw = execute(["printf", r"\377\000\376"], binary=True)
assert raw == b"\xff\x00\xfe", raw
both = dialogue(["cat"], binary=True)
both.write_stdin(b"\xff\xfe\n")
assert both.readline_stdout(timeout=60) == b"\xff\xfe"
both.close()

# Long output is whole.
assert len(execute(["sh", "-c", "head -c 2000000 /dev/zero | tr '\\0' x"])) == 2_000_000

# The command ends long before all of the input was sent: its output and code come all the same.
many = dialogue(["sh", "-c", "echo hi; exit 3"])
for _ in range(80):
    many.write_stdin("x" * (64 << 10))
many.run_forever(timeout=60)
assert (many.read_stdout(), many.returncode) == ("hi\n", 3)

# A terminal.
terminal = dialogue(["sh", "-c", "read line; test -t 0 && echo terminal $line"], tty=True)
terminal.write_stdin("x\n")
terminal.run_forever(timeout=60)
assert "terminal x" in terminal.read_stdout()

# What cannot be run.
missing = execute(["/none"], _preload_content=False)
missing.run_forever(timeout=60)
assert "no such file" in missing.read_channel(ERROR_CHANNEL)

# Attaching: text goes in, output comes out, and success whatever the container's code.
run("reader", ["sh", "-c", "read line; echo got $line; exit 4"], container={"stdin": True}, restartPolicy="Never")
attached = stream(
    core.connect_get_namespaced_pod_attach,
    "reader",
    NAMESPACE,
    stdin=True,
    stdout=True,
    stderr=False,
    tty=False,
    _preload_content=False,
)
attached.write_stdin("this\n")
attached.run_forever(timeout=60)
assert (attached.read_stdout(), attached.returncode) == ("got this\n", 0)
until_pod("reader", lambda pod: pod.status.phase == "Failed")
