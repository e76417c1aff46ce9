"""`python -m benchmarks.load`: measures the chosen cases on the chosen servers, prints or saves.

Exit code 0: every figure asked for is there. 1: a server was refused in some case, the rest is
reported. 2: nothing could be measured, with the reason on stderr.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.load import machine, measure, options, report, venvs, wrk
from benchmarks.load.cases import CASES
from benchmarks.load.running import BenchError, prepare
from benchmarks.load.servers import SERVERS


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.load",
        description="CPU per request, rate and latency of WSGI servers side by side.",
        epilog=f"servers: {', '.join(SERVERS)}. cases: {', '.join(CASES)}.",
    )
    made.add_argument("--servers", default="cyserve-sync,gunicorn-sync", help="comma list")
    made.add_argument("--cases", default="hello-close", help="comma list, or all")
    made.add_argument("--base", help="server that ratios refer to; default: the first one")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--seconds", type=int, default=3, help="length of a measured window")
    made.add_argument("--connections", type=int, default=32, help="open at a time")
    made.add_argument("--out", type=Path, metavar="FILE", help="write everything as JSON")
    made.add_argument(
        "--table", action="store_true", help="print Markdown (default without --out and --into)"
    )
    made.add_argument(
        "--into", type=Path, metavar="PAGE", help="put the Markdown between the marks of this page"
    )
    options.add_arguments(made)
    return made


def run(args: argparse.Namespace) -> int:
    """Measures and reports; 1 when a server had to be refused in some case."""
    wanted = options.names(args.servers, SERVERS)
    cases = list(CASES) if args.cases == "all" else options.names(args.cases, CASES)
    base = args.base or wanted[0]
    if base not in wanted:
        raise BenchError(f"--base {base} is not among --servers")
    server_core, client_core = options.two_cores(args.cores)
    plan = measure.Plan(args.rounds, args.seconds, args.connections, server_core, client_core)
    about = {**machine.describe(), "client": f"{wrk.version()}, 1 thread, own core"}
    entries = options.entries(wanted, args)
    for entry in entries:
        about[entry.server.name] = venvs.versions(entry.home, entry.server)
    about["method"] = (
        f"{plan.connections} connections, 1 worker, server on one core; {plan.rounds} interleaved "
        f"rounds of {plan.seconds} s after a warm-up each; medians; ratios within a round"
    )
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="cyserve-bench-") as directory:
        prepare(Path(directory))
        for name in cases:
            results.append(measure.run_case(CASES[name], entries, plan, Path(directory)))
    if args.out:
        saved = {"about": about, "base": base, "commands": commands(entries), "results": results}
        args.out.write_text(json.dumps(saved, indent=1) + "\n")
    text = report.markdown(about, results, base)
    if args.into:
        args.into.write_text(report.into_page(args.into.read_text(), text))
    if args.table or not (args.out or args.into):
        print(text, end="")
    return 1 if any(result["refused"] for result in results) else 0


def commands(entries: list[options.Entry]) -> dict[str, str]:
    """Each server's command as declared, for whoever reads the JSON."""
    return {entry.server.name: " ".join(entry.server.command) for entry in entries}


def main() -> int:
    try:
        return run(parser().parse_args())
    except BenchError as error:
        print(f"benchmarks.load: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
