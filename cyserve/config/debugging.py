"""Settings, section Debugging: follow changes of the source, look at what runs, check a
configuration.

Declarations only; `cyserve.app.base` acts on the last two.
"""

from __future__ import annotations

import glob
import os
import sys

from cyserve.config.core import Setting
from cyserve.config.kinds import Flag, Texts
from cyserve.config.validators import validate_list_string
from cyserve.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = (
    "ConfigCheck",
    "PrintConfig",
    "Reload",
    "ReloadEngine",
    "ReloadExtraFiles",
    "Spew",
    "validate_list_of_files_or_patterns",
    "validate_reload_engine",
)

SECTION = "Debugging"

_ENGINES = ("auto", "poll", "inotify")


def validate_reload_engine(val: Any) -> str:
    """auto, poll, inotify, or what a program has added to `cyserve.reloader.reloader_engines`."""
    if not isinstance(val, str) or val not in _ENGINES:
        from cyserve.reloader import reloader_engines  # noqa: PLC0415 - it loads what it works with

        if not isinstance(val, str) or val not in reloader_engines:
            raise ConfigError(f"allowed are {', '.join(reloader_engines)}")
    return val


def validate_list_of_files_or_patterns(val: Any) -> list[str]:
    """Paths of existing files and directories; one with *, ? or [ may match nothing yet."""
    paths = validate_list_string(val)
    for path in paths:
        if not glob.has_magic(path) and not os.path.exists(path):
            raise ValueError(f"allowed are files, directories and patterns: no {path!r} here")
    return paths


class Reload(Flag):
    name = "reload"
    section = SECTION
    cli = ("--reload",)
    desc = """\
        Replace the workers when the source of the application, or the config file, changes.

        The old workers serve until the new ones have loaded the application; one that does not
        load answers with its traceback until it is repaired. For development: each worker loads
        the application, even with preload_app.
        """


class ReloadEngine(Setting):
    name = "reload_engine"
    section = SECTION
    cli = ("--reload-engine",)
    meta = "STRING"
    validator = validate_reload_engine
    default = "auto"
    desc = """\
        How changes are noticed: poll, inotify (needs Linux and the package inotify), or auto.
        """


class ReloadExtraFiles(Texts):
    name = "reload_extra_files"
    section = SECTION
    cli = ("--reload-extra-file",)
    meta = "FILES"
    validator = validate_list_of_files_or_patterns
    desc = """\
        File, directory or pattern (*, ?, [...]) that reload watches as well. Repeatable.
        """

    def set(self, val: Any) -> None:
        super().set(val)
        for path in self.get():
            if not os.path.exists(path) and next(glob.iglob(path, recursive=True), None) is None:
                print(f"Warning: {self.name}: nothing matches {path!r} yet", file=sys.stderr)


class Spew(Flag):
    name = "spew"
    section = SECTION
    cli = ("--spew",)
    desc = """\
        Print every line that the server and the application execute.
        """


class ConfigCheck(Flag):
    name = "check_config"
    section = SECTION
    cli = ("--check-config",)
    desc = """\
        Load the settings and the application, then exit: 0 if both are good, else 1.

        Nothing is bound and no process is started.
        """


class PrintConfig(Flag):
    name = "print_config"
    section = SECTION
    cli = ("--print-config",)
    desc = """\
        Print every setting with its final value, then do what --check-config does.
        """
