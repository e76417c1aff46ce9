"""`python -m benchmarks.load`: measures cases and scenarios, saves, renders and publishes figures.

Exit code 0: every figure of cyserve's is there. 1: cyserve was refused somewhere, the rest is
reported. 2: nothing could be measured, with the reason on stderr. A rival that cannot be had or
fails in a case is told by the report and is no error, nor is an aim that is missed.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.load import lineup, machine, measure, options, page, venvs, wrk
from benchmarks.load.cases import CASES
from benchmarks.load.lineup import LINEUP, QUICK
from benchmarks.load.running import BenchError, prepare
from benchmarks.load.scenarios.registry import BOOT, SCENARIOS
from benchmarks.load.scenarios.stage import Stage
from benchmarks.load.servers import SERVERS


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description="WSGI servers side by side: CPU per request, rate, latency, memory; scenarios. "
        "Without --cases, --servers and --scenarios: every case on its usual servers, and boot.",
        epilog=f"servers: {', '.join(SERVERS)}. cases: {', '.join(CASES)}. "
        f"scenarios: {', '.join(SCENARIOS)}.",
    )
    made.add_argument(
        "--servers",
        help="comma list; default: each case's and each scenario's own; scenarios leave out what "
        "they do not know",
    )
    made.add_argument("--cases", help="comma list, or all; default without scenarios: the usual")
    made.add_argument("--scenarios", help="comma list, or all")
    made.add_argument("--all", action="store_true", help="the usual cases, then all scenarios")
    made.add_argument(
        "--quick", action="store_true", help="a smoke test: few cases and servers, one second each"
    )
    made.add_argument("--base", help="server that ratios refer to; default: the case's first one")
    made.add_argument("--rounds", type=int, help="default: 5")
    made.add_argument(
        "--seconds", type=int, help="a measured window; default: 1 for cases, 2 for scenarios"
    )
    made.add_argument("--connections", type=int, default=32, help="open at a time")
    made.add_argument(
        "--out", type=Path, metavar="FILE", help="save as JSON, with a report (.md, .svg) beside it"
    )
    made.add_argument(
        "--earlier",
        type=Path,
        metavar="FILE",
        help="an earlier --out: what is not measured now is taken from it",
    )
    made.add_argument(
        "--render", type=Path, metavar="FILE", help="measure nothing: all from this --out"
    )
    made.add_argument(
        "--publish", action="store_true", help="put the figures into the project's own pages"
    )
    made.add_argument("--table", action="store_true", help="print the report though it is saved")
    options.add_arguments(made)
    return made


def chosen(args: argparse.Namespace) -> tuple[dict[str, list[str]], list[str]]:
    """(cases with their servers, scenarios) that the command line asks for."""
    scenarios: list[str] = []
    if args.scenarios:
        scenarios = _names(args.scenarios, SCENARIOS)
    elif args.all:
        scenarios = list(SCENARIOS)
    elif not (args.cases or args.servers or args.quick):
        scenarios = list(BOOT)
    usual = QUICK if args.quick else LINEUP
    if args.cases:
        cases = _names(args.cases, CASES)
    else:
        cases = [] if args.scenarios else list(usual)
    if args.servers:
        given = options.names(args.servers, SERVERS)
        return dict.fromkeys(cases, given), scenarios
    return {case: list(usual.get(case) or LINEUP.get(case) or BOTH) for case in cases}, scenarios


BOTH = ("cyserve-sync", "gunicorn-sync")  # where a case has no servers of its own


def _names(text: str, known: dict[str, Any]) -> list[str]:
    return list(known) if text == "all" else options.names(text, known)


def run(args: argparse.Namespace) -> int:
    """Measures or renders; 1 when cyserve had to be refused somewhere."""
    if args.render:
        saved: dict[str, Any] = json.loads(args.render.read_text(encoding="utf-8"))
    else:
        saved = measured(args)
    written = page.beside(saved, args.out) if args.out else []
    if args.publish:
        written += page.publish(saved)
    if args.table or not written:
        print(page.whole(saved), end="")
    elif "must" in (made := page.parts(saved)):
        print(made["must"], end="")
    for file in written:
        print(f"written: {file}", file=sys.stderr)
    refused = [
        name for kind in saved.values() for one in kind["results"] for name in one["refused"]
    ]
    return 1 if any(name.startswith("cyserve") for name in refused) else 0


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """The results of all that is asked for, laid over those of the earlier run."""
    cases, scenarios = chosen(args)
    cores = options.two_cores(args.cores)
    wrk.version()  # now rather than after the environments are built
    rounds = args.rounds or (1 if args.quick else 5)
    saved: dict[str, Any] = json.loads(args.earlier.read_text()) if args.earlier else {}
    with tempfile.TemporaryDirectory(prefix="cyserve-bench-") as directory:
        prepare(Path(directory))
        if cases:
            plan = measure.Plan(rounds, args.seconds or 1, args.connections, *cores)
            new = measure_cases(cases, plan, args, Path(directory))
            saved["cases"] = merged(saved.get("cases"), new, list(CASES))
        plan = measure.Plan(rounds, args.seconds or 2, args.connections, *cores)
        for part, some in (
            ("boot", [name for name in scenarios if name in BOOT]),
            ("scenarios", [name for name in scenarios if name not in BOOT]),
        ):
            if some:
                new = play_scenarios(some, plan, args, Path(directory))
                saved[part] = merged(saved.get(part), new, list(SCENARIOS))
    return saved


def measure_cases(
    cases: dict[str, list[str]], plan: measure.Plan, args: argparse.Namespace, tmp: Path
) -> dict[str, Any]:
    """All cases on their servers: {"about", "left_out", "commands", "results"}."""
    found, left_out = options.available(lineup.names(cases), args)
    for name, why in left_out.items():
        print(f"{name} is left out: {why}", file=sys.stderr)
    if not found:
        raise BenchError("none of the servers can be had")
    windows = sum(
        entry.server.can_run(CASES[case])
        for case, servers in cases.items()
        for name, entry in found.items()
        if name in servers
    )
    minutes = windows * (plan.rounds * (plan.seconds + 0.2) + measure.WARM_UP + 0.5) / 60
    print(f"{len(cases)} cases, {windows} windows a round: some {minutes:.0f} min", file=sys.stderr)
    about = about_this(plan, list(found.values()))
    about["method"] += "; 1 worker where nothing else is said; each server warmed up once"
    results = []
    for name, servers in cases.items():
        entries = [found[server] for server in servers if server in found]
        result = measure.run_case(CASES[name], entries, plan, tmp)
        for server, why in result["refused"].items():
            print(f"{name}: {server} is refused: {why}", file=sys.stderr)
        base = args.base if args.base in result["rounds"] else next(iter(result["rounds"]), "")
        results.append({**result, "base": base, "when": now()})
    commands = {name: " ".join(entry.server.command) for name, entry in found.items()}
    return {"about": about, "left_out": left_out, "commands": commands, "results": results}


def play_scenarios(
    names: list[str], plan: measure.Plan, args: argparse.Namespace, tmp: Path
) -> dict[str, Any]:
    """All these scenarios: {"about", "commands", "results"}."""
    os.sched_setaffinity(0, {plan.client_core})  # the scenarios' clients are in this process
    stage = Stage(args, plan, tmp)
    results = []
    for name in names:
        begin = time.monotonic()
        stage.others.clear()
        results.append({**SCENARIOS[name](stage).result(), "when": now()})
        if stage.others:
            results[-1]["others"] = median(stage.others)
        print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
    entries = list(stage.used.values())
    commands = {entry.server.name: " ".join(entry.server.command) for entry in entries}
    return {"about": about_this(plan, entries), "commands": commands, "results": results}


def about_this(plan: measure.Plan, entries: list[options.Entry]) -> dict[str, str]:
    """The machine, the day, the client, what each server is, and the method."""
    about = {**machine.describe(), "when": now()}
    about["client"] = f"{wrk.version()}, 1 thread, own core"
    for entry in entries:
        about[entry.server.name] = venvs.versions(entry.home, entry.server)
    about["method"] = (
        f"server on one core, client on the other; {plan.rounds} interleaved rounds of "
        f"{plan.seconds} s where nothing else is said; medians; ratios within a round; "
        f"{plan.connections} connections"
    )
    return about


def merged(old: dict[str, Any] | None, new: dict[str, Any], order: list[str]) -> dict[str, Any]:
    """What was measured now, and of an earlier run what was not; results in the order given."""
    if old is None:
        return new
    results = {name_of(result): result for result in [*old["results"], *new["results"]]}
    ordered = sorted(results.values(), key=lambda result: order.index(name_of(result)))
    both = {key: {**old[key], **new[key]} for key in ("about", "commands")}
    return {**new, **both, "results": ordered}


def name_of(result: dict[str, Any]) -> str:
    """The name of the case or of the scenario."""
    return str(result.get("case") or result["scenario"])


def now() -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())


def main() -> int:
    try:
        return run(parser().parse_args())
    except BenchError as error:
        print(f"benchmarks.load: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
