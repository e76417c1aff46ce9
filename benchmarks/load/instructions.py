"""`python -m benchmarks.load.instructions`: user-space instructions per request, under callgrind.

Repeatable on a machine too noisy for timing. The server runs under valgrind (Debian: valgrind) with
one worker; after a warm-up the counters are dumped and start from zero, then exactly `--requests`
requests are sent and the counters are dumped again: boot and warm-up are in the first part only.
Valgrind makes a server slower by far, so its clock is slowed down too (slow_clock.c, which takes a
C compiler), and what it does in as much time without a request (a third part) is subtracted: else
the figure would depend on how busy the machine is. Only the process that serves counts. System
calls count as the instructions before and after them; what the kernel does is not seen. With --keep
the second part stays for callgrind_annotate --inclusive=no: it is the profile of the steady state.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.load import options, procs
from benchmarks.load.cases import CASES, Case
from benchmarks.load.client import read_answer
from benchmarks.load.report import table
from benchmarks.load.running import HERE, HOST, BenchError, Running, prepare, start
from benchmarks.load.servers import SERVERS

WARM_UP = 200  # requests before the counted ones


class Client:
    """Sends one request at a time on each of a few connections, as many as it is told to.

    The server stands still while requests are written: it finds them all at once, so how often it
    goes to sleep does not depend on how fast this client is beside it on a busy machine.
    """

    def __init__(self, case: Case, server: Running, connections: int):
        self.request = case.request(f"{HOST}:{server.port}")
        self.port = server.port
        self.pids = [stat.pid for stat in procs.tree(server.pid)]
        self.connections = connections
        self.open: dict[int, socket.socket] = {}

    def send(self, count: int) -> None:
        """Has `count` requests answered; all connections are written to before any is read."""
        while count:
            turn = range(min(count, self.connections))
            self._signal(signal.SIGSTOP)
            try:
                for index in turn:
                    if index not in self.open:
                        self.open[index] = socket.create_connection((HOST, self.port), timeout=120)
                    self.open[index].sendall(self.request)
            finally:
                self._signal(signal.SIGCONT)
            for index in turn:
                keep, _ = read_answer(self.open[index])
                if not keep:
                    self.open.pop(index).close()
            count -= len(turn)

    def _signal(self, number: int) -> None:
        for pid in self.pids:
            os.kill(pid, number)

    def close(self) -> None:
        while self.open:
            self.open.popitem()[1].close()


def count(entry: options.Entry, case: Case, args: argparse.Namespace, tmp: Path) -> float:
    """Instructions per request of the whole process tree of one server."""
    output = tmp / f"callgrind-{entry.server.name}-{case.name}"
    around = ["valgrind", "-q", "--tool=callgrind", "--trace-children=yes"]
    around += [f"--callgrind-out-file={output}.%p", "--compress-strings=no"]
    core, client_core = options.two_cores(args.cores)
    # Valgrind-aware builds of CPython would switch their allocator off: keep the usual one.
    environ = {"PYTHONMALLOC": "default", "PYTHONHASHSEED": "0", "LD_PRELOAD": slow_clock(tmp)}
    server = start(
        entry.server,
        case,
        entry.home.python,
        tmp,
        core=core,
        path=entry.home.path,
        around=around,
        environ=environ,
    )
    try:
        server.wait_until_answers(180)
        client = Client(case, server, args.connections)
        client.send(WARM_UP)
        dump(server)
        begin = time.monotonic()
        client.send(args.requests)
        spent = time.monotonic() - begin
        dump(server)
        time.sleep(spent)
        dump(server)
        client.close()
        parts = sorted(tmp.glob(f"{output.name}.*.2"))
        totals = {part: part_total(part.read_text()) for part in parts}
        serving = max(totals, key=totals.__getitem__)  # a master only has its clock to look at
        busy, idle = totals[serving], part_total(serving.with_suffix(".3").read_text())
        requests: int = args.requests
        if args.keep:
            args.keep.mkdir(parents=True, exist_ok=True)
            for part in parts:
                shutil.copy(part, args.keep)
        return (busy - idle) / requests
    finally:
        server.stop()


def slow_clock(tmp: Path) -> str:
    """Compiles the library that is preloaded; its path."""
    library = tmp / "slow_clock.so"
    if not library.exists():
        command = ["cc", "-O2", "-Wall", "-shared", "-fPIC", "-o", str(library)]
        done = subprocess.run(
            [*command, str(HERE / "slow_clock.c")], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise BenchError(f"cc: {done.stderr.strip()}")
    return str(library)


def dump(server: Running) -> None:
    """Has every process of the server write its counters to the next part and start from zero."""
    for stat in procs.tree(server.pid):
        done = subprocess.run(
            ["callgrind_control", "-d", str(stat.pid)], capture_output=True, text=True, check=False
        )
        if "OK" not in done.stdout:
            raise BenchError(f"callgrind_control: {done.stdout}{done.stderr}")


def part_total(text: str) -> int:
    """The instructions in one callgrind part (its `totals:` line)."""
    for line in reversed(text.splitlines()):
        if line.startswith(("totals:", "summary:")):
            return int(line.split()[1])
    raise BenchError("a callgrind part without totals")


def main(words: Iterable[str] | None = None) -> int:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.load.instructions",
        description="User-space instructions per request, counted by callgrind.",
    )
    made.add_argument("--server", "--servers", default="cyserve-sync", help="comma list")
    made.add_argument("--case", "--cases", default="hello,browser", help="comma list")
    made.add_argument("--requests", type=int, default=2000)
    made.add_argument("--connections", type=int, default=32)
    made.add_argument("--keep", type=Path, metavar="DIR", help="keep the profiles there")
    options.add_arguments(made)
    args = made.parse_args(None if words is None else list(words))
    try:
        if not shutil.which("valgrind"):
            raise BenchError("valgrind is not installed (Debian: apt-get install valgrind)")
        cases = [CASES[name] for name in options.names(args.case, CASES)]
        rows = []
        with tempfile.TemporaryDirectory(prefix="cyserve-bench-") as directory:
            prepare(Path(directory))
            for entry in options.entries(options.names(args.server, SERVERS), args):
                able = [entry.server.can_run(case) for case in cases]
                figures = [
                    f"{count(entry, case, args, Path(directory)):,.0f}" if can else ""
                    for case, can in zip(cases, able, strict=True)
                ]
                rows.append([entry.server.name, *figures])
        print("\n".join(table(["server", *(case.name for case in cases)], rows)))
        return 0
    except BenchError as error:
        print(f"benchmarks.load.instructions: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
