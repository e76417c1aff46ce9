"""Settings in TOML: the table [tool.cyserve] of pyproject.toml, or a .toml file of its own.

Only reads: a key is the name of a setting, its value what a Python config file would assign. What
the values are worth is found out by the settings. Python reads TOML from 3.11 on; before that the
package tomli does (`pip install cyserve[toml]`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from importlib import import_module

from cyserve._pattern import Pattern
from cyserve.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("PYPROJECT", "has_settings", "read_settings")

PYPROJECT = "pyproject.toml"

#: The usual spellings of the table, for when the file cannot be parsed.
_TABLE = Pattern(rb"""^\s*\[?\s*tool\s*\.\s*["']?cyserve["']?\s*[].=]""", re.MULTILINE)


def has_settings(path: str) -> bool:
    """Whether the pyproject.toml at `path` has the table [tool.cyserve].

    False if there is no such file. Also true of a file that cannot be parsed but seems to have the
    table: `read_settings` then says what is wrong.
    """
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError:
        return False
    if b"cyserve" not in content:
        return False
    try:
        tool = _parse(content).get("tool")
        return isinstance(tool, dict) and "cyserve" in tool
    except ConfigError:
        return _TABLE.search(content) is not None


def read_settings(path: str) -> dict[str, Any]:
    """The settings of a TOML file: of pyproject.toml those in [tool.cyserve], else the whole file.

    Raises ConfigError, one line without the name of the file, if it cannot be read or parsed or
    has no such table.
    """
    try:
        with open(path, "rb") as file:
            found: Any = _parse(file.read())
    except OSError as exc:
        raise ConfigError(str(exc.strerror)) from None
    if os.path.basename(path) == PYPROJECT:
        for key in ("tool", "cyserve"):
            found = found.get(key)
            if not isinstance(found, dict):
                raise ConfigError("there is no table [tool.cyserve]")
    settings: dict[str, Any] = found
    return settings


def _parse(content: bytes) -> dict[str, Any]:
    try:
        return _loads()(content.decode())
    except ValueError as exc:  # what both readers raise, and of text that is no UTF-8
        raise ConfigError(f"{exc}") from None


def _loads() -> Callable[[str], dict[str, Any]]:
    for name in ("tomllib", "tomli"):
        try:
            loads: Callable[[str], dict[str, Any]] = import_module(name).loads
        except ImportError:
            continue
        return loads
    raise ConfigError(
        "to read TOML, Python before 3.11 needs the package tomli: pip install cyserve[toml]"
    )
