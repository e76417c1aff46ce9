"""How soon a server answers after it has been started, or told to load its application anew.

Servers are started in turn and end before the next one begins, so each has the core to itself. What
the interpreter takes for its own start is the same for all of them and part of the first answer.
"""

import os
import signal
import subprocess
import sys
import time

from benchmarks.load.client import Client
from benchmarks.load.figures import Aim, Sheet
from benchmarks.load.running import BenchError, Running
from benchmarks.load.scenarios.stage import LOOK, Stage

STARTS = 15
PATIENCE = 30.0  # seconds for a reload

#: What is imported for a start: by the command, and by it and a worker of the kind.
IMPORTS = {
    "import of the command": "import {0}.app.wsgiapp",
    "import with the worker": "import {0}.app.wsgiapp, {0}.workers.gthread",
}

_TIMED = "import time; begin = time.perf_counter(); {0}; print(time.perf_counter() - begin)"


def boot(stage: Stage) -> Sheet:
    """From exec to the first answer, from HUP to the first of a new worker; imports."""
    sheet = Sheet(
        "boot",
        f"from exec to the first answer, {STARTS} starts in turn",
        "A bare application and one gthread worker. The client asks every 2 ms until it is "
        "answered, after HUP until a new worker answers; cyserve's old one answers meanwhile. "
        "Imports: in an interpreter of their own.",
    )
    ours, theirs = "cyserve-gthread", "gunicorn-gthread"
    for number in range(STARTS):
        for name, server, seconds in stage.alone(sheet, [ours, theirs]):
            with sheet.guard(name):
                sheet.add(name, "first answer", seconds * 1000, "ms")
                sheet.add(name, "reload", _reload(server) * 1000, "ms")
                for figure, statement in IMPORTS.items():
                    took = _import(stage, name, statement.format(server.server.venv))
                    sheet.add(name, figure, took * 1000, "ms")
        print(f"boot: start {number + 1} of {STARTS}", file=sys.stderr)
    sheet.compare(
        "by gunicorn's", (ours, "first answer"), (theirs, "first answer"), Aim(at_most=0.6)
    )
    return sheet


def _reload(server: Running) -> float:
    """Seconds from HUP until a worker answers that was not there before."""
    before = _who(server)
    begin = time.monotonic()
    os.kill(server.pid, signal.SIGHUP)
    while time.monotonic() - begin < PATIENCE:
        try:
            if _who(server) != before:
                return time.monotonic() - begin
        except (BenchError, OSError):  # gunicorn's old worker has gone, the new one is to come
            pass
        time.sleep(LOOK)
    raise BenchError(f"{server.server.name} has no new worker after {PATIENCE:g} s")


def _who(server: Running) -> bytes:
    client = Client(server.port)
    try:
        return client.get("/pid")
    finally:
        client.close()


def _import(stage: Stage, name: str, statement: str) -> float:
    """Seconds for an import by the interpreter that runs that server."""
    home = stage.used[name].home
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    env["PYTHONPATH"] = os.pathsep.join(home.path)
    done = subprocess.run(
        ["taskset", "-c", str(stage.plan.server_core), home.python, "-c", _TIMED.format(statement)],
        env=env,
        cwd=stage.tmp,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"{name}: {statement}: {done.stderr.strip()[-200:]}")
    return float(done.stdout)
