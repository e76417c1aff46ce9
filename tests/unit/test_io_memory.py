"""The kernel's buffers give their memory back, also when something goes wrong half-way."""

import subprocess
import sys
from types import ModuleType

import pytest

# What would leak is 10 to 100 MB here; the growth allowed is 5 MB.
PROGRAM = """
import os, resource, socket, sys
from importlib import import_module
io = import_module({module!r})
ours, theirs = socket.socketpair()
ours.setblocking(False)
big = "v" * 10_000
data = big.encode()

def once():
{body}

def peak():
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024

for _ in range(100):
    once()
before = peak()
for _ in range(2000):
    once()
print(peak() - before)
"""

BODIES = {
    "heads": """
    head = io.ResponseHead("200 " + big, [("A", big), ("Content-Length", "5")])
    head.headers.append(("B", big))
    head.serialize(b"", b"", data, length=False)
    head.headers = [("C", big)]
""",
    "refused heads": """
    for status, field in [("20", ("A", "b")), ("200", ("A", "\\n")), ("200", ("A", 5)), ("200", 5)]:
        try:
            io.ResponseHead(status, [("A", big), field])
        except (TypeError, ValueError, io.InvalidResponseHeader):
            continue
        raise AssertionError
""",
    "sent": """
    buffer = io.OutputBuffer()
    buffer.write(bytearray(data))
    buffer.write_chunk(memoryview(data))
    while buffer.flush(ours.fileno()) or len(buffer):
        theirs.recv(1 << 20)
    theirs.recv(1 << 20)
""",
    "many pieces, and the buffer kept": """
    buffer = io.OutputBuffer()
    for _ in range(500):
        buffer.write_chunk(b"v")
    while buffer.flush(ours.fileno()) or len(buffer):
        theirs.recv(1 << 20)
    theirs.recv(1 << 20)
    vars(once).setdefault("kept", []).append(buffer)
""",
    "not sent": """
    buffer = io.OutputBuffer()
    for _ in range(20):
        buffer.write_chunk(os.urandom(500))
    buffer.peek(9000)
    buffer.skip(777)
""",
    "received": """
    theirs.send(data)
    buffer = io.InputBuffer(data)
    buffer.fill(ours.fileno(), 20_000)
    buffer.take(500)
    buffer.peek(5000)
    buffer.feed(data)
""",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_nothing_leaks(io: ModuleType, body: str) -> None:
    program = PROGRAM.format(module=io.__name__, body=body)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stderr == ""
    assert int(run.stdout) < 5_000_000
