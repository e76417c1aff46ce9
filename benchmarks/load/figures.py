"""What scenarios find out: samples per server and figure, what they were to reach, plain rows.

A scenario puts one sample per round into its `Sheet`; the rows are medians of them. A ratio is
taken within a round. Every aim gives exactly one row, also when nothing could be measured: then the
row says why. Pure: no process, no clock, no file.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from benchmarks.load.report import in_short, number, table
from benchmarks.load.running import BenchError


@dataclass(frozen=True)
class Aim:
    """What a figure is to reach: `at_most` or `at_least`, one of them."""

    at_most: float | None = None
    at_least: float | None = None

    def reached(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )

    def __str__(self) -> str:
        return f"≤ {self.at_most:g}" if self.at_most is not None else f"≥ {self.at_least:g}"


@dataclass(frozen=True)
class Row:
    """One figure of one server: the median over the rounds, the lowest and the highest of them.

    `value` is None when there is no figure; `why` says then what went wrong. `aim` is empty and
    `reached` None for a figure that was to reach nothing.
    """

    server: str
    figure: str
    unit: str
    value: float | None
    low: float | None = None
    high: float | None = None
    aim: str = ""
    reached: bool | None = None
    why: str = ""


class Sheet:
    """The samples of one scenario.

    Args:
        name: as given to `--scenarios`.
        title: what is done, in one line.
        how: what a reader has to know to judge the figures.
    """

    def __init__(self, name: str, title: str, how: str):
        self.name = name
        self.title = title
        self.how = how
        self.samples: dict[str, dict[tuple[str, str], list[float]]] = {}
        self.aims: dict[tuple[str, str], tuple[Aim, str]] = {}
        self.refused: dict[str, str] = {}

    def add(self, server: str, figure: str, value: float, unit: str = "") -> None:
        """One round's sample of a figure of a server."""
        self.samples.setdefault(server, {}).setdefault((figure, unit), []).append(float(value))

    @contextmanager
    def guard(self, server: str) -> Iterator[None]:
        """What goes wrong inside refuses the server: it keeps no figure."""
        try:
            yield
        except (BenchError, OSError) as error:
            self.refuse(server, str(error) or type(error).__name__)

    def refuse(self, server: str, why: str) -> None:
        self.refused[server] = why
        self.samples.pop(server, None)

    def series(self, server: str, figure: str) -> list[float]:
        """The samples of a figure whatever its unit; empty when there are none."""
        for (name, _), values in self.samples.get(server, {}).items():
            if name == figure:
                return values
        return []

    def compare(
        self, name: str, one: tuple[str, str], other: tuple[str, str], aim: Aim | None = None
    ) -> None:
        """Adds figure `name` to the first server: `one` by `other`, each (server, figure)."""
        above, below = self.series(*one), self.series(*other)
        if above and below:
            ratios = [a / b for a, b in zip(above, below, strict=True)]
            self.samples[one[0]][name, ""] = ratios
        if aim:
            self.aim(one[0], name, aim, needs=other[0])

    def aim(self, server: str, figure: str, aim: Aim, needs: str = "") -> None:
        """Says what a figure is to reach; `needs` is another server that it cannot do without."""
        self.aims[server, figure] = (aim, needs or server)

    def rows(self) -> list[Row]:
        """Everything measured, then what was aimed at and is missing."""
        rows = []
        for server, figures in self.samples.items():
            for (figure, unit), values in figures.items():
                middle, low, high = median(values), min(values), max(values)
                if (server, figure) in self.aims:
                    aim, _ = self.aims[server, figure]
                    goal, reached = str(aim), aim.reached(middle)
                    rows.append(Row(server, figure, unit, middle, low, high, goal, reached))
                else:
                    rows.append(Row(server, figure, unit, middle, low, high))
        for (server, figure), (aim, needs) in self.aims.items():
            if not self.series(server, figure):
                why = self.refused.get(server) or self.refused.get(needs) or "not measured"
                rows.append(Row(server, figure, "", None, aim=str(aim), reached=False, why=why))
        return rows

    def result(self) -> dict[str, Any]:
        """All of it as plain data, for JSON and for the tables."""
        samples = [
            {"server": server, "figure": figure, "unit": unit, "samples": values}
            for server, figures in self.samples.items()
            for (figure, unit), values in figures.items()
        ]
        return {
            "scenario": self.name,
            "title": self.title,
            "how": self.how,
            "rows": [asdict(row) for row in self.rows()],
            "refused": self.refused,
            "samples": samples,
        }


def aims_table(results: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each aim of these results: what was to be reached, and what was.

    `others` is the share of the server's core that other processes had meanwhile.
    """
    lines = []
    for result in results:
        for row in result["rows"]:
            if row["aim"]:
                others = f"{result['others']:.0%}" if "others" in result else ""
                what = f"{result['scenario']}: {row['figure']}"
                lines.append([what, row["server"], *_verdict(row), others])
    head = ["what", "server", "aim", "measured", "low-high", "reached", "others"]
    return table(head, lines) if lines else []


def _verdict(row: dict[str, Any]) -> list[str]:
    if row["value"] is None:
        return [row["aim"], "", "", "not measured"]
    spread = f"{number(row['low'])}-{number(row['high'])}"
    reached = "yes" if row["reached"] else "**no**"
    return [row["aim"], f"{number(row['value'])} {row['unit']}".strip(), spread, reached]


def scenario_table(result: dict[str, Any]) -> list[str]:
    """One scenario: a row per server, a column per figure, medians in the cells."""
    rows = [row for row in result["rows"] if row["value"] is not None]
    columns = list(dict.fromkeys((row["figure"], row["unit"]) for row in rows))
    servers = list(dict.fromkeys(row["server"] for row in rows))
    cells = {(row["server"], row["figure"], row["unit"]): number(row["value"]) for row in rows}
    lines = [result["how"], ""]
    if servers:
        head = ["server", *(f"{figure} {unit}".strip() for figure, unit in columns)]
        body = [
            [server, *(cells.get((server, *column), "") for column in columns)]
            for server in servers
        ]
        lines += table(head, body)
    for name, why in result["refused"].items():
        lines += ["", f"{name}: no figure, {in_short(why)}"]
    if "others" in result:
        lines += [
            "",
            f"Other processes took {result['others']:.0%} of the server's core meanwhile.",
        ]
    return lines


def markdown(about: dict[str, str], results: Sequence[dict[str, Any]]) -> str:
    """What was measured where, then one table per scenario."""
    lines = [f"- {name}: {value}" for name, value in about.items()]
    for result in results:
        lines += ["", f"### {result['title']} (`{result['scenario']}`)", ""]
        lines += scenario_table(result)
    return "\n".join(lines) + "\n"
