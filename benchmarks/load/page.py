"""The pages that show the figures: made from the saved results, without measuring anything.

`parts` gives what can be said of the results at hand; a page keeps each part between marks, and a
part that they do not speak of stays as it is. The same results give the same pages.
"""

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.load import aims, figures, plot, report
from benchmarks.load.lineup import SLOW
from benchmarks.load.running import BenchError
from benchmarks.load.venvs import ROOT

Saved = dict[str, Any]

HOME = ROOT / "benchmarks"
RESULTS = HOME / "results.json"
FIGURE = HOME / "figures.svg"
INSTRUCTIONS = HOME / "instructions.json"
PAGES = (HOME / "README.md", ROOT / "README.md")

FIGURE_SAYS = "CPU time per request of cyserve and other servers, a panel per case"

#: The rows of the short table.
SHORT = (
    "hello",
    "browser",
    "hello-close",
    "post-10k",
    "post-1m",
    "out-256k",
    "hello-log",
    "hello-tls",
    "flask",
    "django-page",
)


def parts(saved: Saved) -> dict[str, str]:
    """The parts of the pages that can be made of it, as Markdown."""
    made = {}
    if scenarios := saved.get("scenarios"):
        made["aims"] = _text(figures.aims_table(scenarios["results"]))
    if cases := saved.get("cases"):
        results = cases["results"]
        made["must"] = _text(aims.goals_table(results, counts()))
        made["behind"] = _text(aims.not_first_table(results))
        made["figure"] = f"![{FIGURE_SAYS}]({FIGURE.name})\n"
        made["short"] = _text(short(cases))
        made["cases"] = report.markdown(cases["about"], results) + _left_out(cases)
    if boot := saved.get("boot"):
        table = figures.aims_table(boot["results"])
        made["boot"] = _text(
            [*table, "", *figures.markdown(boot["about"], boot["results"]).splitlines()]
        )
    if INSTRUCTIONS.exists():
        made["instructions"] = _text(instructions())
    if scenarios:
        made["scenarios"] = figures.markdown(scenarios["about"], scenarios["results"])
    return made


def whole(saved: Saved) -> str:
    """All parts as one text, for who measures and publishes nothing."""
    titles = {
        "aims": "Scenarios: aims",
        "must": "Must reach",
        "behind": "Where cyserve is not first",
        "cases": "Cases",
        "boot": "Boot and memory",
        "instructions": "Instructions per request",
        "scenarios": "Scenarios",
    }
    made = parts(saved)
    return "\n".join(
        f"## {title}\n\n{made[part]}" for part, title in titles.items() if part in made
    )


def counts() -> dict[str, dict[str, float]]:
    """Instructions per request, as `benchmarks.instructions --store` left them; empty if never."""
    if not INSTRUCTIONS.exists():
        return {}
    stored = json.loads(INSTRUCTIONS.read_text())
    found: dict[str, dict[str, float]] = stored["figures"]
    return found


def instructions() -> list[str]:
    """The table of those counts, cyserve first, with what they were counted on."""
    figures = counts()
    cases = list(dict.fromkeys(case for row in figures.values() for case in row))
    rows = [
        [name, *(f"{row[case]:,.0f}" if case in row else "" for case in cases)]
        for name, row in figures.items()
    ]
    counted_on = json.loads(INSTRUCTIONS.read_text())["key"]
    return [f"{counted_on}:", "", *report.table(["server", *cases], rows)]


def short(cases: Saved) -> list[str]:
    """The table for who reads no more than one: some cases, some servers."""
    by_name = {result["case"]: result for result in cases["results"]}
    results = [by_name[name] for name in SHORT if name in by_name]
    about = cases["about"]
    head = (
        "CPU per request in µs, user + system, one worker with one thread (a sync worker for a "
        f"connection per request); {about.get('machine', '')}; {about.get('when', '')}:"
    )
    figure = f"![{FIGURE_SAYS}]({FIGURE.relative_to(ROOT).as_posix()})"
    return [figure, "", head, "", *report.overview(results, SLOW)]


def _left_out(cases: Saved) -> str:
    lines = [
        f"{name}: not measured, {report.in_short(why)}"
        for name, why in cases.get("left_out", {}).items()
    ]
    return "".join(f"\n{line}\n" for line in lines)


def _text(lines: list[str]) -> str:
    return "".join(line + "\n" for line in lines)


def save(saved: Saved, file: Path) -> None:
    """Writes the results as JSON, a round a line."""
    text = json.dumps(saved, indent=1, ensure_ascii=False)
    text = re.sub(r"\{[^{}\[\]]*\}", lambda found: " ".join(found[0].split()), text)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text + "\n", encoding="utf-8")


def publish(saved: Saved) -> list[Path]:
    """Puts the results into the project's pages; the files that hold them now."""
    written = []
    if "cases" in saved:
        if not plot.draw(saved["cases"]["results"], FIGURE):
            raise BenchError("matplotlib draws the pages' figure and is not installed")
        written.append(FIGURE)
    save(saved, RESULTS)
    written.append(RESULTS)
    made = parts(saved)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for part, content in made.items():
            if report.BEGIN.format(part=part) in text:
                text = report.into_page(text, part, content)
        page.write_text(text, encoding="utf-8")
        written.append(page)
    return written


def beside(saved: Saved, file: Path) -> list[Path]:
    """Saves the results as `file`, with the report and the figure beside it."""
    save(saved, file)
    written = [file, file.with_suffix(".md")]
    written[1].write_text(whole(saved), encoding="utf-8")
    drawing = file.with_suffix(".svg")
    if "cases" in saved and plot.draw(saved["cases"]["results"], drawing):
        written.append(drawing)
    return written
