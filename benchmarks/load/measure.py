"""Runs a case: all its servers up side by side, answers compared, then interleaved rounds.

One round is every server once, in turn (A B C, A B C, ...), so that a slow minute of the machine
falls on all of them alike; ratios are taken within a round. Each server is warmed up before the
first round. The window is wrk's whole life: CPU of the server's process tree before and after it,
divided by the answers that wrk counted.
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.load import procs, wrk
from benchmarks.load.cases import Case
from benchmarks.load.options import Entry
from benchmarks.load.running import BenchError, Running, start

WARM_UP = 1  # seconds, wrk's smallest


@dataclasses.dataclass(frozen=True)
class Plan:
    """How long and how hard: rounds, seconds per window, connections, the two cores."""

    rounds: int
    seconds: int
    connections: int
    server_core: int
    client_core: int


def run_case(case: Case, entries: Sequence[Entry], plan: Plan, tmp: Path) -> dict[str, Any]:
    """Measures one case.

    Returns: {"case", "title", "rounds": {server: [round, ...]}, "refused": {server: why}}; a server
        that does not start, or with an error in any round, is refused and has no rounds.
    Raises: BenchError when the servers' answers differ.
    """
    able = [entry for entry in entries if entry.server.can_run(case)]
    rounds: dict[str, list[dict[str, float]]] = {}
    refused: dict[str, str] = {}
    servers: list[Running] = []
    try:
        for entry in able:
            where, path = entry.home.python, entry.home.path
            servers.append(start(entry.server, case, where, tmp, core=plan.server_core, path=path))
        for server in servers:
            try:
                server.wait_until_answers()
                window(case, server, dataclasses.replace(plan, seconds=WARM_UP), tmp)
                rounds[server.server.name] = []
            except BenchError as error:
                refused[server.server.name] = str(error)
        up = [server for server in servers if server.server.name in rounds]
        check_answers({server.server.name: server.answer(case) for server in up})
        for number in range(plan.rounds):
            for server in up:
                name = server.server.name
                if name in refused:
                    continue
                try:
                    rounds[name].append(window(case, server, plan, tmp))
                except BenchError as error:
                    refused[name] = str(error)
                    rounds.pop(name)
            print(f"{case.name}: round {number + 1} of {plan.rounds}", file=sys.stderr)
    finally:
        for server in servers:
            server.stop()
    return {"case": case.name, "title": case.title, "rounds": rounds, "refused": refused}


def window(case: Case, server: Running, plan: Plan, tmp: Path) -> dict[str, float]:
    """One measured window of one server: what wrk counted, and the server's CPU meanwhile."""
    cpu, busy = procs.tree_cpu(server.pid), procs.core_busy(plan.server_core)
    counts = wrk.run(
        case,
        server.port,
        tmp,
        core=plan.client_core,
        seconds=plan.seconds,
        connections=plan.connections,
        scheme="https" if server.server.tls else "http",
    )
    cpu = procs.tree_cpu(server.pid) - cpu
    busy = procs.core_busy(plan.server_core) - busy
    if server.process.poll() is not None:
        raise BenchError(f"the server ended:\n{server.said()}")
    return {
        "cpu_us": cpu * 1e6 / counts["requests"],
        "rate": counts["rate"],
        "p50_us": counts["p50_us"],
        "p99_us": counts["p99_us"],
        "p999_us": counts["p999_us"],
        "requests": counts["requests"],
        "others": max(0.0, busy - cpu) * 1e6 / counts["duration_us"],
    }


def check_answers(answers: dict[str, tuple[int, str, bytes]]) -> None:
    """Raises BenchError unless every server gave the same status 200, type and body."""
    expected: tuple[int, str, bytes] | None = None
    for name, answer in answers.items():
        status, kind, body = answer
        if status != 200:
            raise BenchError(f"{name} answers {status}")
        expected = expected or answer
        if answer != expected:
            raise BenchError(
                f"answers differ: {name} gives {kind!r}, {len(body)} bytes; "
                f"{next(iter(answers))} gives {expected[1]!r}, {len(expected[2])} bytes"
            )
