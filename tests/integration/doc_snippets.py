"""The examples of the documentation, taken from its pages as they are written there.

A fenced block names its file in its first line, as in `# gunicorn.conf.py` or
`# /etc/systemd/system/app.service`; a `console` block has one command in each line that begins
with `$`. The tests run these; nothing is repeated in them. No test lives here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
DOCS = TREE / "docs"

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block: the page it is on, its language, the file it names, its text."""

    page: str
    number: int
    language: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}-{self.number}"


def blocks(page: str | None = None, language: str | None = None) -> Iterator[Block]:
    """The blocks of a page (`deploy/nginx.md`), or of all and the README, in their order."""
    paths = [DOCS / page] if page else [TREE / "README.md", *sorted(DOCS.rglob("*.md"))]
    for path in paths:
        text = path.read_text(encoding="utf-8")
        for number, (kind, content) in enumerate(_FENCE.findall(text), 1):
            if language in {None, kind}:
                name = _NAME.match(content)
                where = path.relative_to(TREE).as_posix()
                yield Block(where, number, kind, name[1] if name else "", content)


def block(page: str, name: str) -> Block:
    """The block of that page that names that file."""
    return next(found for found in blocks(page) if found.name == name)


def commands(page: str | None = None) -> list[tuple[str, dict[str, str], list[str]]]:
    """(page, variables set before it, words) of each `cyserve` command that is shown."""
    found = []
    for shown in blocks(page, "console"):
        for line in re.findall(r"^\$ (.*)$", shown.text, re.MULTILINE):
            words = shlex.split(line)
            settings = {}
            while words and re.match(r"[A-Z_]+=", words[0]):
                name, _, value = words.pop(0).partition("=")
                settings[name] = value
            if words and words[0] == "cyserve":
                found.append((shown.page, settings, words[1:]))
    return found
