"""`python -m benchmarks.load`: measures cases and scenarios on the chosen servers, prints or saves.

Exit code 0: every figure asked for is there. 1: a server was refused somewhere, the rest is
reported. 2: nothing could be measured, with the reason on stderr. An aim that is missed is told
by the report and is no error.
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

from benchmarks.load import figures, machine, measure, options, report, venvs, wrk
from benchmarks.load.cases import CASES
from benchmarks.load.running import BenchError, prepare
from benchmarks.load.scenarios.registry import SCENARIOS
from benchmarks.load.scenarios.stage import Stage
from benchmarks.load.servers import SERVERS

# What --all measures with wrk alone, besides the scenarios: what benchmarks/README.md shows.
PAGE_CASES = "hello-close,browser-close,hello-close-log"
PAGE_SERVERS = "cyserve-sync,cyserve-sync-pure,gunicorn-sync,gunicorn-sync-py,bjoern,fastwsgi,limit"


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description="WSGI servers side by side: CPU per request, rate and latency, and scenarios.",
        epilog=f"servers: {', '.join(SERVERS)}. cases: {', '.join(CASES)}. "
        f"scenarios: {', '.join(SCENARIOS)}.",
    )
    made.add_argument(
        "--servers",
        help="comma list; default: cyserve-sync,gunicorn-sync for "
        "cases; scenarios choose for themselves and then leave out the others",
    )
    made.add_argument("--cases", help="comma list, or all; default without scenarios: hello-close")
    made.add_argument("--scenarios", help="comma list, or all")
    made.add_argument(
        "--all",
        action="store_true",
        help="all that benchmarks/README.md shows; takes a quarter of an hour",
    )
    made.add_argument("--base", help="server that cases' ratios refer to; default: the first one")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=int, default=2, help="length of a measured window")
    made.add_argument("--connections", type=int, default=32, help="open at a time")
    made.add_argument("--out", type=Path, metavar="FILE", help="write everything as JSON")
    made.add_argument(
        "--earlier",
        type=Path,
        metavar="FILE",
        help="an earlier --out: what is not measured now is taken from it",
    )
    made.add_argument(
        "--table", action="store_true", help="print Markdown (default without --out and --into)"
    )
    made.add_argument(
        "--into", type=Path, metavar="PAGE", help="put the Markdown between the marks of this page"
    )
    options.add_arguments(made)
    return made


def chosen(args: argparse.Namespace) -> tuple[list[str], list[str], list[str]]:
    """Names of (servers for the cases, cases, scenarios) that the command line asks for."""
    if args.all:
        servers = options.names(args.servers or PAGE_SERVERS, SERVERS)
        return servers, options.names(args.cases or PAGE_CASES, CASES), list(SCENARIOS)
    servers = options.names(args.servers or "cyserve-sync,gunicorn-sync", SERVERS)
    scenarios = _names(args.scenarios, SCENARIOS) if args.scenarios else []
    cases = _names(args.cases or "hello-close", CASES) if args.cases or not scenarios else []
    return servers, cases, scenarios


def _names(text: str, known: dict[str, Any]) -> list[str]:
    return list(known) if text == "all" else options.names(text, known)


def run(args: argparse.Namespace) -> int:
    """Measures and reports; 1 when a server had to be refused somewhere."""
    servers, cases, scenarios = chosen(args)
    cores = options.two_cores(args.cores)
    plan = measure.Plan(args.rounds, args.seconds, args.connections, *cores)
    saved: dict[str, Any] = json.loads(args.earlier.read_text()) if args.earlier else {}
    with tempfile.TemporaryDirectory(prefix="cyserve-bench-") as directory:
        prepare(Path(directory))
        if cases:
            new = measure_cases(servers, cases, plan, args, Path(directory))
            saved["cases"] = merged(saved.get("cases"), new, list(CASES))
        if scenarios:
            new = play_scenarios(scenarios, plan, args, Path(directory))
            saved["scenarios"] = merged(saved.get("scenarios"), new, list(SCENARIOS))
    if args.out:
        args.out.write_text(json.dumps(saved, indent=1) + "\n")
    parts = render(saved)
    if args.into:
        page = args.into.read_text()
        for part, text in parts.items():
            page = report.into_page(page, part, text)
        args.into.write_text(page)
    if args.table or not (args.out or args.into):
        print("\n".join(parts.values()), end="")
    return (
        1 if any(result["refused"] for kind in saved.values() for result in kind["results"]) else 0
    )


def measure_cases(
    wanted: list[str], cases: list[str], plan: measure.Plan, args: argparse.Namespace, tmp: Path
) -> dict[str, Any]:
    """All cases on all servers: {"about", "base", "commands", "results"}."""
    base = args.base or wanted[0]
    if base not in wanted:
        raise BenchError(f"--base {base} is not among --servers")
    entries = options.entries(wanted, args)
    about = about_this(plan, entries)
    about["method"] += "; 1 worker; each server warmed up once"
    results = []
    for name in cases:
        results.append(measure.run_case(CASES[name], entries, plan, tmp))
        results[-1]["when"] = now()
    commands = {entry.server.name: " ".join(entry.server.command) for entry in entries}
    return {"about": about, "base": base, "commands": commands, "results": results}


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
    """The machine, the client, what each server is, and the method."""
    about = {**machine.describe(), "client": f"{wrk.version()}, 1 thread, own core"}
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


def render(saved: dict[str, Any]) -> dict[str, str]:
    """The parts of the page that can be made of it, as Markdown."""
    parts = {}
    if scenarios := saved.get("scenarios"):
        parts["aims"] = "".join(line + "\n" for line in figures.aims_table(scenarios["results"]))
    if cases := saved.get("cases"):
        parts["cases"] = report.markdown(cases["about"], cases["results"], cases["base"])
    if scenarios:
        parts["scenarios"] = figures.markdown(scenarios["about"], scenarios["results"])
    return parts


def main() -> int:
    try:
        return run(parser().parse_args())
    except BenchError as error:
        print(f"benchmarks.load: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
