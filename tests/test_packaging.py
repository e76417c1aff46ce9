"""The package as others get it: what wheel and sdist hold, and what the three build switches do.

Everything is built from a copy of the tree in a temporary directory, so the tree cannot change
under a running test. The compiled wheel is not built here: the whole suite runs against it.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import cyserve
from cyserve import _compiled

TREE = Path(__file__).resolve().parents[1]
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".tox", ".*_cache", ".hypothesis", ".benchmarks",
    "build", "dist", "*.egg-info", "__pycache__", "*.so",
)  # fmt: skip
SWITCHES = ("CYSERVE_NO_EXTENSIONS", "CYSERVE_REQUIRE_EXTENSIONS")
GUIDED = "CYSERVE_PROFILE_GUIDED"

pytestmark = pytest.mark.timeout(300)


def environment(**settings: str) -> dict[str, str]:
    """This process's environment without the switches and Python's own, plus `settings`."""
    left_out = (*SWITCHES, GUIDED)
    kept = {k: v for k, v in os.environ.items() if k not in left_out and k[:6] != "PYTHON"}
    return kept | settings


def copy_tree(to: Path) -> Path:
    shutil.copytree(TREE, to, ignore=NOT_COPIED)
    return to


def build(tree: Path, kind: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m build --KIND` on a copy of the tree; kind is "wheel" or "sdist"."""
    return subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", f"--{kind}", str(tree)],
        cwd=tree.parent,
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )


def run_python(code: str, path: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a line of Python with `path` first on sys.path and no other cyserve before it."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=path,
        env=environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def pure_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree, under git when there is git, in which a pure wheel was built."""
    tree = copy_tree(tmp_path_factory.mktemp("pure") / "tree")
    if shutil.which("git"):
        subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
        subprocess.run(["git", "add", "-A"], cwd=tree, check=True)
    done = build(tree, "wheel", CYSERVE_NO_EXTENSIONS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    return tree


@pytest.fixture(scope="module")
def pure_wheel(pure_tree: Path) -> Path:
    (wheel,) = (pure_tree / "dist").glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def unpacked(pure_wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that holds what the pure wheel would put into site-packages."""
    where = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(pure_wheel) as archive:
        archive.extractall(where)
    return where


def test_pure_wheel_fits_every_platform_and_holds_no_binary(pure_wheel: Path) -> None:
    assert pure_wheel.name == f"cyserve-{cyserve.__version__}-py3-none-any.whl"
    with zipfile.ZipFile(pure_wheel) as archive:
        names = archive.namelist()
    assert [n for n in names if n.endswith((".so", ".pyd", ".c", ".pyx", ".pxd"))] == []
    assert {"cyserve/py.typed", "cyserve/_io.pyi", "cyserve/_parser.pyi"} <= set(names)
    assert {n.split("/")[0] for n in names} == {
        "cyserve",
        f"cyserve-{cyserve.__version__}.dist-info",
    }


def test_wheel_holds_every_module(pure_wheel: Path) -> None:
    expected = {p.relative_to(TREE).as_posix() for p in (TREE / "cyserve").rglob("*.py")}
    with zipfile.ZipFile(pure_wheel) as archive:
        assert expected <= set(archive.namelist())


def test_wheel_needs_nothing_at_run_time(unpacked: Path) -> None:
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    needs = [n for n in metadata.read_text().splitlines() if n.startswith("Requires-Dist:")]
    assert [need for need in needs if "extra ==" not in need] == []


def test_building_leaves_the_tree_clean(pure_tree: Path, pure_wheel: Path) -> None:
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    status = subprocess.run(
        ["git", "status", "--porcelain", "--untracked-files=all"],
        cwd=pure_tree,
        capture_output=True,
        text=True,
        check=True,
    )
    assert [line for line in status.stdout.splitlines() if not line.startswith("A ")] == []


IMPORT = "import cyserve, cyserve._accel as a; print(a.implementation(), cyserve.__file__)"


def test_pure_wheel_imports_pure(unpacked: Path) -> None:
    done = run_python(IMPORT, unpacked)
    assert done.stdout.split() == ["pure", str(unpacked / "cyserve" / "__init__.py")], done.stderr


def test_required_extensions_refuse_the_pure_package(unpacked: Path) -> None:
    done = run_python(IMPORT, unpacked, CYSERVE_REQUIRE_EXTENSIONS="1")
    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert "installed without it" in done.stderr


def test_broken_extension_is_an_error_not_a_fallback(unpacked: Path, tmp_path: Path) -> None:
    shutil.copytree(unpacked, tmp_path / "site")
    (tmp_path / "site" / "cyserve" / "_io.abi3.so").write_bytes(b"not a shared object")
    done = run_python(IMPORT, tmp_path / "site")
    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert "_io.abi3.so" in done.stderr


@pytest.mark.parametrize("value", ["yes", "true", "2"])
def test_import_refuses_a_switch_that_is_neither_0_nor_1(unpacked: Path, value: str) -> None:
    done = run_python(IMPORT, unpacked, CYSERVE_NO_EXTENSIONS=value)
    assert done.returncode == 1
    assert f"CYSERVE_NO_EXTENSIONS='{value}'" in done.stderr


def test_both_switches_fail_at_import(unpacked: Path) -> None:
    done = run_python(IMPORT, unpacked, **dict.fromkeys(SWITCHES, "1"))
    assert done.returncode == 1
    assert "CYSERVE_NO_EXTENSIONS and CYSERVE_REQUIRE_EXTENSIONS are both set" in done.stderr


def test_both_switches_fail_at_build(tmp_path: Path) -> None:
    done = build(copy_tree(tmp_path / "tree"), "wheel", **dict.fromkeys(SWITCHES, "1"))
    assert done.returncode != 0
    text = done.stdout + done.stderr
    assert "CYSERVE_NO_EXTENSIONS and CYSERVE_REQUIRE_EXTENSIONS are both set" in text


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({GUIDED: "yes"}, f"{GUIDED}='yes': allowed are 0 and 1"),
        ({GUIDED: "1", SWITCHES[0]: "1"}, f"{SWITCHES[0]} and {GUIDED} are both set"),
    ],
)
def test_profile_guided_build_refuses_nonsense(settings: dict[str, str], why: str) -> None:
    done = run_python("import runpy; runpy.run_path('setup.py')", TREE, **settings)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"setup.py: {why}"


#: Stand-ins for benchmarks/training.py: they get `--cyserve DIRECTORY`.
IMPORTS = "import sys; sys.path.insert(0, sys.argv[2]); import cyserve._runtime as r; "
TRAINS = f"{IMPORTS}assert r.__file__.startswith(sys.argv[2]); [r.Row().push(0) for _ in range(99)]"
FAILS, LEARNS_NOTHING = f"{IMPORTS}sys.exit(3)", ""


def copy_with_one_extension(tree: Path) -> Path:
    copy_tree(tree)
    (tree / "cyserve" / "_compiled.py").write_text('KERNEL = ("_runtime",)\nENGINE = ()\n')
    return tree


def build_guided(tree: Path, training: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Build a profile-guided wheel of a single compiled module, trained by that program."""
    copy_with_one_extension(tree)
    (tree / "benchmarks" / "training.py").write_text(training)
    return build(tree, "wheel", **{GUIDED: "1", "CC": "gcc", **settings})


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="extensions are CPython's")
def test_profile_guided_wheel_holds_what_was_trained(tmp_path: Path) -> None:
    done = build_guided(tmp_path / "tree", TRAINS)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (tmp_path / "tree" / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".so")]
        module = archive.read(name)
    assert name.startswith("cyserve/_runtime.")
    assert b".gcda" not in module  # it counts no more
    objects = (tmp_path / "tree" / "build").glob("profiled-*/**/_runtime.o")
    assert [b".text.hot" in built.read_bytes() for built in objects] == [True]


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="extensions are CPython's")
@pytest.mark.parametrize(
    ("training", "settings", "why"),
    [
        (TRAINS, {"CC": "false"}, f"{GUIDED}: needs gcc, not 'false'"),
        (FAILS, {}, f"{GUIDED}: the training failed (exit code 3)"),
        (LEARNS_NOTHING, {}, "missing-profile"),
    ],
    ids=["not gcc", "training fails", "no profile"],
)
def test_profile_guided_build_is_never_an_unguided_one(
    tmp_path: Path, training: str, settings: dict[str, str], why: str
) -> None:
    done = build_guided(tmp_path / "tree", training, **settings)
    assert done.returncode != 0
    assert why in done.stdout + done.stderr
    assert not list(tmp_path.rglob("*.whl"))


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="extensions are CPython's")
@pytest.mark.parametrize(
    ("settings", "level"), [({}, "-O2"), ({"CFLAGS": "-g"}, "-O2"), ({"CFLAGS": "-O0 -w"}, "-O0")]
)
def test_the_users_optimisation_level_goes_before_ours(
    tmp_path: Path, settings: dict[str, str], level: str
) -> None:
    tree = copy_with_one_extension(tmp_path / "tree")
    done = build(tree, "wheel", CC="echo COMPILER", **settings)  # says what it would compile
    (line,) = [n for n in done.stdout.splitlines() if n.startswith("COMPILER") and " -c " in n]
    assert [word for word in line.split() if word.startswith("-O")][-1] == level


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="extensions are CPython's")
def test_broken_cython_source_fails_the_build(tmp_path: Path) -> None:
    tree = copy_tree(tmp_path / "tree")
    with (tree / "cyserve" / "_io.pyx").open("a") as source:
        source.write("\ncdef int broken(:\n")
    done = build(tree, "wheel")
    assert done.returncode != 0
    assert "_io.pyx" in done.stdout + done.stderr
    assert not list(tmp_path.rglob("*.whl"))


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="extensions are CPython's")
def test_failing_compiler_fails_the_build(tmp_path: Path) -> None:
    tree = copy_with_one_extension(tmp_path / "tree")
    done = build(tree, "wheel", CC="false")
    assert done.returncode != 0
    assert "error: command '['false'" in done.stderr.lower()
    assert not list(tmp_path.rglob("*.whl"))


def test_sdist_holds_sources_and_no_generated_c(tmp_path: Path) -> None:
    tree = copy_with_one_extension(tmp_path / "tree")
    done = build(tree, "sdist", CYSERVE_REQUIRE_EXTENSIONS="1")
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,) = (tree / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert [name for name in names if name.endswith((".so", ".pyc"))] == []
    assert [name for name in names if name.startswith("cyserve/") and name.endswith(".c")] == []
    kernel = {f"cyserve/{name}" for name in ("_io.pyx", "_io.pxd", "_parser.pyx", "_pyio.py")}
    tools = {"setup.py", "pyproject.toml", "Makefile", ".ci/run", "tests/conftest.py", "LICENSE"}
    types = {f"cyserve/{name.replace('.', '/')}.pxd" for name in _compiled.ENGINE}
    assert kernel | types | tools <= names
    assert [name for name in names if name.startswith("build/")] == []
