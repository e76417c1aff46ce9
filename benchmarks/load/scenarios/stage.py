"""Where scenarios play: the only place that starts servers for them and takes turns between them.

All servers of a scenario are up side by side on the server's core and are measured in turn (A B C,
A B C, ...). The tool itself, whose own clients are part of what it measures with, sits on the other
core together with wrk.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from benchmarks.load import measure, options, procs
from benchmarks.load.cases import PLAIN, Case
from benchmarks.load.figures import Sheet
from benchmarks.load.running import BenchError, Running, start

LOOK = 0.002  # seconds between two looks whether a server answers

Servers = dict[str, Running]


class Stage:
    """What a scenario gets.

    Args:
        args: the tool's command line, which says where servers live and which are wanted.
        plan: rounds, seconds per window, connections, the two cores.
        tmp: the run's directory.
    """

    def __init__(self, args: argparse.Namespace, plan: measure.Plan, tmp: Path):
        self.args = args
        self.plan = plan
        self.tmp = tmp
        self.used: dict[str, options.Entry] = {}
        self.others: list[float] = []  # shares of the server's core that went to other processes

    @contextmanager
    def servers(
        self,
        sheet: Sheet,
        names: Sequence[str],
        *more: str,
        app: str = "scene",
        module: str = PLAIN,
        workers: int = 1,
        ready: str = "/",
        tls: bool = False,
    ) -> Iterator[Servers]:
        """Starts those of `names` that are wanted, each with the options `more`; ends them after.

        Args:
            app: the application's name in its module.
            ready: the path that tells that a server is up.
            tls: `more` makes them speak TLS.
        """
        up: Servers = {}
        started = []
        try:
            for name in self.wanted(names):
                with sheet.guard(name):
                    (entry,) = options.entries([name], self.args)
                    server = entry.server.with_options(*more) if more else entry.server
                    server = replace(server, tls=server.tls or tls)
                    case, where = Case(sheet.name, "", app=app, module=module), entry.home
                    started.append(
                        start(
                            server,
                            case,
                            where.python,
                            self.tmp,
                            core=self.plan.server_core,
                            path=where.path,
                            workers=workers,
                        )
                    )
                    self.used[name] = entry
            for running in started:
                with sheet.guard(running.server.name):
                    running.wait_until_answers(path=ready)
                    if workers > 1:
                        running.wait_until_settled(workers + 1)
                    up[running.server.name] = running
            yield up
        finally:
            for running in started:
                running.stop()

    def alone(self, sheet: Sheet, names: Sequence[str]) -> Iterator[tuple[str, Running, float]]:
        """Starts those of `names` that are wanted one after the other; each ends before the next.

        Gives the name, the server and the seconds from exec to its first answer. What the caller
        finds wrong is to be said inside the sheet's guard.
        """
        for name in self.wanted(names):
            if name in sheet.refused:
                continue
            running = None
            try:
                with sheet.guard(name):
                    (entry,) = options.entries([name], self.args)
                    self.used[name] = entry
                    core, where = self.plan.server_core, entry.home
                    begin = time.monotonic()
                    case = Case(sheet.name, "", app="scene")
                    running = start(
                        entry.server, case, where.python, self.tmp, core=core, path=where.path
                    )
                    running.wait_until_answers(pause=LOOK)
                    seconds = time.monotonic() - begin
                if name not in sheet.refused:
                    yield name, running, seconds
            finally:
                if running is not None:
                    running.stop()

    def wanted(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that the command line asks for, all if it names none."""
        if self.args.servers is None:
            return list(names)
        given = [name.strip() for name in self.args.servers.split(",")]
        return [name for name in given if name.partition("@")[0] in names]

    def turns(
        self, sheet: Sheet, servers: Servers, rounds: int | None = None
    ) -> Iterator[tuple[str, Running]]:
        """Every server once, in turn, for each round; those that were refused are left out."""
        rounds = rounds or self.plan.rounds
        for number in range(rounds):
            for name, server in servers.items():
                if name not in sheet.refused:
                    before = self._not_by(server)
                    begin = time.monotonic()
                    yield name, server
                    spent = self._not_by(server) - before
                    self.others.append(max(0.0, spent) / (time.monotonic() - begin))
            print(f"{sheet.name}: round {number + 1} of {rounds}", file=sys.stderr)

    def _not_by(self, server: Running) -> float:
        """Seconds that the server's core has worked for anybody but this server, so far."""
        return procs.core_busy(self.plan.server_core) - procs.tree_cpu(server.pid)

    def wrk(
        self,
        server: Running,
        path: str = "/",
        *,
        connections: int | None = None,
        seconds: int | None = None,
        pause: int = 0,
    ) -> dict[str, float]:
        """One window of wrk on keep-alive connections, see `measure.window`."""
        case = Case("scene", "", path=path, pause=pause)
        plan = replace(
            self.plan,
            connections=connections or self.plan.connections,
            seconds=seconds or self.plan.seconds,
        )
        return measure.window(case, server, plan, self.tmp)

    def warm_up(self, sheet: Sheet, servers: Servers) -> None:
        """A second of wrk for each server, not counted."""
        for name, server in servers.items():
            with sheet.guard(name):
                self.wrk(server, seconds=measure.WARM_UP)


def allow_descriptors(needed: int) -> None:
    """Raises `ulimit -n` of this process and of what it starts; BenchError where that is denied."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise BenchError(f"{needed} descriptors are needed, ulimit -Hn is {hard}")
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
