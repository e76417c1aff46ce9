"""Turns measured rounds into medians, ratios and Markdown. Pure: no process, no clock, no file.

A ratio is the median over the rounds of (this server / base server in the same round), which a slow
stretch of the machine does not bend.
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

Result = dict[str, Any]

# A page keeps each part of the report between these.
BEGIN = "<!-- benchmarks.load {part}: begin -->"
END = "<!-- benchmarks.load {part}: end -->"


def summarise(result: Result, base: str) -> dict[str, dict[str, float]]:
    """Per server: medians of cpu_us, rate, p50_us, p99_us, p999_us; cpu_low, cpu_high; `ratio`.

    Args:
        result: what `measure.run_case` gave.
        base: the server that ratios refer to; servers get no `ratio` when it has no rounds.
    """
    rounds: dict[str, list[dict[str, float]]] = result["rounds"]
    summary = {}
    for name, measured in rounds.items():
        figures = {
            key: median(r[key] for r in measured)
            for key in ("cpu_us", "rate", "p50_us", "p99_us", "p999_us")
        }
        figures["cpu_low"] = min(r["cpu_us"] for r in measured)
        figures["cpu_high"] = max(r["cpu_us"] for r in measured)
        if base in rounds:
            pairs = zip(measured, rounds[base], strict=True)
            figures["ratio"] = median(one["cpu_us"] / other["cpu_us"] for one, other in pairs)
        summary[name] = figures
    return summary


def markdown(about: dict[str, str], results: Sequence[Result], base: str) -> str:
    """The whole report: what was measured where, the overview, then one table per case."""
    lines = [f"- {name}: {value}" for name, value in about.items()]
    lines += ["", "CPU per request, user + system, in µs:", "", *overview(results)]
    for result in results:
        lines += ["", f"### {result['title']}", "", *case_table(result, base)]
    return "\n".join(lines) + "\n"


def into_page(page: str, part: str, report: str) -> str:
    """The page with the text between the two marks of `part` replaced; ValueError without them."""
    begin, end = BEGIN.format(part=part), END.format(part=part)
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"no {begin} ... {end} in the page")
    return f"{before}{begin}\n{report}{end}{after}"


def overview(results: Sequence[Result]) -> list[str]:
    """One table: a row per server, a column per case, median CPU per request in each cell."""
    summaries = [summarise(result, "") for result in results]
    servers = list(dict.fromkeys(name for r in results for name in (*r["rounds"], *r["refused"])))
    rows = [
        [name, *(number(s[name]["cpu_us"]) if name in s else "" for s in summaries)]
        for name in servers
    ]
    return table(["server", *(result["case"] for result in results)], rows)


def case_table(result: Result, base: str) -> list[str]:
    """One case: CPU, its spread over the rounds, ratio to `base`, rate and latency."""
    rows = []
    for name, figures in summarise(result, base).items():
        rows.append(
            [
                name,
                number(figures["cpu_us"]),
                f"{number(figures['cpu_low'])}-{number(figures['cpu_high'])}",
                f"{figures['ratio']:.2f}" if "ratio" in figures else "",
                f"{figures['rate']:.0f}",
                f"{figures['p50_us'] / 1000:.2f}",
                f"{figures['p99_us'] / 1000:.2f}",
            ]
        )
    head = ["server", "CPU/request µs", "low-high", f"x {base}", "requests/s", "p50 ms", "p99 ms"]
    lines = table(head, rows)
    for name, why in result["refused"].items():
        lines += ["", f"{name}: no figure, {in_short(why)}"]
    others = [r["others"] for measured in result["rounds"].values() for r in measured]
    if others:
        lines += ["", f"Other processes took {median(others):.0%} of the server's core meanwhile."]
    return lines


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, first column left, the others right, padded to be readable as text."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        first, *others = (
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "| " + " | ".join([first, *others]) + " |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return [line(head), line(rule), *map(line, rows)]


def in_short(why: str) -> str:
    """The first line of a reason, and its last, which is where a traceback says it."""
    lines = [line for line in why.splitlines() if line.strip()]
    return " ".join([*lines[:1], *lines[1:][-1:]])


def number(value: float) -> str:
    """A figure with the digits that mean something: 0.012, 1.23, 12.3, 123."""
    if 0 < abs(value) < 0.1:
        return f"{value:.2g}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"
