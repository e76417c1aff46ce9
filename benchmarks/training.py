"""`python -m benchmarks.training`: the requests by which a profile-guided build learns what is hot.

Not a measurement: setup.py runs this against an instrumented build (CYSERVE_PROFILE_GUIDED=1), and
the compiler then lays the modules out for what was used. So these are the usual requests in about
their usual shares, not the longest list of odd ones: what is never asked here is compiled as usual.
The numbers are fixed, so it ends after some seconds. Only the standard library and cyserve are
needed. Each server must end in the ordinary way, for that is when the profile is written.

Exit code 0: every answer was right. 1: not, with the reason on stderr.
"""

import argparse
import http.client
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.load.cases import BROWSER, CASES, Case
from benchmarks.load.running import HERE, HOST, BenchError, Running, Stream, start
from benchmarks.load.servers import SERVERS
from benchmarks.load.venvs import ROOT, Home, cyserve_home

CONNECTIONS = 8  # open at a time
MODULE = "load_training"


@dataclass(frozen=True)
class Lesson:
    """One request shape, how often it is asked, and what has to come.

    Args:
        case: the request; which application answers it goes by its path.
        times: answers wanted in all.
        body: what has to come, or how many bytes; None: anything.
        status: the same, of the status line.
    """

    case: Case
    times: int
    body: bytes | int | None
    status: int = 200

    def check(self, status: int, body: bytes) -> None:
        """Raises: BenchError when that is not what had to come."""
        if status != self.status or self.body not in (None, body, len(body)):
            said = f"{status}, {len(body)} bytes: {body[:60]!r}"
            raise BenchError(f"{self.case.name}: the answer is wrong: {said}")


def upload(name: str, times: int, size: int, chunked: bool = False) -> Lesson:
    case = Case(name, name, method="POST", path="/upload", body=size, chunked=chunked)
    return Lesson(replace(case, headers=BROWSER[:1] + BROWSER[6:8]), times, b"%d" % size)


HELLO = b"Hello, World!"

#: What every worker is asked, with and without an access log.
USUAL = (
    Lesson(CASES["hello"], 1600, HELLO),
    Lesson(CASES["browser"], 1600, HELLO),
    Lesson(CASES["hello-close"], 400, HELLO),
    Lesson(CASES["browser-close"], 400, HELLO),
    Lesson(Case("page", "a page", path="/page?of=2&by=name", headers=BROWSER), 600, 6_000),
    upload("form", 300, 300),
    Lesson(Case("unchanged", "304", path="/unchanged", headers=BROWSER), 160, b"", 304),
    Lesson(Case("missing", "404", path="/favicon.ico", headers=BROWSER), 80, b"not found", 404),
)
#: What they are asked besides, without.
MORE = (
    Lesson(CASES["pipeline"], 1600, HELLO),
    upload("post-10k", 300, 10_000),
    upload("post-1m", 8, 1_000_000),
    upload("chunked", 160, 2_000, chunked=True),
    upload("chunked-1m", 8, 1_000_000, chunked=True),
    Lesson(Case("several", "a list of pieces", path="/several"), 300, 369),
    Lesson(Case("untold", "a generator", path="/untold", headers=BROWSER), 300, 369),
    Lesson(Case("out-100k", "100 KB out", path="/big"), 160, 100_000),
    Lesson(Case("out-256k", "256 KB in pieces", path="/pieces"), 80, 262_144),
    Lesson(Case("file-1m", "a file", path="/file"), 24, 1_000_000),
    Lesson(Case("head", "HEAD", method="HEAD", path="/page"), 80, b""),
    Lesson(replace(CASES["browser-close"], name="refused", method="G(T"), 8, None, 400),
)
#: (server, with an access log)
CLASSES = (
    ("cyserve-sync", False),
    ("cyserve-sync", True),
    ("cyserve-gthread", False),
    ("cyserve-gthread", True),
    ("cyserve-gthread-4", False),
)


class Pupil:
    """A connection to the server that is trained; opened anew whenever an answer has ended it."""

    def __init__(self, server: Running):
        self.server = server
        self.open: tuple[socket.socket, Stream] | None = None

    def send(self, data: bytes) -> None:
        if self.open is None:
            sock = socket.create_connection((HOST, self.server.port), timeout=60)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.open = sock, Stream(sock.makefile("rb", buffering=0))
        self.open[0].sendall(data)

    def read(self, method: str) -> tuple[int, bytes]:
        """Reads one answer: status and body."""
        assert self.open is not None
        answer = http.client.HTTPResponse(self.open[1], method=method)
        answer.begin()
        body = answer.read()
        if answer.will_close:
            self.close()
        return answer.status, body

    def close(self) -> None:
        if self.open is not None:
            self.open[0].close()
            self.open = None


def teach(server: Running, lesson: Lesson, times: int) -> None:
    """Has the lesson's request answered that often, over some connections at a time."""
    case = lesson.case
    request = case.request(f"{HOST}:{server.port}") * case.pipeline
    pupils = [Pupil(server) for _ in range(CONNECTIONS)]
    try:
        while times > 0:
            turn = pupils[: -(-times // case.pipeline)]
            for pupil in turn:
                pupil.send(request)
            for pupil in turn:
                for _ in range(case.pipeline):
                    lesson.check(*pupil.read(case.method))
            times -= len(turn) * case.pipeline
    except (OSError, http.client.HTTPException) as error:
        raise BenchError(f"{case.name}: no answer: {error!r}") from error
    finally:
        for pupil in pupils:
            pupil.close()


def train(name: str, access_log: bool, home: Home, tmp: Path, quick: bool) -> None:
    """Starts one server, has it answer all its lessons, and ends it."""
    lessons = USUAL if access_log else USUAL + MORE
    if "sync" in name:  # it closes each connection, so there is no row
        lessons = tuple(lesson for lesson in lessons if lesson.case.pipeline == 1)
    case = Case("training", "training", app="app", module=MODULE, access_log=access_log)
    core, *more = sorted(os.sched_getaffinity(0))
    server = start(
        SERVERS[name], case, home.python, tmp, core=core, more_cores=more, path=home.path
    )
    try:
        server.wait_until_answers()
        for lesson in lessons:
            least = lesson.case.pipeline * CONNECTIONS
            teach(server, lesson, min(least, lesson.times) if quick else lesson.times)
    except BenchError as error:
        raise BenchError(f"{name}: {error}\n{server.said()}") from error
    finally:
        server.stop()
    if server.process.returncode:
        raise BenchError(f"{name} ended with {server.process.returncode}:\n{server.said()}")


def main(words: Iterable[str] | None = None) -> int:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description="Has cyserve answer the requests that a profile-guided build learns from.",
    )
    made.add_argument(
        "--cyserve",
        type=Path,
        default=ROOT,
        metavar="PATH",
        help="directory or virtual environment that cyserve is in; default: this tree",
    )
    made.add_argument("--pure", action="store_true", help="its pure-Python twin")
    made.add_argument("--quick", action="store_true", help="a few requests of each kind")
    args = made.parse_args(None if words is None else list(words))
    try:
        home = cyserve_home(args.cyserve)
        with tempfile.TemporaryDirectory(prefix="cyserve-training-") as directory:
            tmp = Path(directory)
            shutil.copy(HERE / "apps.py", tmp / "load_apps.py")
            shutil.copy(HERE / "app_training.py", tmp / f"{MODULE}.py")
            (tmp / "megabyte.bin").write_bytes(b"x" * 1_000_000)
            for name, access_log in CLASSES:
                train(name + "-pure" * args.pure, access_log, home, tmp, args.quick)
    except (BenchError, OSError) as error:
        print(f"benchmarks.training: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
