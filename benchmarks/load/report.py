"""Turns measured rounds into medians, ratios and Markdown. Pure: no process, no clock, no file.

A ratio is the median over the rounds of (this server / base server in the same round), which a slow
stretch of the machine does not bend.
"""

from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.load.cases import CASES
from benchmarks.load.servers import SERVERS

Result = dict[str, Any]

# A page keeps each part of the report between these.
BEGIN = "<!-- benchmarks.load {part}: begin -->"
END = "<!-- benchmarks.load {part}: end -->"

ONE_AT_A_TIME = (
    "serves one kept connection at a time, the others wait for its end: its latencies are those of "
    "the one, and not comparable."
)


def one_at_a_time(name: str, result: Result) -> bool:
    """Whether that is a server whose latencies are not comparable in that case."""
    server = SERVERS.get(name.partition("@")[0])
    case = CASES.get(result["case"])
    return bool(server and server.one_at_a_time and not (case and case.closes))


def summarise(result: Result, base: str) -> dict[str, dict[str, float]]:
    """Per server: medians of what its rounds hold; cpu_low, cpu_high; the highest `pss`; `ratio`.

    Args:
        result: what `measure.run_case` gave.
        base: the server that ratios refer to; servers get no `ratio` when it has no rounds.
    """
    rounds: dict[str, list[dict[str, float]]] = result["rounds"]
    summary = {}
    for name, measured in rounds.items():
        if not measured:
            continue
        figures = {key: median(r[key] for r in measured) for key in measured[0]}
        figures["cpu_low"] = min(r["cpu_us"] for r in measured)
        figures["cpu_high"] = max(r["cpu_us"] for r in measured)
        if "pss" in figures:
            figures["pss"] = max(r["pss"] for r in measured)
        if base in rounds:
            pairs = zip(measured, rounds[base], strict=True)
            figures["ratio"] = median(one["cpu_us"] / other["cpu_us"] for one, other in pairs)
        summary[name] = figures
    return summary


def markdown(about: dict[str, str], results: Sequence[Result]) -> str:
    """The whole report: what was measured where, the overview, then one table per case."""
    lines = about_lines(about)
    lines += ["", "CPU per request, user + system, in µs:", "", *overview(results)]
    for result in results:
        lines += ["", f"### {result['title']} (`{result['case']}`)", "", *case_table(result)]
    return "\n".join(lines) + "\n"


def about_lines(about: dict[str, str]) -> list[str]:
    return [f"- {name}: {value}" for name, value in about.items()]


def into_page(page: str, part: str, report: str) -> str:
    """The page with the text between the two marks of `part` replaced; ValueError without them."""
    begin, end = BEGIN.format(part=part), END.format(part=part)
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"no {begin} ... {end} in the page")
    return f"{before}{begin}\n{report}{end}{after}"


#: The overview's columns: title, and the servers that may stand there (the first that has rounds).
COLUMNS = (
    ("limit", ("limit",)),
    *((name, (name,)) for name in ("freastal", "fastpysgi", "fastwsgi", "bjoern")),
    *((name, (name,)) for name in ("granian", "uwsgi", "waitress", "cheroot")),
)


def overview(results: Sequence[Result], without: Sequence[str] = ()) -> list[str]:
    """One table: a row per case, a column per server, median CPU per request in each cell.

    cyserve's column has the case's own server, gunicorn's the same kind of worker with the parser
    in C. The lowest is bold, the limit aside.

    Args:
        without: columns to leave out.
    """
    shown = [column for column in COLUMNS if column[0] not in without]
    rows = []
    for result in results:
        summary = summarise(result, "")
        base = result["base"]
        theirs = base.replace("cyserve", "gunicorn").partition("@")[0]
        columns = (("", (base,)), *shown, ("", (theirs,)))
        names = [next((name for name in known if name in summary), "") for _, known in columns]
        figures = [summary[name]["cpu_us"] if name else None for name in names]
        lowest = min(
            (cpu for name, cpu in zip(names, figures, strict=True) if cpu and name != "limit"),
            default=0.0,
        )
        cells = ["" if cpu is None else number(cpu) for cpu in figures]
        for index, (name, cpu) in enumerate(zip(names, figures, strict=True)):
            if cpu == lowest and name != "limit":
                cells[index] = f"**{cells[index]}**"
        rows.append([result["title"], *cells])
    head = ["case", "cyserve", *(title for title, _ in shown), "gunicorn"]
    used = [0, *(i for i in range(1, len(head)) if any(row[i] for row in rows))]
    return table([head[i] for i in used], [[row[i] for i in used] for row in rows])


def case_table(result: Result) -> list[str]:
    """One case: CPU, its spread over the rounds, ratio to the base, rate, latency, memory."""
    base = result["base"]
    rows = []
    for name, figures in summarise(result, base).items():
        mark = " \\*" if one_at_a_time(name, result) else ""
        rows.append(
            [
                name,
                number(figures["cpu_us"]),
                f"{number(figures['cpu_low'])}-{number(figures['cpu_high'])}",
                f"{figures['ratio']:.2f}" if "ratio" in figures else "",
                f"{figures['rate']:.0f}",
                *(
                    f"{figures[key] / 1000:.2f}{mark}" if key in figures else ""
                    for key in ("p50_us", "p99_us", "p999_us")
                ),
                f"{figures['pss'] / 1e6:.1f}" if "pss" in figures else "",
            ]
        )
    head = ["server", "CPU/request µs", "low-high", f"x {base}", "requests/s"]
    head += ["p50 ms", "p99 ms", "p99.9 ms", "PSS MB"]
    lines = table(head, rows)
    for name in result["rounds"]:
        if one_at_a_time(name, result):
            lines += ["", f"\\* {name} {ONE_AT_A_TIME}"]
    for name, why in result["refused"].items():
        lines += ["", f"{name}: no figure, {in_short(why)}"]
    others = [
        r["others"] for measured in result["rounds"].values() for r in measured if "others" in r
    ]
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
