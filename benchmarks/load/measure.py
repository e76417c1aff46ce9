"""Runs a case: all its servers up side by side, answers compared, then interleaved rounds.

One round is every server once, in turn (A B C, A B C, ...), so that a slow minute of the machine
falls on all of them alike; ratios are taken within a round. Each server is warmed up before the
first round. The window is wrk's whole life: CPU of the server's process tree before and after it,
divided by the answers that wrk counted. Memory is looked at after the window.
"""

import dataclasses
import http.client
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.load import procs, wrk
from benchmarks.load.cases import Case
from benchmarks.load.options import Entry
from benchmarks.load.running import BenchError, Running, make_certificate, start

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
    """Measures one case; the first server is the one that the others' answers are compared with.

    Returns: {"case", "title", "rounds": {server: [round, ...]}, "refused": {server: why}}; a server
        that does not start, answers differently, or has an error in any round, is refused and has
        no rounds.
    """
    able = [entry for entry in entries if entry.server.can_run(case)]
    rounds: dict[str, list[dict[str, float]]] = {}
    refused: dict[str, str] = {}
    servers: list[Running] = []
    try:
        if case.tls:
            make_certificate(tmp)
        for entry in able:
            with _refusing(entry.server.name, rounds, refused):
                servers.append(_started(case, entry, plan, tmp))
        first: dict[str, tuple[int, str, bytes]] = {}
        for server in servers:
            name = server.server.name
            with _refusing(name, rounds, refused):
                server.wait_until_answers()
                answer = server.answer(case)
                check_answers({**first, name: answer})
                window(case, server, dataclasses.replace(plan, seconds=WARM_UP), tmp)
                first = first or {name: answer}
                rounds[name] = []
            if name in refused:
                server.stop()  # it may be busy with what it has failed in
        for number in range(plan.rounds):
            for server in servers:
                name = server.server.name
                if name in rounds:
                    with _refusing(name, rounds, refused):
                        figures = window(case, server, plan, tmp)
                        figures["pss"] = procs.memory(server.pid)[1]
                        rounds[name].append(figures)
                    if name in refused:
                        server.stop()
            print(f"{case.name}: round {number + 1} of {plan.rounds}", file=sys.stderr)
    finally:
        for server in servers:
            server.stop()
    return {"case": case.name, "title": case.title, "rounds": rounds, "refused": refused}


@contextmanager
def _refusing(name: str, rounds: dict[str, Any], refused: dict[str, str]) -> Iterator[None]:
    """What goes wrong inside is that server's affair: it is refused, the others go on."""
    try:
        yield
    except (BenchError, OSError, http.client.HTTPException) as error:
        refused[name] = str(error) or type(error).__name__
        rounds.pop(name, None)


def _started(case: Case, entry: Entry, plan: Plan, tmp: Path) -> Running:
    return start(
        entry.server,
        case,
        entry.home.python,
        tmp,
        core=plan.server_core,
        more_cores=(plan.client_core,) if case.workers > 1 else (),
        path=entry.home.path,
        workers=case.workers,
    )


def window(case: Case, server: Running, plan: Plan, tmp: Path) -> dict[str, float]:
    """One measured window of one server: what wrk counted, and the server's CPU meanwhile.

    `others`, the share of the server's core that went to other processes, is left out where server
    and client share their cores.
    """
    shared = case.workers > 1
    before, busy = procs.usage(server.pid), procs.core_busy(plan.server_core)
    counts = wrk.run(
        case,
        server.port,
        tmp,
        cores={plan.server_core, plan.client_core} if shared else {plan.client_core},
        seconds=plan.seconds,
        connections=plan.connections,
        scheme="https" if server.tls else "http",
    )
    cpu = procs.usage(server.pid).since(before)
    busy = procs.core_busy(plan.server_core) - busy
    if server.process.poll() is not None:
        raise BenchError(f"the server ended:\n{server.said()}")
    figures = {
        "cpu_us": round(cpu * 1e6 / counts["requests"], 3),
        "rate": round(counts["rate"], 1),
        "requests": counts["requests"],
    }
    if case.pipeline == 1:  # else wrk's times are not those of a request
        figures |= {name: counts[name] for name in ("p50_us", "p99_us", "p999_us")}
    if not shared:
        figures["others"] = round(max(0.0, busy - cpu) * 1e6 / counts["duration_us"], 3)
    return figures


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
