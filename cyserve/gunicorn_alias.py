"""`gunicorn` as another name of `cyserve`: `import gunicorn.http.wsgi` gives `cyserve.http.wsgi`.

What was written for gunicorn (config files, loggers, worker classes, whole programs) then works on
the very modules that serve. Modules are aliased as they are imported, so nothing is loaded that
nobody asked for, and each keeps its own `__name__` and `__spec__`: there is one object with two
entries in `sys.modules`.

The command installs it before it reads a config file (setting `gunicorn_alias`). A program of
one's own calls `install()`, or is run unchanged by `python -m cyserve.gunicorn_alias SCRIPT`.
Nothing may be patched from here, and a real gunicorn that is already imported is left alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import BuiltinImporter, ModuleSpec
from types import CodeType, ModuleType

import cyserve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("install", "main", "uninstall")

#: The gunicorn whose interface this is: what `gunicorn.version_info` answers.
GUNICORN_VERSION = (27, 0, 1)

_USAGE = """\
usage: python -m cyserve.gunicorn_alias SCRIPT [ARGS]
       python -m cyserve.gunicorn_alias -m MODULE [ARGS]

Run a program for which `import gunicorn` gives cyserve.
"""


class _StandIn(ModuleType):
    """A module under another name; everything but the names is the other's.

    real: that module.
    """

    _OWN = frozenset(
        {"__name__", "__spec__", "__loader__", "__package__", "__path__", "__doc__", "_real"}
    )

    def __init__(self, name: str, real: ModuleType) -> None:
        super().__init__(name)
        self._real = real
        self.__doc__ = real.__doc__

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """For tools that look there before they change a name, to be able to restore it."""
        return vars(self._real)

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self._real, name)
        except AttributeError:
            message = f"module {self.__name__!r} has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=self) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self._OWN:
            super().__setattr__(name, value)
        else:
            setattr(self._real, name, value)

    def __delattr__(self, name: str) -> None:
        if name in self._OWN:
            super().__delattr__(name)
        else:
            delattr(self._real, name)

    def __dir__(self) -> list[str]:
        return sorted({*self._OWN - {"_real"}, *dir(self._real)})


class _Package(_StandIn):
    """The package `gunicorn`: everything is `cyserve`'s but the version.

    Programs compare `gunicorn.version_info` to learn what they can use, so it names the gunicorn
    whose interface is offered, while `cyserve.version_info` remains ours. One object cannot
    answer both, hence a second one, for the package alone; it holds nothing else, so that
    `gunicorn.SERVER = "x"` and `cyserve.SERVER = "x"` are the same.
    """

    _OWN = _StandIn._OWN | {"__version__", "version_info"}

    def __init__(self) -> None:
        super().__init__("gunicorn", cyserve)
        self.__path__ = cyserve.__path__
        self.__version__ = ".".join(map(str, GUNICORN_VERSION))
        self.version_info = GUNICORN_VERSION


class _Loader:
    """Gives the module of another name; what the import system writes into it is taken back."""

    def __init__(self, real: ModuleSpec) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        if spec.name == "gunicorn":
            return _Package()
        module = importlib.import_module(self._real.name)
        loader: Any = spec.loader
        if loader is not self:
            # A tool waits for this name (wrapt's post-import hooks, New Relic's agent). It will
            # look for it in the module that we return, when `exec_module` is over.
            return _StandIn(spec.name, module)
        # Not the spec that was found: the module's own may be another by now, and wins.
        self._kept: ModuleSpec | None = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        if type(module) is _StandIn:
            sys.modules[module.__name__] = module._real
        elif not isinstance(module, _Package):
            module.__spec__ = self._kept

    # For `runpy`, `inspect` and the like, which ask the loader of a spec without loading it.

    def is_package(self, fullname: str) -> bool:
        return self._real.submodule_search_locations is not None

    def get_code(self, fullname: str) -> CodeType | None:
        code: CodeType | None = self._real.loader.get_code(self._real.name)  # type: ignore[union-attr]
        return code

    def get_source(self, fullname: str) -> str | None:
        source: str | None = self._real.loader.get_source(self._real.name)  # type: ignore[union-attr]
        return source


class _Finder:
    """Stands in `sys.meta_path` as a class: it has no state."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, rest = fullname.partition(".")
        if package != "gunicorn" or not _installed():
            return None
        real = cyserve.__spec__ if not rest else importlib.util.find_spec(f"cyserve.{rest}")
        if real is None:
            return None  # nobody else looks into our package, so the import says that it is missing
        spec = ModuleSpec(fullname, _Loader(real), origin=real.origin)  # type: ignore[arg-type]
        spec.submodule_search_locations = real.submodule_search_locations
        return spec


def _installed() -> bool:
    """Whether `gunicorn` is ours, or not imported yet."""
    package = sys.modules.get("gunicorn")
    return package is None or isinstance(package, _Package)


def install() -> bool:
    """Let `import gunicorn` give cyserve from now on, whether gunicorn is installed or not.

    What is already loaded of cyserve gets its second name at once, so that tools which wait for
    the import of a gunicorn module see it. Returns False, having done nothing, if the real
    gunicorn has been imported in this process. May be called again.
    """
    if not _installed():
        return False
    if _Finder not in sys.meta_path:
        # Before what searches for files, and behind the hooks of tools that watch imports.
        places = [i for i, finder in enumerate(sys.meta_path) if finder is BuiltinImporter]
        sys.meta_path.insert(min(places, default=0), _Finder)
    for name in sorted(_loaded("cyserve")):
        importlib.import_module("gunicorn" + name[len("cyserve") :])
    return True


def uninstall() -> None:
    """Undo `install`: the next `import gunicorn` finds the real one, if there is one."""
    while _Finder in sys.meta_path:
        sys.meta_path.remove(_Finder)
    if isinstance(sys.modules.get("gunicorn"), _Package):
        for name in _loaded("gunicorn"):
            sys.modules.pop(name, None)


def _loaded(package: str) -> list[str]:
    """The names in `sys.modules` of a package and what is in it."""
    modules: list[tuple[str, ModuleType | None]] = list(sys.modules.items())
    return [n for n, module in modules if module is not None and n.partition(".")[0] == package]


def main() -> None:
    """Run the program that the command line names, as Python itself would, with the alias."""
    import runpy  # noqa: PLC0415 - for this command alone

    arguments = sys.argv[1:]
    as_module = arguments[:1] == ["-m"]
    del arguments[: 1 if as_module else 0]
    if not arguments or (arguments[0].startswith("-") and not as_module):
        asked = arguments[:1] in (["-h"], ["--help"])
        print(_USAGE, end="", file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    install()
    sys.argv[:] = arguments
    if as_module:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        return
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = os.path.dirname(os.path.realpath(arguments[0]))
    runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    # The imported module, not this second copy of it, is what a program's own install() uses.
    importlib.import_module("cyserve.gunicorn_alias").main()
