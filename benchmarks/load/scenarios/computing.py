"""Requests that compute in Python beside requests that do not: who gets the interpreter's lock.

Three clients in a closed loop each have 5 ms computed; wrk asks for hello meanwhile. The computing
clients are threads of this tool: at some 200 answers a second they take little of wrk's core.
"""

import subprocess
import sys
import threading
import time
from functools import partial

from benchmarks.load.client import Client
from benchmarks.load.figures import Aim, Sheet
from benchmarks.load.running import HERE, BenchError, Running
from benchmarks.load.scenarios.stage import Stage

COMPUTING = 0.005  # seconds of processor per request
CLIENTS = 3
ONE, FOUR = "cyserve-gthread", "cyserve-gthread-4"


class Computing:
    """The computing clients of one server, as a context; `rate` after it: answers per second."""

    def __init__(self, server: Running, path: str):
        self.port = server.port
        self.path = path
        self.rate = 0.0
        self._answers = [0] * CLIENTS
        self._failed: list[Exception] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(i,)) for i in range(CLIENTS)]

    def __enter__(self) -> "Computing":
        for thread in self._threads:
            thread.start()
        time.sleep(0.1)
        self._begun, self._before = time.monotonic(), sum(self._answers)
        return self

    def __exit__(self, *_: object) -> None:
        self.rate = (sum(self._answers) - self._before) / (time.monotonic() - self._begun)
        self._over.set()
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise BenchError(f"a computing client: {self._failed[0]!r}")

    def _ask(self, index: int) -> None:
        try:
            client = Client(self.port)
            while not self._over.is_set():
                client.get(self.path)
                self._answers[index] += 1
            client.close()
        except (OSError, BenchError) as error:
            self._failed.append(error)


def turns_for(python: str, seconds: float, core: int) -> int:
    """How many turns of the application's loop take `seconds` of that interpreter on that core."""
    code = (
        "import os, runpy, sys, time; "
        f"os.sched_setaffinity(0, {{{core}}}); "
        f"turns = runpy.run_path({str(HERE / 'apps.py')!r})['turns']; turns(100_000); "
        "begin = time.process_time(); turns(3_000_000); "
        "print(time.process_time() - begin)"
    )
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return round(3_000_000 * seconds / float(done.stdout))


def _computing(stage: Stage, name: str, pause: int) -> Sheet:
    manner = f"each after a rest of {pause} ms" if pause else "without a rest"
    connections = stage.plan.connections
    sheet = Sheet(
        name,
        f"{CLIENTS} clients that compute beside {connections} that ask for hello {manner}",
        "Computing: answers per second to the 5 ms requests (200/s would be the whole core). "
        "Hello: by wrk, its p99 also in units of sys.getswitchinterval().",
    )
    path = f"/compute/{turns_for(sys.executable, COMPUTING, stage.plan.server_core)}"
    # gunicorn's two seconds are too short: it closes connections that wait for a thread.
    kept = ("--keep-alive", "75")
    with stage.servers(sheet, [ONE, FOUR, "gunicorn-gthread-4"], *kept) as servers:
        stage.warm_up(sheet, servers)
        for server_name, server in stage.turns(sheet, servers):
            with sheet.guard(server_name):
                with Computing(server, path) as clients:
                    counts = stage.wrk(server, pause=pause)
                sheet.add(server_name, "computing", clients.rate, "/s")
                sheet.add(server_name, "hello", counts["rate"], "/s")
                sheet.add(server_name, "p99 of hello", counts["p99_us"] / 1000, "ms")
                intervals = counts["p99_us"] / 1e6 / sys.getswitchinterval()
                sheet.add(server_name, "p99 in switch intervals", intervals)
    to_one = ((FOUR, "computing"), (ONE, "computing"))
    sheet.compare("computing to 1 thread", *to_one, Aim(at_least=0.9))
    sheet.aim(FOUR, "p99 in switch intervals", Aim(at_most=5))
    return sheet


computing = partial(_computing, name="computing", pause=0)
computing_rest = partial(_computing, name="computing-rest", pause=20)
