"""Connections that ask for nothing: silent ones, half a head, ten thousand idle, a storm of resets.

The figures are about one good request beside them, and about what they cost the server. The client
is this tool, one request at a time: a waiting time of less than some 0.1 ms is its own.
"""

import random
import socket
import time
from statistics import median, quantiles

from benchmarks.load import procs
from benchmarks.load.client import Client, timed
from benchmarks.load.figures import Sheet
from benchmarks.load.running import HOST, BenchError, Running
from benchmarks.load.scenarios.stage import Stage, allow_descriptors

SILENT = 500
GOOD = 50  # requests that are timed beside them
PATIENCE = 2.0  # seconds until a good request is given up, and with it the others
IDLE = 10_000
RESETS = 10_000
HALF_A_HEAD = b"GET / HTTP/1.1\r\nHost: x\r\nX-Half: "


def silent(stage: Stage) -> Sheet:
    """Silent connections, then half-sent heads, on one worker of each kind."""
    sheet = Sheet(
        "silent",
        f"a good request beside {SILENT} connections that send nothing or half a head",
        f"Median and worst of {GOOD} requests, each on a connection of its own, as the settings "
        f"come; after {PATIENCE:g} s without an answer the rest is given up (2000 ms stands for "
        "that).",
    )
    kinds = ("sync", "gthread", "gevent")
    names = [f"{server}-{kind}" for kind in kinds for server in ("cyserve", "gunicorn")]
    with stage.servers(sheet, names, app="hello") as servers:
        for name, server in stage.turns(sheet, servers, rounds=3):
            with sheet.guard(name):
                for what, sent in (("silent", b""), ("half", HALF_A_HEAD)):
                    seconds = _beside(server, sent)
                    sheet.add(name, f"{what}: median", median(seconds) * 1000, "ms")
                    sheet.add(name, f"{what}: worst", max(seconds) * 1000, "ms")
                    server.wait_until_answers()
    return sheet


def _beside(server: Running, sent: bytes) -> list[float]:
    """Seconds of good requests while connections that have sent `sent` are open."""
    others = []
    try:
        for _ in range(SILENT):
            others.append(socket.create_connection((HOST, server.port), timeout=10))
            others[-1].sendall(sent)
        time.sleep(0.2)
        seconds: list[float] = []
        while len(seconds) < GOOD and (not seconds or seconds[-1] < PATIENCE):
            seconds.append(timed(server.port, timeout=PATIENCE))
        return seconds
    finally:
        for other in others:
            other.close()


def idle(stage: Stage) -> Sheet:
    """Ten thousand connections that have been answered once and are kept."""
    sheet = Sheet(
        "idle",
        f"{IDLE:,} idle keep-alive connections in one worker",
        "Memory of the process tree after they were opened, less that before, by their number "
        "(the kernel's own is not in it); CPU in 4 s in which nothing is asked, in percent of a "
        "core; then 200 requests, one at a time, on connections picked at random. One round.",
    )
    names = ["cyserve-gthread", "gunicorn-gthread", "cyserve-gevent", "gunicorn-gevent"]
    try:
        allow_descriptors(IDLE + 1000)
    except BenchError as error:
        for name in names:
            sheet.refuse(name, str(error))
        return sheet
    room = ("--worker-connections", str(IDLE + 1000), "--keep-alive", "300")
    with stage.servers(sheet, names, *room, app="hello") as servers:
        for name, server in stage.turns(sheet, servers, rounds=1):
            with sheet.guard(name):
                _idle(sheet, name, server)
    return sheet


def _idle(sheet: Sheet, name: str, server: Running) -> None:
    clients: list[Client] = []
    try:
        clients.append(Client(server.port))
        for _ in range(200):
            clients[0].get()
        before = procs.memory(server.pid)
        while len(clients) <= IDLE:
            clients.append(Client(server.port))
            clients[-1].get()
        time.sleep(1)
        after = procs.memory(server.pid)
        for what, old, new in zip(("RSS", "PSS"), before, after, strict=True):
            sheet.add(name, f"{what}/connection", (new - old) / IDLE / 1024, "KiB")
        run = procs.tree_run(server.pid)
        time.sleep(4)
        sheet.add(name, "idle CPU", (procs.tree_run(server.pid) - run) / 4 * 100, "%")
        seconds = []
        for client in random.sample(clients, 200):
            begin = time.monotonic()
            client.get()
            seconds.append(time.monotonic() - begin)
        sheet.add(name, "request: median", median(seconds) * 1000, "ms")
        sheet.add(name, "request: p99", quantiles(seconds, n=100)[98] * 1000, "ms")
    finally:
        for client in clients:
            client.reset()


def resets(stage: Stage) -> Sheet:
    """Clients that connect and reset at once."""
    sheet = Sheet(
        "resets",
        f"{RESETS:,} connections that are reset at once",
        "connect, then close with SO_LINGER 0, as fast as one client can; then one good request. "
        "Descriptors: those of the process tree a moment later, less those before.",
    )
    kinds = ("sync", "gthread", "gevent")
    names = [f"{server}-{kind}" for kind in kinds for server in ("cyserve", "gunicorn")]
    with stage.servers(sheet, names, app="hello") as servers:
        for name, server in stage.turns(sheet, servers, rounds=3):
            with sheet.guard(name):
                _storm(sheet, name, server)
    return sheet


def _storm(sheet: Sheet, name: str, server: Running) -> None:
    timed(server.port)
    descriptors, cpu = procs.descriptors(server.pid), procs.tree_run(server.pid)
    begin = time.monotonic()
    for _ in range(RESETS):
        Client(server.port).reset()
    storm = time.monotonic() - begin
    good = timed(server.port)
    deadline = time.monotonic() + 1
    while procs.descriptors(server.pid) > descriptors and time.monotonic() < deadline:
        time.sleep(0.05)
    sheet.add(name, "storm", storm, "s")
    sheet.add(name, "CPU/reset", (procs.tree_run(server.pid) - cpu) / RESETS * 1e6, "µs")
    sheet.add(name, "good request after it", good * 1000, "ms")
    sheet.add(name, "descriptors left", procs.descriptors(server.pid) - descriptors)
