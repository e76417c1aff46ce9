"""Which kernel runs: chosen by the environment at import, or by `select`; never by accident."""

import os
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

from cyserve import _accel, _compiled

NAMES = ("CYSERVE_NO_EXTENSIONS", "CYSERVE_REQUIRE_EXTENSIONS")
PURE = ("pure", "cyserve._pyparser", "cyserve._pyio", "cyserve._pypoll")
COMPILED = ("compiled", "cyserve._parser", "cyserve._io", "cyserve._poll")
ENGINES_OWN = ("cyserve._runtime", "cyserve._lines")

ENGINE = tuple(f"cyserve.{name}" for name in _compiled.ENGINE)
BUILT = find_spec("cyserve._io") is not None


def chosen() -> tuple[str, ...]:
    modules = (_accel.parser, _accel.io, _accel.poll)
    return (_accel.implementation(), *(module.__name__ for module in modules))


class Installation:
    """What the test pretends is installed: what importing a module does."""

    def __init__(self) -> None:
        self.failures: dict[str, ImportError] = {}
        self.stand_ins: dict[str, ModuleType] = {}
        self.engine = set(ENGINE)

    def import_module(self, name: str) -> ModuleType:
        if name in self.failures:
            raise self.failures[name]
        return self.stand_ins.get(name) or import_module(name)

    def lacks(self, *names: str) -> None:
        for name in names:
            self.failures[name] = ModuleNotFoundError(f"No module named {name!r}", name=name)
            self.engine.discard(name)

    def is_extension(self, name: str) -> bool:
        return name in self.engine


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> Installation:
    """CPython, no switch set, stand-ins where extensions would be; all undone afterwards."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    for name in ("is_compiled", "parser", "io", "poll"):  # what `select` binds anew
        monkeypatch.setattr(_accel, name, getattr(_accel, name))
    installed = Installation()
    for name in (*COMPILED[1:], *ENGINES_OWN):
        installed.stand_ins[name] = ModuleType(name)
    monkeypatch.setattr(_accel, "import_module", installed.import_module)
    monkeypatch.setattr(_accel, "_is_extension", installed.is_extension)
    monkeypatch.setattr(sys.implementation, "name", "cpython")
    monkeypatch.setattr(_accel, "KERNEL", ("_parser", "_io", "_runtime", "_lines", "_poll"))
    return installed


class TestSelect:
    @pytest.mark.parametrize(
        ("word", "expected"), [("auto", COMPILED), ("fast", COMPILED), ("python", PURE)]
    )
    def test_words(self, installation: Installation, word: str, expected: tuple[str, ...]) -> None:
        _accel.select(word)
        assert chosen() == expected

    def test_another_word(self, installation: Installation) -> None:
        _accel.select("python")
        with pytest.raises(ValueError, match="'quick': allowed are auto, fast and python"):
            _accel.select("quick")
        assert chosen() == PURE

    def test_pure_build(self, installation: Installation) -> None:
        installation.lacks(*COMPILED[1:], *ENGINES_OWN, *ENGINE)
        _accel.select("auto")
        assert chosen() == PURE
        with pytest.raises(ImportError, match="installed without it"):
            _accel.select("fast")
        assert chosen() == PURE

    @pytest.mark.parametrize("missing", [*COMPILED[1:], ENGINE[0], ENGINE[-1]])
    @pytest.mark.parametrize("word", ["auto", "fast"])
    def test_half_a_build_is_an_error(
        self, installation: Installation, missing: str, word: str
    ) -> None:
        installation.lacks(missing)
        with pytest.raises(ImportError, match=f"incomplete build: not compiled: {missing};"):
            _accel.select(word)

    @pytest.mark.parametrize(
        "failure",
        [
            ImportError("undefined symbol: x"),
            ModuleNotFoundError("No module named 'cyserve._errors'", name="cyserve._errors"),
        ],
        ids=["does not load", "lacks what it needs"],
    )
    @pytest.mark.parametrize("broken", COMPILED[1:])
    def test_broken_build_is_an_error(
        self, installation: Installation, broken: str, failure: ImportError
    ) -> None:
        installation.failures[broken] = failure
        with pytest.raises(ImportError) as caught:
            _accel.select("auto")
        assert caught.value is failure

    def test_other_interpreters_get_the_twins(
        self, installation: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys.implementation, "name", "pypy")
        _accel.select("auto")
        assert chosen() == PURE
        _accel.select("fast")
        assert chosen() == COMPILED
        monkeypatch.setenv("CYSERVE_REQUIRE_EXTENSIONS", "1")
        _accel.select("auto")
        assert chosen() == COMPILED


class TestSwitches:
    def test_no_extensions(
        self, installation: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CYSERVE_NO_EXTENSIONS", "1")
        for word in ("auto", "python"):
            _accel.select(word)
            assert chosen() == PURE
        with pytest.raises(ImportError, match="CYSERVE_NO_EXTENSIONS is set"):
            _accel.select("fast")

    def test_require_extensions(
        self, installation: Installation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CYSERVE_REQUIRE_EXTENSIONS", "1")
        for word in ("auto", "fast"):
            _accel.select(word)
            assert chosen() == COMPILED
        with pytest.raises(ImportError, match="CYSERVE_REQUIRE_EXTENSIONS is set"):
            _accel.select("python")
        installation.lacks(*COMPILED[1:], *ENGINES_OWN, *ENGINE)
        with pytest.raises(ImportError, match="installed without it"):
            _accel.select("auto")
        assert chosen() == COMPILED

    def test_both(self, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in NAMES:
            monkeypatch.setenv(name, "1")
        for word in ("auto", "fast", "python"):
            with pytest.raises(ImportError, match="are both set"):
                _accel.select(word)

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize("value", ["yes", "2", " 1", "true"])
    def test_odd_values(
        self, installation: Installation, monkeypatch: pytest.MonkeyPatch, name: str, value: str
    ) -> None:
        monkeypatch.setenv(name, value)
        with pytest.raises(ImportError, match=f"{name}={value!r}: allowed are 0 and 1"):
            _accel.select("auto")


class TestImport:
    """The same at import, in a new process."""

    KERNEL = "from cyserve import _accel as a; print(a.implementation(), a.io.__name__)"

    def run(self, no: str, require: str, code: str = KERNEL) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **dict(zip(NAMES, (no, require), strict=True))},
            capture_output=True,
            text=True,
        )

    @pytest.mark.parametrize("off", ["", "0"])
    def test_pure(self, off: str) -> None:
        run = self.run("1", off)
        assert (run.stdout, run.stderr) == ("pure cyserve._pyio\n", "")

    def test_required(self) -> None:
        run = self.run("0", "1")
        if BUILT:
            assert (run.stdout, run.stderr) == ("compiled cyserve._io\n", "")
        else:
            assert run.returncode == 1
            assert "the compiled kernel is asked for" in run.stderr.splitlines()[-1]

    def test_both(self) -> None:
        run = self.run("1", "1")
        assert run.returncode == 1
        assert run.stderr.splitlines()[-1].startswith("ImportError: CYSERVE_NO_EXTENSIONS and")

    @pytest.mark.parametrize("name", ENGINE)
    def test_the_engine_is_of_the_same_kind(self, name: str) -> None:
        """Without extensions a module of the engine runs from its source, whatever lies there."""
        code = f"import {name}; print({name}.__file__)"
        file = self.run("1", "0", code).stdout.strip()
        assert file.endswith(f"/{name.rpartition('.')[2]}.py")
        assert Path(file).is_file()
        if BUILT:
            assert Path(self.run("0", "1", code).stdout.strip()).suffix == ".so"
