"""Starts a declared server on one core, waits until it answers, and ends it again.

Every server gets a free port, a session of its own and a log file in the run's temporary
directory; if it does not come up, what it wrote is part of the error.
"""

import http.client
import io
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.load import procs
from benchmarks.load.cases import Case
from benchmarks.load.servers import Server

HOST = "127.0.0.1"
HERE = Path(__file__).parent


class BenchError(Exception):
    """Something that makes a figure worthless; the message says what."""


class Stream(io.BufferedReader):
    """What several responses are read from, one after another, though each wants to close it."""

    def makefile(self, *_: object) -> "Stream":
        return self

    def close(self) -> None:
        pass


class Running:
    """A server that has been started: `pid`, `port`, `tls`, and the answers it gives."""

    def __init__(
        self,
        server: Server,
        process: "subprocess.Popen[bytes]",
        port: int,
        log: Path,
        tls: bool = False,
    ):
        self.server = server
        self.tls = tls
        self.process = process
        self.pid = process.pid
        self.port = port
        self.log = log
        self.stopped = False

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
        """Sends the case's request as it is measured: (status, content type, body).

        Of pipelined requests the last answer is given; BenchError when it does not come, or when
        the connection goes on though it was to be closed.
        """
        connection = socket.create_connection((HOST, self.port), timeout=10)
        try:
            if self.tls:
                connection = ssl._create_unverified_context().wrap_socket(connection)
            connection.sendall(case.request(f"{HOST}:{self.port}") * case.pipeline)
            stream = Stream(connection.makefile("rb", buffering=0))
            for number in range(case.pipeline):
                response = http.client.HTTPResponse(stream, method=case.method)
                try:
                    response.begin()
                    body = response.read()
                except (OSError, http.client.HTTPException):
                    if number == 0:
                        raise
                    said = f"{self.server.name} answers {number} of {case.pipeline} requests"
                    raise BenchError(said) from None
            if case.closes and not has_ended(connection):
                raise BenchError(f"{self.server.name} keeps a connection that was to be closed")
            return response.status, response.headers.get("Content-Type", ""), body
        finally:
            connection.close()

    def said(self) -> str:
        """The last lines of what the server wrote to stdout and stderr."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])

    def stop(self) -> None:
        """Ends the server and everything it started; a second time does nothing."""
        if not self.stopped:
            self.stopped = True
            procs.stop_tree(self.pid)
            self.process.wait()


def has_ended(connection: socket.socket) -> bool:
    """Whether the other side has closed, within the socket's timeout."""
    try:
        return not connection.recv(1)
    except TimeoutError:
        return False


def prepare(tmp: Path) -> None:
    """Lays the applications, their data and, given a C compiler, the limit server into `tmp`."""
    shutil.copy(HERE / "apps.py", tmp / "load_apps.py")
    for framework in ("flask", "django"):
        shutil.copy(HERE / f"app_{framework}.py", tmp / f"load_{framework}.py")
    (tmp / "megabyte.bin").write_bytes(b"x" * 1_000_000)
    with closing(sqlite3.connect(tmp / "items.sqlite3")) as database, database:
        database.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price INTEGER)")
        rows = [(f"item <{number * 7919 % 1000}>", number) for number in range(1000)]
        database.executemany("INSERT INTO item (name, price) VALUES (?, ?)", rows)
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler:
        source, program = HERE / "limit.c", tmp / "limit"
        subprocess.run([compiler, "-O2", "-Wall", "-o", program, source], check=True)


def make_certificate(tmp: Path) -> None:
    """Writes cert.pem and key.pem (ECDSA P-256, good for 127.0.0.1), unless they are there."""
    if (tmp / "cert.pem").exists():
        return
    if not shutil.which("openssl"):
        raise BenchError("openssl is not installed (Debian: apt-get install openssl)")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "30", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key.pem", "-out", "cert.pem"]
    done = subprocess.run(command, cwd=tmp, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"openssl req: {done.stderr.strip()}")


def start(
    server: Server,
    case: Case,
    python: Path,
    tmp: Path,
    *,
    core: int,
    more_cores: Iterable[int] = (),
    path: Sequence[str] = (),
    workers: int = 1,
    around: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Running:
    """Starts `server` for `case`, pinned to `core`; it may not answer yet.

    Args:
        more_cores: cores that it may run on besides.
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
                preexec_fn=lambda: os.sched_setaffinity(0, {core, *more_cores}),
            )
    except OSError as error:
        raise BenchError(f"{server.name} cannot be started: {error}") from None
    return Running(server, process, port, log, server.tls or case.tls)


def free_port() -> int:
    """A TCP port that was free on the loopback address a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
