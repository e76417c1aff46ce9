"""Draws the figure of the page: CPU per request, a panel per case, a bar per server, as SVG.

Needs matplotlib, and only when it is called. Colours and text are chosen to be read on white and
on black: nothing is drawn behind them. The same figures give the same file.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.load.report import number, summarise

Result = dict[str, Any]

CASES = (
    ("hello", "hello"),
    ("browser", "hello, browser headers"),
    ("hello-close", "a connection per request"),
    ("post-10k", "POST 10 KB"),
    ("post-1m", "POST 1 MB"),
    ("out-100k", "100 KB out"),
    ("out-256k", "256 KB in 16 pieces"),
    ("file-1m", "1 MB file"),
    ("hello-tls", "hello, TLS"),
    ("hello-log", "hello, access log"),
    ("flask", "Flask"),
    ("django-page", "Django, ORM, template"),
)
SHOWN = ("freastal", "fastpysgi", "fastwsgi", "bjoern", "granian", "uwsgi", "gunicorn")
COLUMNS = 3
CUT = 3.0  # times cyserve: longer bars are cut, with their figure beside them
OURS, OTHERS, TEXT, LIMIT = "#f0883e", "#8b98a8", "#7d8590", "#3fb950"


def bars(result: Result) -> list[tuple[str, float]]:
    """The servers that the panel of a case shows, cyserve first, with their CPU per request."""
    summary = summarise(result, "")
    base = result["base"]
    if base not in summary:
        return []
    kind = base.partition("-")[2]
    found = [("cyserve", summary[base]["cpu_us"])]
    for name in SHOWN:
        server = f"gunicorn-{kind}" if name == "gunicorn" else name
        if server in summary:
            found.append((name, summary[server]["cpu_us"]))
    return found


def draw(results: Sequence[Result], file: Path) -> bool:
    """Writes the figure; False when matplotlib is not there or there is nothing to show."""
    by_name = {result["case"]: result for result in results}
    panels = [(title, by_name[name]) for name, title in CASES if name in by_name]
    panels = [(title, result) for title, result in panels if bars(result)]
    if not panels:
        return False
    try:
        import matplotlib  # noqa: PLC0415 - only who draws needs it
    except ImportError:
        return False
    matplotlib.use("svg")
    from matplotlib import pyplot  # noqa: PLC0415

    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "cyserve",
        "font.family": ["sans-serif"],
        "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
        "font.size": 9,
    }
    with matplotlib.rc_context(style):
        rows = -(-len(panels) // COLUMNS)
        height = 0.75 + rows * 2.05
        figure, axes = pyplot.subplots(rows, COLUMNS, figsize=(10, height), squeeze=False)
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        slots = max(len(bars(result)) for _, result in panels)
        for axis, (title, result) in zip(axes.flat, panels, strict=False):
            _panel(axis, title, result, slots)
        figure.suptitle(
            "CPU time per request in µs, one core — shorter is better",
            color=TEXT, fontsize=12, x=0.012, y=1 - 0.12 / height, ha="left", va="top",
        )  # fmt: skip
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.2 / height), w_pad=1.5, h_pad=0.8)
        figure.savefig(file, transparent=True, metadata={"Date": None, "Creator": None})
        pyplot.close(figure)
    return True


def _panel(axis: Any, title: str, result: Result, slots: int) -> None:
    """One case: bars from the cheapest down, cut where they would hide the others."""
    shown = sorted(bars(result), key=lambda bar: bar[1])
    ours = dict(shown)["cyserve"]
    longest = CUT * ours
    limit = summarise(result, "").get("limit")
    for row, (name, cpu) in enumerate(shown):
        mine = name == "cyserve"
        length = min(cpu, longest)
        axis.barh(row, length, height=0.72, color=OURS if mine else OTHERS, linewidth=0)
        weight = "bold" if mine else "normal"
        colour = OURS if mine else TEXT
        said = number(cpu) + (f"  ({cpu / ours:.0f} times)" if cpu > longest else "")
        if cpu > longest:  # the mark of a bar that goes on
            axis.text(
                length + longest * 0.01, row, "//",
                color=OTHERS, ha="left", va="center", weight="bold",
            )  # fmt: skip
        x = length + longest * (0.08 if cpu > longest else 0.02)
        axis.text(x, row, said, color=colour, va="center", weight=weight)
        axis.text(-0.02 * longest, row, name, color=colour, ha="right", va="center", weight=weight)
    if limit:
        x, last = limit["cpu_us"], len(shown) - 0.45
        axis.plot([x, x], [-0.55, last], color=LIMIT, linewidth=1.2, linestyle=(0, (3, 2)))
        axis.text(x, last + 0.05, "epoll limit", color=LIMIT, ha="center", va="top", fontsize=8)
    axis.set_xlim(0, longest * 1.28)
    axis.set_ylim(slots + 0.3, -0.6)
    axis.set_title(title, color=TEXT, loc="left", fontsize=10, weight="bold", pad=2)
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)
