"""Applications: combine the sources of settings, then run the server.

An application subclass says where the settings come from (`load_config`) and what is served
(`load`). Order of the sources, a later one wins: defaults with their environment variables, config
file, $CYSERVE_CMD_ARGS or else $GUNICORN_CMD_ARGS, command line.

Only `do_load_config` and `run` may end the process; `reload` must leave everything as it was when
it fails, because a master with working workers depends on it.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import SourcelessFileLoader
from types import CodeType, ModuleType

from cyserve import gunicorn_alias
from cyserve.arbiter import Arbiter
from cyserve.config import Config, get_default_config_file
from cyserve.config.core import APPLICATION
from cyserve.config.misspelt import misspelt, nearest_setting
from cyserve.config.toml_file import read_settings
from cyserve.errors import AppImportError, ConfigError, user_traceback
from cyserve.paths import file_state
from cyserve.process import daemonize

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any, NoReturn

__all__ = ("Application", "Arbiter", "BaseApplication", "Config", "get_default_config_file")

#: The config file runs as a module of this name.
CONFIG_MODULE = "__config__"

#: What bad settings raise, each with a line that says enough.
_FORESEEN = (
    AppImportError, AttributeError, ConfigError, ImportError, OSError, RuntimeError, TypeError,
    ValueError,
)  # fmt: skip

#: What the start of the server raises for the user's mistakes. Other errors are ours.
_AT_START = (AppImportError, ConfigError, ImportError, RuntimeError)


class BaseApplication:
    """An application that is served from one's own program.

    Subclasses define `load_config`, which calls `self.cfg.set(name, value)`, and `load`, which
    returns the WSGI callable. `BaseApplication(usage, prog)` loads the settings at once, so what
    `load_config` needs must be set before `super().__init__()`.
    """

    cfg: Config
    warnings: Sequence[str] = ()  # about the settings, from the last time that they were read
    code_files: Sequence[str] = ()  # that the application is made of, besides its modules
    #: The file that settings came from, if any.
    config_path: str | None = None

    _config_state: Any = None  # of that file when it was read
    _config_module = CONFIG_MODULE  # name of the module that the settings were imported from

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.usage = usage
        self.prog = prog
        self.callable: Any = None
        self.logger: Any = None
        self.do_load_config()

    def do_load_config(self) -> None:
        """Load the settings; on failure say why in one line and exit with 1."""
        try:
            self._load_all()
        except Exception as exc:
            self._show_warnings()  # a name that was misspelt may be the reason
            stop(exc)
        self._show_warnings()

    def _show_warnings(self) -> None:
        for text in self.warnings:
            print(f"Warning: {text}", file=sys.stderr)

    def _load_all(self) -> None:
        self.warnings = ()
        self.load_default_config()
        self.load_config()
        self.cfg.validate()
        self._select_kernel()

    def _warn(self, text: str) -> None:
        self.warnings = [*self.warnings, text]

    def _select_kernel(self) -> None:
        """Choose the compiled kernel or its twin, as the setting http_parser says."""
        wanted = self.cfg.http_parser
        try:
            # Here, so that a kernel that cannot be loaded is an error of the configuration.
            from cyserve import _accel  # noqa: PLC0415

            _accel.select(wanted)
        except ImportError as exc:
            raise ConfigError(f"http_parser = {wanted!r}: {exc}") from None

    def load_default_config(self) -> None:
        """Begin with the defaults."""
        self.cfg = Config(self.usage, prog=self.prog)

    def init(self, parser: ArgumentParser, opts: Namespace, args: list[str]) -> Any:
        """Look at the command line; may return a dict of settings. For subclasses."""
        raise NotImplementedError

    def load(self) -> Any:
        """Return the WSGI callable. For subclasses."""
        raise NotImplementedError

    def load_config(self) -> None:
        """Set what the sources of this application say. For subclasses."""
        raise NotImplementedError

    def reload(self) -> None:
        """Read the settings again.

        Raises ConfigError if that fails; then cfg, the working directory and sys.path are as
        before. The text is one line; `__cause__` is set if the user's own code failed.
        What deserves a look though it is no error is in `warnings` afterwards.
        """
        with self._restored_on_failure():
            try:
                self._load_all()
            except ConfigError:
                raise
            except Exception as exc:
                raise ConfigError(str(exc)) from exc.__cause__
            except SystemExit as exc:
                raise ConfigError(f"the configuration asked to exit with {exc.code!r}") from None

    @contextmanager
    def _restored_on_failure(self) -> Iterator[None]:
        """Put back what loading the settings changes, if the block raises."""
        attributes = self.__dict__.copy()
        path = sys.path.copy()
        directory = os.open(".", os.O_RDONLY)  # leads back even if it was renamed or removed
        modules = {name: sys.modules.get(name) for name in (CONFIG_MODULE, self._config_module)}
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(attributes)
            os.fchdir(directory)
            sys.path[:] = path
            for name, module in modules.items():
                sys.modules.pop(name, None)
                if module is not None:
                    sys.modules[name] = module
            raise
        finally:
            os.close(directory)

    def config_changed(self) -> bool:
        """Whether the file that settings came from has been changed since; not if it is gone."""
        state = file_state(self.config_path) if self.config_path else None
        return state is not None and state != self._config_state

    def _note_config(self, path: str | None) -> None:
        self.config_path = path
        self._config_state = file_state(path) if path else None

    def wsgi(self) -> Any:
        """The WSGI callable, loaded at the first call."""
        if self.callable is None:
            self.callable = self.load()
        return self.callable

    def run(self) -> None:
        """Serve until told to stop. Does not return normally: the master exits the process."""
        if self.cfg.settings["gunicorn_alias"].get():
            gunicorn_alias.install()  # before worker and logger classes of others are loaded
        try:
            Arbiter(self).run()
        except Exception as exc:
            if isinstance(exc, SyntaxError) or user_traceback(exc) is not None:
                print_user_traceback(exc)  # of a hook, a logger, a preloaded application
                sys.exit(1)
            if not isinstance(exc, _AT_START):
                raise
            stop(exc)


class Application(BaseApplication):
    """An application whose settings come from files, the environment and the command line."""

    def chdir(self) -> None:
        """Enter the directory of the setting `chdir` and search modules there first."""
        os.chdir(self.cfg.chdir)
        if self.cfg.chdir not in sys.path:
            sys.path.insert(0, self.cfg.chdir)

    def get_config_from_filename(self, filename: str) -> dict[str, Any]:
        """Run a config file, or read it if it is TOML, and return its names.

        filename: path; relative to the current directory.

        Raises ConfigError if there is no such file or it fails.
        """
        if not os.path.exists(filename):
            raise ConfigError(f"config file {filename!r} doesn't exist")
        path = os.path.abspath(filename)  # stays right when `chdir` is entered
        self._note_config(path)
        if _is_toml(path):
            try:
                return read_settings(path)
            except ConfigError as exc:
                raise ConfigError(f"config file {filename}: {exc}") from None
        try:
            code = _read_code(path)
        except OSError as exc:
            raise ConfigError(f"config file {filename!r}: {exc.strerror}") from None
        except Exception as exc:
            raise ConfigError(f"Failed to read config file: {filename}") from exc
        if os.path.splitext(filename)[1] not in {".py", ".pyc"}:
            self._warn(f"config file {filename!r} should have a valid Python extension")
        module = ModuleType(CONFIG_MODULE)
        module.__file__ = path
        sys.modules[CONFIG_MODULE] = module
        try:
            exec(code, module.__dict__)  # noqa: S102 - that is what it is for
        except Exception as exc:
            raise ConfigError(f"Failed to read config file: {filename}") from exc
        return vars(module)

    def get_config_from_module_name(self, module_name: str) -> dict[str, Any]:
        """Import a module of settings and return its names.

        A module that was imported here before is imported afresh, so that a reload sees changes.
        Raises ConfigError if that fails.
        """
        if module_name == self._config_module:
            sys.modules.pop(module_name, None)
        try:
            module = importlib.import_module(module_name)
        except Exception as exc:
            raise ConfigError(f"Failed to read config module: {module_name}") from exc
        self._config_module = module_name
        self._note_config(getattr(module, "__file__", None))
        return vars(module)

    def load_config_from_module_name_or_filename(self, location: str) -> dict[str, Any]:
        """Apply the settings at PATH, file:PATH or python:MODULE and return all names there."""
        if location.startswith("python:"):
            module = location[len("python:") :]
            source = f"config module {module}"
            names = self.get_config_from_module_name(module)
        else:
            path = location.removeprefix("file:")
            source = f"config file {path}"
            names = self.get_config_from_filename(path)
            if _is_toml(path):
                self._apply_toml(source, names)
                return names
        for name, value in names.items():
            if name in self.cfg.settings:
                self._apply(source, name, value)
        for name, meant in misspelt(names, self.cfg.settings).items():
            self._warn(f"{source}: there is no setting {name!r}; did you mean {meant!r}?")
        return names

    def _apply_toml(self, source: str, names: dict[str, Any]) -> None:
        """Apply the keys of a TOML file. Unlike Python's names, each of them must be a setting."""
        for name in names:
            if name not in self.cfg.settings:
                meant = nearest_setting(name, self.cfg.settings)
                hint = f"; did you mean {meant!r}?" if meant else ""
                raise ConfigError(f"{source}: there is no setting {name!r}{hint}")
        for name in ("chdir", "pythonpath"):  # first: the file's hooks are found there
            if name in names:
                self._apply(source, name, names[name])
        if "chdir" in names and self.cfg.chdir not in sys.path:
            sys.path.insert(0, self.cfg.chdir)
        if "pythonpath" in names:
            self._extend_path()
        for name, value in names.items():
            self._apply(source, name, value)

    def load_config_from_file(self, filename: str) -> dict[str, Any]:
        """Apply the settings of a config file, see load_config_from_module_name_or_filename."""
        return self.load_config_from_module_name_or_filename(filename)

    def _ignores_parser(self) -> bool:
        """Whether `init` takes no interest in the parser, so that there need not be one."""
        return False

    def load_config(self) -> None:
        """Combine all sources, enter the directory and check the whole."""
        parser: Any = None
        args: Any = self.cfg.plain_args(sys.argv[1:]) if self._ignores_parser() else None
        if args is None:
            parser = self.cfg.parser()
            args = parser.parse_args()
        env_args = self.cfg.parse_args_from_env()
        if args.gunicorn_alias is None and env_args.gunicorn_alias is None:
            gunicorn_alias.install()  # before anybody's code runs
        for name, value in (self.init(parser, args, args.args) or {}).items():
            self._apply(APPLICATION, name.lower(), value)
        self.chdir()  # to the launch directory, where relative paths begin, on a reload too
        location = args.config or env_args.config or get_default_config_file()
        if location:
            self.load_config_from_file(location)
        self._apply_args(f"${self.cfg.args_variable}", env_args)
        self._apply_args("command line", args)
        if not self.cfg.gunicorn_alias:
            gunicorn_alias.uninstall()
        elif not gunicorn_alias.install():
            self._warn(
                "gunicorn was imported before cyserve, perhaps by a tool that runs programs: it is"
                " what `import gunicorn` gives, and who changes it does not change cyserve"
            )
        self.chdir()

    def _apply_args(self, source: str, args: Any) -> None:
        for name, value in vars(args).items():
            if value is not None and name != "args":
                self._apply(source, name.lower(), value)

    def _apply(self, source: str, name: str, value: Any) -> None:
        try:
            self.cfg.set(name, value)
        except (AttributeError, ConfigError, TypeError, ValueError) as exc:
            raise ConfigError(f"{source}: {exc}") from exc.__cause__
        self.cfg.settings[name].source = source

    def run(self) -> None:
        """Do what the settings ask for: print, check, or serve. Ends the process."""
        if self.cfg.print_config:
            print(self.cfg.listing(), flush=True)
        if self.cfg.print_config or self.cfg.check_config:
            self._check()
        if self.cfg.spew:
            from cyserve import debug  # noqa: PLC0415 - rarely needed

            debug.spew()
        if self.cfg.daemon:
            daemonize(self.cfg.enable_stdio_inheritance)
        self._extend_path()
        super().run()

    def _check(self) -> NoReturn:
        """Load the application as a worker would, and exit: 0 if it can be served, else 1."""
        os.environ.update(self.cfg.env)
        self._extend_path()
        try:
            self.load()
        except AppImportError as exc:
            print(f"Error while loading the application: {exc}", file=sys.stderr)
            sys.exit(1)
        except Exception as exc:
            print("Error while loading the application:", file=sys.stderr)
            print_user_traceback(exc)
            sys.exit(1)
        sys.exit(0)

    def _extend_path(self) -> None:
        """Let modules be found in the directories of the setting `pythonpath`."""
        for entry in (self.cfg.pythonpath or "").split(","):
            path = os.path.normpath(os.path.join(self.cfg.chdir, entry.strip()))
            if entry.strip() and path not in sys.path:
                sys.path.insert(0, path)


def stop(exc: BaseException) -> NoReturn:
    """Say in one line why the server cannot start, and exit with 1.

    A traceback follows only if the user's own code failed, or for an error nobody thought of.
    """
    print(f"Error: {str(exc) or type(exc).__name__}", file=sys.stderr)
    unforeseen = None if isinstance(exc, _FORESEEN) else exc
    if (failure := exc.__cause__ or unforeseen) is not None:
        print_user_traceback(failure)
    sys.exit(1)


def print_user_traceback(exc: BaseException) -> None:
    """Print a traceback to stderr, without the frames of the server before the user's own."""
    traceback.print_exception(type(exc), exc, user_traceback(exc), file=sys.stderr)


def _is_toml(filename: str) -> bool:
    return filename.endswith(".toml")


def _read_code(filename: str) -> CodeType:
    """The code of a config file. Not the import system's way: that caches bytecode by the second,
    and a file changed twice within one would be read wrongly."""
    if filename.endswith(".pyc"):
        code = SourcelessFileLoader(CONFIG_MODULE, filename).get_code(CONFIG_MODULE)
        if code is None:
            raise ImportError(f"{filename} holds no code")
        return code
    with open(filename, "rb") as file:
        return compile(file.read(), filename, "exec", dont_inherit=True)
