"""The command line options that all the tools of this package share, and what they resolve to.

`--servers` takes names from `servers`; `cyserve-sync@LABEL` is cyserve-sync from the tree or
environment given by `--tree LABEL=PATH`, so that two states of the code can run side by side.
"""

import argparse
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.load.running import BenchError
from benchmarks.load.servers import SERVERS, Server
from benchmarks.load.venvs import ROOT, Home, cyserve_home, home


@dataclasses.dataclass(frozen=True)
class Entry:
    """A server that was asked for, with the place it runs in."""

    server: Server
    home: Home


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds --cyserve, --tree, --venv and --cores."""
    parser.add_argument(
        "--cyserve",
        type=Path,
        default=ROOT,
        metavar="PATH",
        help="source tree (built in place) or virtual environment of cyserve; default: this tree",
    )
    parser.add_argument(
        "--tree",
        type=pair,
        action="append",
        default=[],
        metavar="LABEL=PATH",
        help="another cyserve, measured as SERVER@LABEL",
    )
    parser.add_argument(
        "--venv",
        type=pair,
        action="append",
        default=[pair(word) for word in os.environ.get("CYSERVE_BENCH_VENVS", "").split()],
        metavar="NAME=PATH",
        help="environment to use for gunicorn or rivals instead of building one under build/bench/ "
        "(also: CYSERVE_BENCH_VENVS, pairs with blanks between)",
    )
    parser.add_argument(
        "--cores",
        type=cores,
        default=None,
        metavar="SERVER,CLIENT",
        help="core for the server and core for the client; default: the first two we may use",
    )


def pair(text: str) -> tuple[str, Path]:
    """Reads NAME=PATH."""
    name, sign, path = text.partition("=")
    if not (name and sign and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=PATH")
    return name, Path(path)


def cores(text: str) -> tuple[int, int]:
    """Reads two core numbers."""
    try:
        server, client = (int(word) for word in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not SERVER,CLIENT") from None
    return server, client


def two_cores(given: tuple[int, int] | None) -> tuple[int, int]:
    """The cores to use: those given, else the first two this process may run on."""
    allowed = sorted(os.sched_getaffinity(0))
    if given is None:
        if len(allowed) < 2:
            raise BenchError("two cores are needed: one for the server, one for the client")
        return allowed[0], allowed[1]
    if not set(given) <= set(allowed):
        raise BenchError(f"cores {given}: allowed here are {allowed}")
    return given


def names(text: str, known: Mapping[str, object]) -> list[str]:
    """Splits a comma list of names, each of which (up to an @) must be in `known`."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in found if name.partition("@")[0] not in known]
    if unknown or not found:
        raise BenchError(f"unknown: {', '.join(unknown) or text!r}; known: {', '.join(known)}")
    return found


def entries(wanted: Sequence[str], args: argparse.Namespace) -> list[Entry]:
    """The servers of `wanted` with their homes; builds environments that are missing."""
    return [entry(name, args) for name in wanted]


def available(
    wanted: Sequence[str], args: argparse.Namespace
) -> tuple[dict[str, Entry], dict[str, str]]:
    """As `entries`, by name, with a second part: the servers that cannot be had, and why."""
    found, missing = {}, {}
    for name in wanted:
        try:
            found[name] = entry(name, args)
        except BenchError as error:
            missing[name] = str(error)
    return found, missing


def entry(name: str, args: argparse.Namespace) -> Entry:
    """The server of that name (`NAME@LABEL`: from that tree) with its home."""
    trees = {"": args.cyserve, **dict(args.tree)}
    base, _, label = name.partition("@")
    server = dataclasses.replace(SERVERS[base], name=name)
    if label and (server.venv != "cyserve" or label not in trees):
        raise BenchError(f"{name}: no --tree {label}=PATH given for it")
    if server.venv == "cyserve":
        return Entry(server, cyserve_home(trees[label]))
    return Entry(server, home(server, dict(args.venv)))
