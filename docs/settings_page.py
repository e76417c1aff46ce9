"""mkdocs hooks: the settings page, made from the settings themselves, and what holds for all pages.

The page exists only in the built site. All that it says comes from the declarations in
`cyserve.config`, and what is not gunicorn's from docs/differences.md; so a new setting needs no
line here. The tree is imported as it is: nothing has to be compiled.
"""

import html
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from cyserve.config import KNOWN_SETTINGS, Setting  # noqa: E402

_HEADER = """\
# Settings

Every setting of this version, in the order of `cyserve --help`. A setting comes from, the later the
stronger: its default or its environment variable; the config file; `CYSERVE_CMD_ARGS` or
`GUNICORN_CMD_ARGS`; the command line. `cyserve --print-config` shows what has come of it.

In a config file a setting is a Python name: `workers = 4`. Names that no setting has are the
file's own business; one that looks like a misspelt setting is warned about. In TOML, the table
`[tool.cyserve]` of `pyproject.toml`, each key has to be a setting.
"""

# What is code in a description though it has no backticks: calls, names with an underscore, paths.
_CODE = re.compile(
    r"""`[^`]*`|environ\["[\w.]+"\](?:\(\w*\))?|\w+\(\w+(?:, \w+)*\)"""
    r"""|[\w.]+:\w+\("\w+"\)|\w+://[\w.:/#]*\w|\w*_\w+|--[\w-]+|\w+(?:\.\w+){2,}(?:/\d+)?"""
)
_ROW = re.compile(r"^\| `([\w-]+)` \|(.*)\|$", re.MULTILINE)


def settings() -> Iterator[type[Setting]]:
    return iter(sorted(KNOWN_SETTINGS, key=lambda setting: setting.order))


def differences() -> dict[str, list[str]]:
    """Setting -> ids of the rows of docs/differences.md that name it in backticks."""
    known = {setting.name for setting in settings()}
    found: dict[str, list[str]] = {}
    for row, text in _ROW.findall((DOCS / "differences.md").read_text(encoding="utf-8")):
        for name in dict.fromkeys(re.findall(r"`([a-z_0-9]+)(?: = [^`]*)?`", text)):
            if name in known:
                found.setdefault(name, []).append(row)
    return found


def escape(text: str) -> str:
    """Plain text as Markdown that shows just it."""
    return re.sub(r"([\\`*_{}\[\]()#|])", r"\\\1", html.escape(text, quote=False))


def inline(text: str, own: str) -> str:
    """A text of a description as Markdown: code is set as code, other settings are links."""
    known = {str(setting.name) for setting in settings()} - {own}
    pieces, end = [], 0
    for match in _CODE.finditer(text):
        code = match.group().strip("`")
        shown = f"[`{code}`](#{code})" if code in known else f"`{code}`"
        pieces += [escape(text[end : match.start()]), shown]
        end = match.end()
    return "".join([*pieces, escape(text[end:])])


def definitions(lines: list[str], own: str) -> list[str]:
    """A table of two columns, written between lines of `===`, as a list of definitions."""
    column = lines[0].index(" =")
    shown: list[str] = []
    for line in lines[1:-1]:
        left, right = line[:column].strip(), line[column:].strip()
        if left or not shown:
            shown += [f"`{left}`", f":   {inline(right, own)}", ""]
        else:
            shown[-2] += f" {inline(right, own)}"
    return shown


def prose(description: str, own: str) -> list[str]:
    """A description as Markdown: paragraphs, tables, indented code, lists."""
    lines: list[str] = []
    for block in re.split(r"\n\s*\n", description):
        rows = block.splitlines()
        if rows[0].startswith("=="):
            lines += definitions(rows, own)
        elif all(row.startswith("    ") for row in rows):
            lines += rows
        elif rows[0].startswith("- "):
            items = re.split(r"^- ", block, flags=re.MULTILINE)[1:]
            lines += [f"- {inline(' '.join(item.split()), own)}" for item in items]
        else:
            lines.append(inline(" ".join(block.split()), own))
        lines.append("")
    return lines


def allowed(setting: type[Setting]) -> str:
    """What the setting's validator says is allowed, by refusing what is not."""
    try:
        setting.validator(object())
    except Exception as error:
        words = re.match(r"allowed (?:is|are) (.*)", str(error), re.DOTALL)
        if words is None:
            raise PluginError(f"{setting.name} does not say what is allowed: {error!r}") from error
        return escape(words[1])
    return "anything"


def default(setting: type[Setting]) -> str:
    value = setting.default
    if setting.default_text:
        return inline(setting.default_text, "")
    if callable(value):
        return "see below" if "The default" in (setting.desc or "") else "does nothing"
    if value is None or value in ([], {}, ""):
        return "none"
    return f"`{value!r}`"


def entry(setting: type[Setting], notes: Iterable[str]) -> list[str]:
    """One setting: heading with an anchor, facts, description."""
    name = str(setting.name)
    facts = {}
    if setting.cli:
        meta = f" {setting.meta}" if setting.meta and setting.action in {None, "append"} else ""
        facts["command line"] = ", ".join(f"`{flag}{meta}`" for flag in setting.cli)
    facts["allowed"] = allowed(setting)
    facts["default"] = default(setting)
    if setting.env:
        facts["environment"] = f"`{setting.env}`"
    if setting.missing is not Setting.missing:
        facts["this version"] = "does not start with it"
    if "own-settings" in notes:
        facts["gunicorn"] = "does not have it"
    others = [f"[{note}](differences.md#{note})" for note in notes if note != "own-settings"]
    if others:
        facts["differs from gunicorn"] = ", ".join(others)
    rows = [facts, ["---"] * len(facts), facts.values()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"### `{name}` {{ #{name} }}", "", *lines, "", *prose(str(setting.desc), name)]


def page() -> str:
    """The whole settings page as Markdown."""
    notes = differences()
    lines = [_HEADER]
    sections: dict[str | None, list[type[Setting]]] = {}
    for setting in settings():
        sections.setdefault(setting.section, []).append(setting)
    for section, members in sections.items():
        lines += [f"## {section}", ""]
        for setting in members:
            lines += entry(setting, notes.get(str(setting.name), ()))
    return "\n".join(lines)


# -- what mkdocs calls --


def on_files(files: Files, config: Any) -> Files:
    """Adds the settings page."""
    files.append(File.generated(config, "settings.md", content=page()))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Gives each difference an anchor of its own."""
    if page.file.src_uri == "differences.md":
        return _ROW.sub(r'| <span id="\1">`\1`</span> |\2|', markdown)
    return markdown


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuses a page that would fetch anything from elsewhere."""
    found = re.findall(
        r"<(?:script|link|img|iframe)\b[^>]*(?:src|href)=\"(?:https?:)?//[^>]*", output
    )
    if found:
        raise PluginError(f"{page.file.src_uri} fetches from elsewhere: {found}")
    return output
