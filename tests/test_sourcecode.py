"""The laws of the source: sizes, opening docstrings, twins in step, who may import whom.

Nothing here runs the server. These tests read the project's own files, so that a rule holds
because a test holds it and not because somebody remembers it.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cyserve
from cyserve import _compiled

TREE = Path(__file__).resolve().parents[1]
PACKAGE = TREE / "cyserve"

MAX_LINES = 500
MAX_PYX_LINES = 700  # for a .pyx that says in its docstring why it is "over 500 lines"
MAX_FUNCTION_LINES = 60
MIN_DOCSTRING_LINES = 3

KERNELS = {
    "_io", "_lines", "_parser", "_poll", "_runtime",
    "_pyio", "_pylines", "_pyparser", "_pypoll", "_pyruntime",
}  # fmt: skip
MAY_IMPORT_KERNEL = {
    "_accel": KERNELS,
    "_lines": {"_runtime"},
    "_pylines": {"_pyruntime"},
    "_parser": {"_io", "_runtime"},
    "_pyparser": {"_pyio", "_pyruntime"},
}


def sources(*suffixes: str) -> list[Path]:
    """Every source file of the project with one of these suffixes, what is generated left out."""
    found = [TREE / "setup.py"] if ".py" in suffixes else []
    for room in ("cyserve", "tests", "benchmarks", "docs"):
        found += [path for path in (TREE / room).rglob("*") if path.suffix in suffixes]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    return path.relative_to(TREE).as_posix()


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of each function of a Python file, decorators not counted."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def cython_functions(text: str) -> Iterator[tuple[str, int]]:
    """(name, lines) of each function of a Cython file, read by its indentation."""
    opened: list[tuple[int, str, int]] = []  # indentation, name, first line
    last = 0  # the last line that is not blank
    for number, line in enumerate([*text.splitlines(), "end"], 1):
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        closing = line.lstrip().startswith((")", "#"))
        while opened and indent <= opened[-1][0] and not closing:
            _, name, first = opened.pop()
            yield name, last - first + 1
        match = re.match(r"\s*(?:cp?def|def)\b(?!\s+(?:class|extern|enum|struct)\b)", line)
        if match and (name := re.search(r"(\w+)\(", line)):
            opened.append((indent, name[1], number))
        last = number


@pytest.mark.parametrize("path", sources(".py", ".pyx", ".pxd", ".pyi"), ids=name_of)
def test_no_file_is_too_long(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    reasoned = path.suffix == ".pyx" and "over 500 lines" in text[:3000].lower()
    assert len(text.splitlines()) <= (MAX_PYX_LINES if reasoned else MAX_LINES)


@pytest.mark.parametrize("path", sources(".py", ".pyx"), ids=name_of)
def test_no_function_is_too_long(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    functions = cython_functions(text) if path.suffix == ".pyx" else python_functions(text)
    assert [found for found in functions if found[1] > MAX_FUNCTION_LINES] == []


def test_functions_of_cython_files_are_measured() -> None:
    text = "class A:\n  cdef int f(\n    self\n  ) except -1:\n    pass\n\n    pass\n\ndef g(): 1\n"
    assert list(cython_functions(text)) == [("f", 6), ("g", 1)]


@pytest.mark.parametrize("path", sources(".py", ".pyx"), ids=name_of)
def test_module_says_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".pyx":
        opening = re.match(r'(?:#.*\n|\n)*"""(.*?)"""', text, re.DOTALL)
        docstring = opening[1] if opening else ""
    else:
        docstring = ast.get_docstring(ast.parse(text)) or ""
    short = path.name == "__init__.py" or not path.is_relative_to(PACKAGE)
    assert len(docstring.strip().splitlines()) >= (1 if short else MIN_DOCSTRING_LINES)


def public_names(text: str) -> dict[str, list[str]]:
    """Public classes and functions of a module in order, each with its public methods in order.

    Properties and attributes are left out: one twin has fields where the other has properties.
    """
    found: dict[str, list[str]] = {}
    methods: list[str] = []
    decorator = ""
    for line in text.splitlines():
        match = re.match(r"( *)(?:cdef +)?(class|def|cpdef)\b[^(:]*?([A-Za-z_]\w*) *[(:]", line)
        if match and not match[3].startswith("_"):
            if not match[1]:
                methods = found[match[3]] = []
            elif len(match[1]) == 4 and not re.match(r"property|\w+\.setter", decorator):
                methods.append(match[3])
        elif match and not match[1]:
            methods = []  # of a private class: nobody's
        decorator = line.strip()[1:] if line.strip().startswith("@") else ""
    return found


@pytest.mark.parametrize("name", ["io", "parser", "poll"])
def test_twins_and_stub_define_the_same_names_in_the_same_order(name: str) -> None:
    files = [f"_py{name}.py", f"_{name}.pyx", f"_{name}.pyi"]
    pure, compiled, stub = (
        public_names((PACKAGE / file).read_text(encoding="utf-8")) for file in files
    )
    assert pure
    assert list(compiled.items()) == list(pure.items())
    assert list(stub.items()) == list(pure.items())


def imported_kernels(path: Path) -> set[str]:
    """The kernel modules that a file names in any import statement, however it spells it."""
    text = path.read_text(encoding="utf-8")
    lines = re.findall(r"^\s*(?:from|import|cimport)\b[^#\n]*(?:\([^)]*\))?", text, re.MULTILINE)
    return {kernel for kernel in KERNELS for line in lines if re.search(rf"\b{kernel}\b", line)}


@pytest.mark.parametrize(
    "path", [path for path in sources(".py", ".pyx") if path.is_relative_to(PACKAGE)], ids=name_of
)
def test_kernel_is_reached_through_accel_only(path: Path) -> None:
    allowed = MAY_IMPORT_KERNEL.get(path.stem, set()) if path.parent == PACKAGE else set()
    assert imported_kernels(path) <= allowed


def test_what_is_compiled_is_listed_once_and_has_its_types_beside_it() -> None:
    typed = [path for path in sources(".pxd") if path.with_suffix(".py").exists()]
    listed = [f"cyserve/{name.replace('.', '/')}.pxd" for name in _compiled.ENGINE]
    assert sorted(map(name_of, typed)) == sorted(listed)
    kernel = sorted(path.stem for path in sources(".pyx"))
    assert kernel == sorted(_compiled.KERNEL)


def declared_attributes(pxd: str) -> dict[str, set[str]]:
    """The C attributes of each extension type that a .pxd declares, with those of its bases."""
    found: dict[str, set[str]] = {"Origin": set()}
    for match in re.finditer(
        r"^cdef class (\w+)(?:\((\w+)\))?:\n((?: .*\n|\n)*)", pxd, re.MULTILINE
    ):
        name, base, body = match.groups()
        found[name] = set(found.get(base, ()))
        for line in re.findall(
            r"^    cdef (?!.*\()(?:public |readonly )?(.*)$", body, re.MULTILINE
        ):
            found[name] |= {word.split()[-1] for word in line.split(",")}
    return found


@pytest.mark.parametrize("name", _compiled.ENGINE)
def test_attributes_of_extension_types_are_declared(name: str) -> None:
    """An extension type has the attributes of its .pxd and no others."""
    source = PACKAGE / f"{name.replace('.', '/')}.py"
    pxd = "".join(path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.pxd")))
    origin = declared_attributes(pxd)["Origin"]
    types = declared_attributes(source.with_suffix(".pxd").read_text(encoding="utf-8"))
    for cls in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(cls, ast.ClassDef) and cls.name in types:
            bases = origin if "Origin" in map(ast.unparse, cls.bases) else set()
            properties = {node.name for node in cls.body if isinstance(node, ast.FunctionDef)}
            stored = {
                node.attr
                for node in ast.walk(cls)
                if isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and ast.unparse(node.value) == "self"
            }
            assert stored - types[cls.name] - bases - properties == set(), cls.name


def test_master_starts_without_tls_and_event_loops() -> None:
    # What has made locks or taken names before gevent patches them, is not patched.
    heavy = ("ssl", "asyncio", "concurrent.futures", "queue", "subprocess", "gevent", "tornado")
    code = f"import sys, cyserve.arbiter; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(cyserve.__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.stdout.strip(), run.stderr) == ("[]", "")


def test_version_is_the_one_on_top_of_the_changelog() -> None:
    head = re.search(
        r"^## (\S+)", (TREE / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert head is not None
    assert head[1] == cyserve.__version__
    assert ".".join(map(str, cyserve.version_info)) == cyserve.__version__
