"""How several workers share what comes: one of them busy, and a thousand connections over four.

All workers sit on one core, as everywhere here, so which of them runs first is the scheduler's
choice as much as the server's. The client is this tool; what is counted are waits of tens of
milliseconds and the process numbers that the workers answer with.
"""

import socket
import threading
import time
from collections import Counter

from benchmarks.load.client import Client, read_answer, timed
from benchmarks.load.figures import Sheet
from benchmarks.load.running import HOST, Running
from benchmarks.load.scenarios.stage import Stage

QUICK = 40
WAITED = 0.05  # seconds
CONNECTIONS = 1000
WORKERS = 4


def busy(stage: Stage) -> Sheet:
    """Two workers with a thread each; one is busy for three seconds."""
    sheet = Sheet(
        "busy",
        f"{QUICK} quick requests while one of 2 workers x 1 thread is busy for 3 s",
        f"Each on a connection of its own, one every 25 ms. Waited: longer than {WAITED * 1000:g} "
        "ms. The busy one sleeps, so it leaves the core to the other.",
    )
    names = ["cyserve-sync", "cyserve-gthread", "gunicorn-sync", "gunicorn-gthread"]
    with stage.servers(sheet, names, workers=2) as servers:
        for name, server in stage.turns(sheet, servers, rounds=3):
            with sheet.guard(name):
                waits = _beside_a_busy_one(server)
                sheet.add(name, "waited", sum(wait > WAITED for wait in waits))
                sheet.add(name, "worst", max(waits) * 1000, "ms")
    return sheet


def _beside_a_busy_one(server: Running) -> list[float]:
    waits: list[float] = []
    sleeper = threading.Thread(target=timed, args=(server.port, "/sleep/3000"))
    quick = [
        threading.Thread(target=lambda: waits.append(timed(server.port))) for _ in range(QUICK)
    ]
    sleeper.start()
    time.sleep(0.2)
    for thread in quick:
        thread.start()
        time.sleep(0.025)
    for thread in [*quick, sleeper]:
        thread.join()
    return waits + [10.0] * (QUICK - len(waits))  # who got no answer waited too


def spread(stage: Stage) -> Sheet:
    """A thousand keep-alive connections over four idle workers."""
    sheet = Sheet(
        "spread",
        f"{CONNECTIONS} keep-alive connections over {WORKERS} idle workers",
        "Connections of the fullest and of the emptiest worker, and the first by the second. "
        "One by one: each asks once before the next comes. Burst: all connect, then all ask.",
    )
    names = ["cyserve-gthread", "gunicorn-gthread", "cyserve-gevent", "gunicorn-gevent"]
    kept = ("--keep-alive", "60")
    with stage.servers(sheet, names, *kept, workers=WORKERS) as servers:
        for name, server in stage.turns(sheet, servers, rounds=3):
            with sheet.guard(name):
                for what, opened in (("one by one", _one_by_one), ("burst", _burst)):
                    fullest, emptiest = extremes(opened(server.port), WORKERS)
                    sheet.add(name, f"{what}: fullest", fullest)
                    sheet.add(name, f"{what}: emptiest", emptiest)
                    sheet.add(name, f"{what}: ratio", fullest / max(emptiest, 1))
                    server.wait_until_answers()
    return sheet


def extremes(pids: list[bytes], workers: int) -> tuple[int, int]:
    """Most and fewest answers of a worker; one that gave none counts too."""
    counts = Counter(pids).values()
    return max(counts), min(counts) if len(counts) == workers else 0


def _one_by_one(port: int) -> list[bytes]:
    clients: list[Client] = []
    pids = []
    try:
        for _ in range(CONNECTIONS):
            clients.append(Client(port))
            pids.append(clients[-1].get("/pid"))
        return pids
    finally:
        for client in clients:
            client.close()


def _burst(port: int) -> list[bytes]:
    socks = []
    try:
        for _ in range(CONNECTIONS):
            socks.append(socket.socket())
            socks[-1].setblocking(False)
            socks[-1].connect_ex((HOST, port))
        for sock in socks:
            sock.settimeout(10)
            sock.sendall(f"GET /pid HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        return [read_answer(sock)[1] for sock in socks]
    finally:
        for sock in socks:
            sock.close()
