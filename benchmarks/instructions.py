"""`python -m benchmarks.instructions`: the budget of user-space instructions per request.

Times depend on the machine and its mood; the instructions that a request takes do not, to within a
percent or so. They are counted under callgrind (`load/instructions.py` does it). `--check` counts
those of cyserve and fails (exit 1) where they have grown by more than 3 % over instructions.json;
`--store` writes that file: a change that costs more than that stores the new figures in the same
commit, so that somebody has seen them. The rivals' stand beside them (`--rivals` renews them).

The figures are those of one build of CPython, one compiler and one C library, which the file names
by a key. Where another one is at work they mean nothing, so there fastwsgi is counted too, built by
the same compiler for the same interpreter (both serve the same application through the same C API),
and what is compared is the ratio of ours to its figure; 10 % are allowed, since not all of the two
moves together. Exit code 2: nothing could be counted.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import options
from benchmarks.load.cases import CASES
from benchmarks.load.instructions import count
from benchmarks.load.page import INSTRUCTIONS
from benchmarks.load.report import table
from benchmarks.load.running import BenchError, prepare

Figures = dict[str, dict[str, float]]  # server: {case: instructions per request}
Pair = tuple[str, str]

#: What `--check` holds: our servers and cases.
BUDGET: tuple[Pair, ...] = (
    ("cyserve-gthread", "hello"),
    ("cyserve-gthread", "browser"),
    ("cyserve-sync", "hello-close"),
)
#: What stands beside it on the page.
BESIDE: tuple[Pair, ...] = (
    *((name, case) for name in ("freastal", "fastpysgi", "fastwsgi", "bjoern") for case in
      ("hello", "browser", "hello-close")),
    ("cyserve-gthread-pure", "hello"),
    ("cyserve-gthread-pure", "browser"),
    # gunicorn's C parser uses instructions that valgrind does not know.
    ("gunicorn-sync-py", "hello-close"),
)  # fmt: skip
REFERENCE = "fastwsgi"
MORE = (
    2  # times that a figure over its budget is counted again: whatever disturbs a server only adds
)
HERE, ELSEWHERE = 1.03, 1.10  # allowed growth with the stored key, and with another one


@dataclass(frozen=True)
class Verdict:
    """One figure of the budget: stored and counted, or both by the figure of the reference."""

    server: str
    case: str
    stored: float
    counted: float
    allowed: float

    @property
    def growth(self) -> float:
        return self.counted / self.stored

    @property
    def kept(self) -> bool:
        return self.growth <= self.allowed


def verdicts(stored: Figures, counted: Figures, same_key: bool) -> list[Verdict]:
    """Holds what was counted against what is stored, directly or by the reference's figures.

    Raises: BenchError when a figure is missing on either side.
    """
    found = []
    for server, case in BUDGET:
        try:
            old, new = stored[server][case], counted[server][case]
            if not same_key:
                old, new = old / stored[REFERENCE][case], new / counted[REFERENCE][case]
        except KeyError as error:
            raise BenchError(f"{server}, {case}: there is no figure of {error}") from None
        found.append(Verdict(server, case, old, new, HERE if same_key else ELSEWHERE))
    return found


def key(python: Path) -> str:
    """What the figures depend on: interpreter, its compiler, ours, the C library, the processor."""
    code = (
        "import platform as p; print(p.python_implementation(), p.python_version(), "
        "p.python_compiler(), *p.libc_ver(), p.machine(), sep=', ')"
    )
    asked = [[str(python), "-c", code], ["cc", "-dumpfullversion"]]
    said = []
    for command in asked:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"{command[0]}: {done.stderr.strip()}")
        said.append(done.stdout.strip())
    return ", cc ".join(said)


def counted(pairs: Sequence[Pair], args: argparse.Namespace, needed: bool = True) -> Figures:
    """The figures of these; one that cannot be had is told on stderr, unless it is `needed`."""
    figures: Figures = {}
    with tempfile.TemporaryDirectory(prefix="cyserve-bench-") as directory:
        prepare(Path(directory))
        for server, case in pairs:
            try:
                entry = options.entry(server, args)
                figure = count(entry, CASES[case], args, Path(directory))
            except (BenchError, OSError) as error:
                if needed:
                    raise BenchError(f"{server}, {case}: {error}") from error
                print(f"{server}, {case}: {error}", file=sys.stderr)
                continue
            print(f"{server}, {case}: {figure:,.0f}", file=sys.stderr)
            figures.setdefault(server, {})[case] = round(figure)
    return figures


def check(args: argparse.Namespace) -> int:
    """1 when a figure has grown by more than is allowed, with what to do about it."""
    stored = json.loads(INSTRUCTIONS.read_text(encoding="utf-8"))
    here = key(options.entry(BUDGET[0][0], args).home.python)
    same = here == stored["key"]
    pairs = list(BUDGET)
    if not same:
        print(
            f"stored for {stored['key']}\nhere it is {here}\nso ratios to {REFERENCE} are compared"
        )
        pairs += [(REFERENCE, case) for _, case in BUDGET]
    figures = counted(pairs, args)
    found = verdicts(stored["figures"], figures, same)
    for _ in range(MORE):
        again = [(one.server, one.case) for one in found if not one.kept]
        for server, cases in (counted(again, args) if again else {}).items():
            for case, figure in cases.items():
                figures[server][case] = min(figure, figures[server][case])
        found = verdicts(stored["figures"], figures, same)
    digits = ",.0f" if same else ".3f"
    rows = [
        [
            one.server,
            one.case,
            format(one.stored, digits),
            format(one.counted, digits),
            f"{one.growth - 1:+.1%}",
            f"{one.allowed - 1:+.0%}",
        ]
        for one in found
    ]
    print("\n".join(table(["server", "case", "stored", "counted", "growth", "allowed"], rows)))
    if all(one.kept for one in found):
        if same and min(one.growth for one in found) < 2 - HERE:
            print("less than stored: `python -m benchmarks.instructions --store` keeps the gain")
        return 0
    print(
        "a request takes more instructions than it did: find out why (--keep DIR leaves the "
        "profile), or store the new figures in the commit that needs them (--store)"
    )
    return 1


def store(args: argparse.Namespace) -> int:
    """Counts ours, and the rivals where asked or where the key is another; writes the file."""
    here = key(options.entry(BUDGET[0][0], args).home.python)
    figures = counted(BUDGET, args)
    stored = json.loads(INSTRUCTIONS.read_text(encoding="utf-8")) if INSTRUCTIONS.exists() else {}
    if args.rivals or stored.get("key") != here:
        beside = counted(BESIDE, args, needed=False)
    else:
        beside = {name: cases for name, cases in stored["figures"].items() if name not in figures}
    figures.update(beside)
    if REFERENCE not in figures:
        raise BenchError(
            f"nothing is stored without {REFERENCE}, which other machines compare with"
        )
    text = json.dumps({"key": here, "figures": figures}, indent=1)
    INSTRUCTIONS.write_text(text + "\n", encoding="utf-8")
    print(f"written: {INSTRUCTIONS}")
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions",
        description="The budget of user-space instructions per request, counted by callgrind.",
    )
    what = made.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="exit 1 if cyserve's figures have grown")
    what.add_argument("--store", action="store_true", help="write cyserve's figures")
    made.add_argument("--rivals", action="store_true", help="store: count the rivals again too")
    made.add_argument("--requests", type=int, default=1000)
    made.add_argument("--connections", type=int, default=32)
    made.add_argument("--keep", type=Path, metavar="DIR", help="keep the profiles there")
    options.add_arguments(made)
    return made


def main(words: Iterable[str] | None = None) -> int:
    args = parser().parse_args(None if words is None else list(words))
    try:
        if not shutil.which("valgrind"):
            raise BenchError("valgrind is not installed (Debian: apt-get install valgrind)")
        return check(args) if args.check else store(args)
    except BenchError as error:
        print(f"benchmarks.instructions: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
