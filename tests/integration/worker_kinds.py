"""The kinds of worker that conduct towards clients is tested with, and how to see what one costs.

A test gets a kind by the fixtures `worker_kind` or `keeping_kind` (conftest.py), so that what a
client may expect is written once and holds for all of them. No test lives here.
"""

from __future__ import annotations

import contextlib
import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from harness import Server, wait_for
from http_client import request_bytes

#: The arguments that choose each kind.
WORKERS: dict[str, tuple[str, ...]] = {
    "sync": ("-k", "sync"),
    "gthread": ("-k", "gthread", "--threads", "4"),
    "gevent": ("-k", "gevent"),
}
#: Kinds that serve several requests on a connection.
KEEPING = [kind for kind in WORKERS if kind != "sync"]

TICKS = os.sysconf("SC_CLK_TCK")


def allow_descriptors(count: int) -> None:
    """Lets this process, and the servers it starts, have that many descriptors open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        count = min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def open_files(pid: int) -> int:
    """How many descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def files_at_rest(server: Server) -> dict[int, int]:
    """The workers and how many descriptors each has open without clients."""
    with server.connect() as client:  # what a first request opens is open from now on
        client.send(request_bytes("/ok", headers=[("Connection", "close")]))
        assert client.read_to_eof().endswith(b"ok")  # and this connection is closed
    return {pid: open_files(pid) for pid in server.worker_pids()}


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used, user and system."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    fields = stat[stat.rindex(")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def peak_memory(pid: int) -> int:
    """The most bytes of memory that a process has had resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no VmHWM for {pid}")


def assert_quiet(pid: int) -> None:
    """A worker with nothing to do uses no CPU: a busy loop would take the whole interval."""
    before = cpu_seconds(pid)
    time.sleep(0.5)  # what is measured is an interval; there is no event to wait for
    used = cpu_seconds(pid) - before
    assert used <= 0.1, f"{used} s of CPU in half a second without clients"


@contextlib.contextmanager
def unharmed(server: Server) -> Iterator[None]:
    """What happens inside costs the server nothing lasting.

    Afterwards the same workers serve, with as many descriptors as before, use no CPU and have
    logged no traceback.
    """
    workers = files_at_rest(server)
    mark = server.log_mark()
    yield
    assert server.request("/ok").body == b"ok"  # and all that came before has been accepted
    for pid, count in workers.items():
        wait_for(lambda pid=pid, count=count: open_files(pid) <= count, "closed connections")
        assert_quiet(pid)
    assert server.request("/ok").body == b"ok"
    assert server.worker_pids() == list(workers)
    assert "Traceback" not in server.log_text(mark)
