"""Starts a declared server on one core, waits until it answers, and ends it again.

Every server gets a free port, a session of its own and a log file in the run's temporary
directory; if it does not come up, what it wrote is part of the error.
"""

import http.client
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.load import procs
from benchmarks.load.cases import Case
from benchmarks.load.servers import Server

HOST = "127.0.0.1"
HERE = Path(__file__).parent


class BenchError(Exception):
    """Something that makes a figure worthless; the message says what."""


class Running:
    """A server that has been started: `pid`, `port`, and the answers it gives."""

    def __init__(self, server: Server, process: "subprocess.Popen[bytes]", port: int, log: Path):
        self.server = server
        self.process = process
        self.pid = process.pid
        self.port = port
        self.log = log

    def wait_until_answers(
        self, patience: float = 30.0, path: str = "/", pause: float = 0.05
    ) -> None:
        """Returns once a GET is answered; BenchError if the server ends or takes too long."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise BenchError(f"{self.server.name} ended at once:\n{self.said()}")
            try:
                self.answer(Case("ready", "is it up?", path=path))
                return
            except (OSError, http.client.HTTPException):
                time.sleep(pause)
        raise BenchError(f"{self.server.name} does not answer:\n{self.said()}")

    def wait_until_settled(self, processes: int, patience: float = 30.0) -> None:
        """Returns once that many processes are there and for two seconds hardly did anything."""
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            cpu = procs.tree_cpu(self.pid)
            time.sleep(2)
            if len(procs.tree(self.pid)) >= processes and procs.tree_cpu(self.pid) - cpu < 0.1:
                return
        raise BenchError(f"the workers of {self.server.name} did not come up:\n{self.said()}")

    def answer(self, case: Case) -> tuple[int, str, bytes]:
        """Sends the case's request once: (status, content type, body)."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        if self.server.tls:
            context = ssl._create_unverified_context()
            connection = http.client.HTTPSConnection(HOST, self.port, timeout=10, context=context)
        try:
            body = b"x" * case.body if case.body else None
            connection.request(case.method, case.path, body, dict(case.headers))
            response = connection.getresponse()
            return response.status, response.headers.get("Content-Type", ""), response.read()
        finally:
            connection.close()

    def said(self) -> str:
        """The last lines of what the server wrote to stdout and stderr."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def stop(self) -> None:
        """Ends the server and everything it started."""
        procs.stop_tree(self.pid)
        self.process.wait()


def prepare(tmp: Path) -> None:
    """Lays the applications and, if there is a C compiler, the limit server into `tmp`."""
    shutil.copy(HERE / "apps.py", tmp / "load_apps.py")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler:
        source, program = HERE / "limit.c", tmp / "limit"
        subprocess.run([compiler, "-O2", "-Wall", "-o", program, source], check=True)


def start(
    server: Server,
    case: Case,
    python: Path,
    tmp: Path,
    *,
    core: int,
    path: Sequence[str] = (),
    workers: int = 1,
    around: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Running:
    """Starts `server` for `case`, pinned to `core`; it may not answer yet.

    Args:
        python: the interpreter of its environment.
        path: directories put in front of its import path (a source tree).
        around: words put before the command (valgrind and the like).
        environ: environment variables beyond those of the entry.
    """
    port = free_port()
    stem = f"{server.name}-{case.name}-{port}".replace("/", "_")
    values = {
        "python": str(python),
        "bin": str(python.parent),
        "port": str(port),
        "workers": str(workers),
        "log": str(tmp / f"{stem}.access"),
        "tmp": str(tmp),
    }
    command = [*around, *server.command_line(case, values)]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "GUNICORN_"))}
    env["PYTHONPATH"] = os.pathsep.join([*path, str(tmp)])
    env.update(server.environ)
    env.update(environ or {})
    log = tmp / f"{stem}.out"
    try:
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=tmp,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, {core}),
            )
    except OSError as error:
        raise BenchError(f"{server.name} cannot be started: {error}") from None
    return Running(server, process, port, log)


def free_port() -> int:
    """A TCP port that was free on the loopback address a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
