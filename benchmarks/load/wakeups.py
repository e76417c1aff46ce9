"""`python -m benchmarks.load.wakeups`: how often the processes of a server wake up for nothing.

Two questions. A herd: with many idle workers on one listener, how many processes does one
connection wake, and how often? Idling: how often does each process wake up when nothing happens?
A wake-up is counted as a voluntary context switch: the process had gone to sleep once more. The
herd is counted around each connection, so periodic wake-ups (heartbeats) blur it little; what they
come to over the same time is given beside it.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import mean

from benchmarks.load import options, procs
from benchmarks.load.cases import CASES
from benchmarks.load.report import table
from benchmarks.load.running import BenchError, Running, prepare, start
from benchmarks.load.servers import SERVERS

SETTLE = 0.02  # seconds after an answer until its last process is asleep again


@dataclass(frozen=True)
class Herd:
    """Means per connection, and the wake-ups that the same time would have seen anyway."""

    processes: float
    wakeups: float
    background: float


def herd(server: Running, connections: int) -> Herd:
    """Opens `connections` connections one after another, one request each."""
    case = CASES["hello-close"]
    woken, total, background, spent = [], [], 0, 0.0

    def one_request() -> None:
        server.answer(case)
        time.sleep(SETTLE)

    for _ in range(connections):
        idle, _ = _during(server.pid, partial(time.sleep, SETTLE))
        background += sum(idle.values())
        begin = time.monotonic()
        counts, _ = _during(server.pid, one_request)
        spent += time.monotonic() - begin
        woken.append(len(counts))
        total.append(sum(counts.values()))
    idle_share = background / (connections * SETTLE) * spent / connections
    return Herd(mean(woken), mean(total), idle_share)


def idling(server: Running, seconds: float) -> list[tuple[int, float]]:
    """Wake-ups per second of each process while nothing happens: (pid, rate), master first."""
    counts, pids = _during(server.pid, partial(time.sleep, seconds))
    return [(pid, counts.get(pid, 0) / seconds) for pid in pids]


def _during(root: int, action: Callable[[], object]) -> tuple[dict[int, int], list[int]]:
    """Runs `action`; the wake-ups of each process that had any, and all processes, root first."""
    pids = [root, *(stat.pid for stat in procs.tree(root) if stat.pid != root)]
    before = {pid: procs.switches(pid) for pid in pids}
    action()
    after = {pid: procs.switches(pid) for pid in pids}
    return {pid: after[pid] - before[pid] for pid in pids if after[pid] > before[pid]}, pids


def main() -> int:
    made = argparse.ArgumentParser(prog="python -m benchmarks.load.wakeups", description=__doc__)
    made.add_argument("--servers", default="cyserve-sync,gunicorn-sync", help="comma list")
    made.add_argument("--workers", type=int, default=16, help="idle workers in the herd")
    made.add_argument("--connections", type=int, default=100)
    made.add_argument("--idle-workers", type=int, default=4, help="workers while idling")
    made.add_argument("--idle-seconds", type=float, default=20.0)
    options.add_arguments(made)
    try:
        return run(made.parse_args())
    except BenchError as error:
        print(f"benchmarks.load.wakeups: {error}", file=sys.stderr)
        return 2


def run(args: argparse.Namespace) -> int:
    """Measures every server in turn and prints both tables."""
    herds, idles = [], []
    core = options.two_cores(args.cores)[0]
    with tempfile.TemporaryDirectory(prefix="cyserve-bench-") as directory:
        prepare(Path(directory))
        for entry in options.entries(options.names(args.servers, SERVERS), args):
            name = entry.server.name
            if not entry.server.workers:
                raise BenchError(f"{name} has no workers to count")
            with _running(entry, args.workers, core, Path(directory)) as server:
                seen = herd(server, args.connections)
            figures = (
                seen.processes,
                seen.wakeups,
                seen.background,
                seen.wakeups - seen.background,
            )
            herds.append([name, *(f"{figure:.2f}" for figure in figures)])
            with _running(entry, args.idle_workers, core, Path(directory)) as server:
                (_, master), *workers = idling(server, args.idle_seconds)
            idles.append([name, f"{master:.2f}", " ".join(f"{rate:.2f}" for _, rate in workers)])
    print(f"One connection, {args.workers} idle workers (means over {args.connections}):\n")
    head = ["server", "processes woken", "wake-ups", "of these by the clock", "by the connection"]
    print("\n".join(table(head, herds)))
    print(f"\nIdle for {args.idle_seconds:g} s, wake-ups per second:\n")
    print("\n".join(table(["server", "master", "each worker"], idles)))
    return 0


@contextmanager
def _running(entry: options.Entry, workers: int, core: int, tmp: Path) -> Iterator[Running]:
    """A server with that many workers, all of them there and asleep."""
    case, where = CASES["hello-close"], entry.home
    server = start(
        entry.server, case, where.python, tmp, core=core, path=where.path, workers=workers
    )
    try:
        server.wait_until_answers()
        server.wait_until_settled(workers + 1)
        yield server
    finally:
        server.stop()


if __name__ == "__main__":
    sys.exit(main())
