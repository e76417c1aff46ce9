"""The list of intended differences, `docs/differences.md`, and how a comparison uses it.

`DIFFERENCES` is the page, read strictly. A comparison of gunicorn's answer with cyserve's goes
through `compare`, which lets nothing differ but what it is told by id. An id is told to it as

    compare(gunicorn=..., cyserve=..., differs={"server-field": expected_of_cyserve})

where the function turns what gunicorn gave into exactly what cyserve must give. `named_ids` finds
the ids that tests name, by a scan of their source: string constants anywhere in a keyword argument
`differs=...`, in a call of `differs(...)`, or in a value assigned to a name that ends in `DIFFERS`.
No test lives here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

TREE = Path(__file__).resolve().parents[2]
PAGE = TREE / "docs" / "differences.md"
COLUMNS = ["id", "gunicorn 27", "cyserve", "why"]

T = TypeVar("T")


@dataclass(frozen=True)
class Difference:
    """One row of the page."""

    id: str
    section: str
    gunicorn: str
    cyserve: str
    why: str


def read_page(text: str) -> dict[str, Difference]:
    """The rows of the page by id; ValueError, with the line's number, for anything unclear."""
    found: dict[str, Difference] = {}
    section = ""
    expected = 0  # lines until rows may come: 2 the header, 1 the rule under it
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("## "):
            section, expected = line[3:].strip(), 2
        if not line.startswith("|"):
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not section or len(cells) != len(COLUMNS) or not all(cells):
            raise ValueError(f"line {number}: not a row of {len(COLUMNS)} cells within a section")
        if expected:
            if cells != (COLUMNS if expected == 2 else ["---"] * len(COLUMNS)):
                raise ValueError(f"line {number}: not the head of a table: {line}")
            expected -= 1
            continue
        name = re.fullmatch(r"`([a-z0-9]+(?:-[a-z0-9]+)*)`", cells[0])
        if name is None or name[1] in found:
            raise ValueError(f"line {number}: no id of its own: {cells[0]}")
        found[name[1]] = Difference(name[1], section, *cells[1:])
    return found


DIFFERENCES = read_page(PAGE.read_text(encoding="utf-8"))


def difference(name: str) -> Difference:
    """The row with this id; KeyError if the page has none."""
    if name not in DIFFERENCES:
        raise KeyError(f"docs/differences.md has no difference {name!r}")
    return DIFFERENCES[name]


def compare(
    gunicorn: T, cyserve: T, differs: Mapping[str, Callable[[T], T]] | Iterable[str] = ()
) -> None:
    """Fails unless both are equal, but for the differences named.

    differs: by id, what turns gunicorn's answer into the one that cyserve must give, applied in
    order; each must change it, or the difference does not occur any more. Or ids only, where the
    two must be unlike and the caller looks at them himself: prefer the former.
    """
    __tracebackhide__ = True
    rows = [difference(name) for name in differs]
    if not isinstance(differs, Mapping):
        same = gunicorn == cyserve
        assert not (rows and same), f"no difference any more: {[row.id for row in rows]}"
        assert rows or same, _unlike(gunicorn, cyserve)
        return
    expected = gunicorn
    for name, change in differs.items():
        changed = change(expected)
        assert changed != expected, f"{name}: gunicorn does not do this any more: {expected!r}"
        expected = changed
    assert cyserve == expected, _unlike(expected, cyserve)


def _unlike(expected: object, cyserve: object) -> str:
    return f"differs without being listed in docs/differences.md:\n{expected!r}\n{cyserve!r}"


def _strings(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for inner in ast.iter_child_nodes(node):
        if not isinstance(inner, ast.Compare):  # of `{...} if kind == "file" else {...}`
            yield from _strings(inner)


def _named_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "differs":
            yield from _keys_or_strings(node.value)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "differs":
            for argument in node.args:
                yield from _keys_or_strings(argument)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(ast.unparse(target).endswith("DIFFERS") for target in targets):
                yield from _keys_or_strings(node.value)


def _keys_or_strings(node: ast.AST) -> Iterator[str]:
    """The keys of a dict, else all strings."""
    if isinstance(node, ast.Dict):
        for key in node.keys:
            if key is not None:
                yield from _strings(key)
    else:
        yield from _strings(node)


def named_ids(tests: Path = TREE / "tests") -> dict[str, list[str]]:
    """Every id that a test names -> the files that do."""
    found: dict[str, list[str]] = {}
    for path in sorted(tests.rglob("*.py")):
        for name in _named_in(ast.parse(path.read_text(encoding="utf-8"))):
            found.setdefault(name, []).append(path.name)
    return found
