"""What cyserve has to reach beside the others, declared as data, and what it has reached.

Each goal is one row: a case, one of our servers, the rivals it is held against, a bound. With
several rivals the best of them counts (lowest median). A ratio is taken within a round and its
median judged. Beside the goals stands where somebody else is first, goal or not. Pure: no process,
no clock, no file.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.load.figures import Aim
from benchmarks.load.lineup import OURS, C
from benchmarks.load.report import number, one_at_a_time, summarise, table
from benchmarks.load.servers import SERVERS

Result = dict[str, Any]
Counts = Mapping[str, Mapping[str, float]]  # server: {case: instructions per request}

PARSER_IN_PYTHON = "gunicorn-gthread-py"


@dataclass(frozen=True)
class Goal:
    """One row of what must be reached.

    Args:
        what: the row's title.
        cases: one case, or several of which the worst counts.
        ours: the server of ours.
        rivals: those it is held against; the best of them counts.
        aim: at most: our figure by theirs; at least: theirs by ours.
        figure: the figure of a round, or "instructions" for those that callgrind has counted.
    """

    what: str
    cases: tuple[str, ...]
    ours: str
    rivals: tuple[str, ...]
    aim: Aim
    figure: str = "cpu_us"


@dataclass(frozen=True)
class Verdict:
    """A goal, and what was measured: None with the reason where it could not be."""

    goal: Goal
    case: str = ""
    rival: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    why: str = ""

    @property
    def reached(self) -> bool:
        return self.value is not None and self.goal.aim.reached(self.value)


def _goal(what: str, case: str, ours: str, rivals: Sequence[str], at_most: float) -> Goal:
    return Goal(what, (case,), ours, tuple(rivals), Aim(at_most=at_most))


def _against_gunicorn() -> Iterator[Goal]:
    """Every kind of worker against gunicorn's of the same kind."""
    for what, at_least in (("hello", 10), ("flask", 2.5)):
        for kind in ("gthread", "sync", "gevent", "tornado"):
            # A sync worker closes each connection: that is what its hello is measured with.
            case = "hello-close" if (what, kind) == ("hello", "sync") else what
            title = f"{what}, {kind}: gunicorn's to ours"
            theirs = (f"gunicorn-{kind}",)
            yield Goal(title, (case,), f"cyserve-{kind}", theirs, Aim(at_least=at_least))


GOALS = (
    _goal("hello, keep-alive, to C", "hello", OURS, C, 1.0),
    _goal("hello, keep-alive, to the epoll limit", "hello", OURS, ("limit",), 1.2),
    _goal("hello, 4 threads, to C", "hello", f"{OURS}-4", C, 1.08),
    _goal("browser headers, to C", "browser", OURS, C, 1.0),
    _goal(
        "connection per request (sync), to C and uWSGI",
        "hello-close", "cyserve-sync", (*C, "uwsgi"), 1.0,
    ),
    _goal("POST 10 KB, to C", "post-10k", OURS, C, 1.03),
    _goal("POST 1 MB, to C", "post-1m", OURS, C, 1.0),
    _goal("100 KB out, to C", "out-100k", OURS, C, 1.0),
    _goal("256 KB in 16 pieces, to C", "out-256k", OURS, C, 1.0),
    _goal(
        "1 MB file, to uWSGI, granian, gunicorn",
        "file-1m", OURS, ("uwsgi", "granian", "gunicorn-gthread"), 1.0,
    ),
    _goal("Flask hello, to C", "flask", OURS, C, 1.0),
    _goal("access log on, to off", "hello-log", OURS, (f"{OURS}-nolog",), 1.25),
    _goal(
        "access log on, to gunicorn gthread's", "hello-log", OURS, ("gunicorn-gthread",), 0.1
    ),
    *_against_gunicorn(),
    _goal(
        "pure twin, hello, to gunicorn gthread with its Python parser",
        "hello", f"{OURS}-pure", (PARSER_IN_PYTHON,), 0.55,
    ),
    Goal(
        "p99, to bjoern's, worst case",
        ("hello", "browser", "post-10k", "post-1m", "out-100k", "out-256k", "file-1m", "flask"),
        OURS, ("bjoern",), Aim(at_most=1.5), figure="p99_us",
    ),
    Goal(
        "user instructions, hello, to fastwsgi's",
        ("hello",), OURS, ("fastwsgi",), Aim(at_most=1.0), figure="instructions",
    ),
    Goal(
        "user instructions, browser headers, to fastwsgi's",
        ("browser",), OURS, ("fastwsgi",), Aim(at_most=0.7), figure="instructions",
    ),
)  # fmt: skip


def judge(goal: Goal, results: Sequence[Result], counts: Counts) -> Verdict:
    """What the goal's figure is in these results."""
    verdicts = [
        _counted(goal, case, counts)
        if goal.figure == "instructions"
        else _measured(goal, case, results)
        for case in goal.cases
    ]
    known = [verdict for verdict in verdicts if verdict.value is not None]
    if not known:
        return verdicts[0]
    worst = min if goal.aim.at_least is not None else max
    return worst(known, key=lambda verdict: verdict.value or 0.0)


def _measured(goal: Goal, case: str, results: Sequence[Result]) -> Verdict:
    result = next((result for result in results if result["case"] == case), None)
    if result is None:
        return Verdict(goal, case, why="not measured")
    rounds = result["rounds"]
    middle = {name: median(r[goal.figure] for r in measured) for name, measured in rounds.items()}
    rivals = [name for name in goal.rivals if name in middle]
    if goal.ours not in middle or not rivals:
        missing = goal.ours if goal.ours not in middle else goal.rivals[0]
        return Verdict(goal, case, why=result["refused"].get(missing, f"{missing} not measured"))
    best = min(rivals, key=lambda name: middle[name])
    above, below = (goal.ours, best) if goal.aim.at_least is None else (best, goal.ours)
    pairs = zip(rounds[above], rounds[below], strict=True)
    ratios = [one[goal.figure] / other[goal.figure] for one, other in pairs]
    return Verdict(goal, case, best, median(ratios), min(ratios), max(ratios))


def _counted(goal: Goal, case: str, counts: Counts) -> Verdict:
    figures = {name: counts.get(name, {}).get(case) for name in (goal.ours, *goal.rivals)}
    known = {name: figure for name, figure in figures.items() if figure}
    rivals = [name for name in goal.rivals if name in known]
    if goal.ours not in known or not rivals:
        return Verdict(goal, case, why="not counted")
    best = min(rivals, key=lambda name: known[name])
    return Verdict(goal, case, best, known[goal.ours] / known[best])


def goals_table(results: Sequence[Result], counts: Counts) -> list[str]:
    """One line for each goal: aim, measured ratio, its spread over the rounds, reached or not."""
    rows = []
    for verdict in (judge(goal, results, counts) for goal in GOALS):
        goal = verdict.goal
        what = f"{goal.what} ({verdict.case})" if len(goal.cases) > 1 else goal.what
        spread = f"{number(verdict.low)}-{number(verdict.high)}" if verdict.low else ""
        value = "" if verdict.value is None else number(verdict.value)
        said = "yes" if verdict.reached else "**no**" if value else "not measured"
        rows.append([what, goal.ours, verdict.rival, str(goal.aim), value, spread, said])
    return table(["what", "server", "held against", "aim", "ratio", "low-high", "reached"], rows)


# Figures by which somebody can be first: (title, key, whether the lowest is the best, decimals).
FIGURES = (
    ("CPU/request", "cpu_us", min),
    ("requests/s", "rate", max),
    ("p99", "p99_us", min),
    ("memory", "pss", min),
)


def not_first(results: Sequence[Result]) -> list[tuple[str, str, str, str, float]]:
    """Where another server is better than the best of ours in the same case.

    Returns: (case's title, figure, the first, our best, our figure by the first's);
        `limit` is no server, and who serves one connection at a time has no comparable p99.
    """
    rows = []
    for result in results:
        summary = summarise(result, "")
        for title, key, best in FIGURES:
            figures = {
                name: figure[key]
                for name, figure in summary.items()
                if figure.get(key) and _comparable(name, key, result)
            }
            ours = [name for name in figures if name.startswith("cyserve")]
            if not ours:
                continue
            first = best(figures, key=lambda name: figures[name])
            mine = best(ours, key=lambda name: figures[name])
            if first not in ours:
                ratio = figures[mine] / figures[first]
                rows.append((result["title"], title, first, mine, ratio))
    return rows


def _comparable(name: str, key: str, result: Result) -> bool:
    server = SERVERS.get(name.partition("@")[0])
    if server is None or server.fixed_answer or name.endswith("-nolog"):
        return False
    return key != "p99_us" or not one_at_a_time(name, result)


def not_first_table(results: Sequence[Result]) -> list[str]:
    """A row per case in which somebody is ahead: who it is, and our figure by theirs."""
    cells: dict[str, dict[str, str]] = {}
    for case, figure, first, _, ratio in not_first(results):
        cells.setdefault(case, {})[figure] = f"{first} ({number(ratio)})"
    if not cells:
        return ["In no case measured is another server first."]
    titles = [title for title, *_ in FIGURES]
    rows = [[case, *(row.get(title, "") for title in titles)] for case, row in cells.items()]
    return table(["case", *titles], rows)
