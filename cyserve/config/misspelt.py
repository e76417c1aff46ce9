"""Names in a config file that are no settings, but look like settings written wrongly.

Only looks: what becomes of such a name is decided where the file is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyserve.config.core import Setting

__all__ = ("misspelt", "nearest_setting")

#: How alike two names must be, from 0 to 1, for the one to be a misspelling of the other.
_LIKENESS = 0.85

_PLAIN = (int, float, str, list, tuple, dict)


def nearest_setting(name: str, settings: Mapping[str, Setting]) -> str | None:
    """The setting that was probably meant by `name`: one with such a flag or name, else None."""
    return _by_flag(name, settings) or _by_likeness(name, settings)


def misspelt(names: Mapping[str, Any], settings: Mapping[str, Setting]) -> dict[str, str]:
    """Which names of a Python config file look like settings written wrongly.

    names: the names and values of the file.
    settings: all settings by name.

    Returns each suspicious name with the setting that was probably meant. A config file has names
    of its own, so only what could be a setting is suspected: a lower-case name whose value is
    plain, or a function, and of the right kind; not if the file has the right name as well, and
    not a simple word such as `env` that happens to be a flag.
    """
    found: dict[str, str] = {}
    for name, value in names.items():
        if name in settings or not name.islower() or name.startswith("_"):
            continue
        if not isinstance(value, (*_PLAIN, FunctionType)):
            continue
        meant = _by_flag(name, settings) if "_" in name or name == "preload" else None
        meant = meant or _by_likeness(name, settings)
        if meant is not None and meant not in names and _could_be(value, settings[meant]):
            found[name] = meant
    return found


def _could_be(value: Any, setting: Setting) -> bool:
    """Whether the setting takes values of this kind, be it a bad one."""
    if callable(setting.default) is not isinstance(value, FunctionType):
        return False
    try:
        setting.validator(value)
    except TypeError:
        return False
    except Exception:
        return True
    return True


def _by_flag(name: str, settings: Mapping[str, Setting]) -> str | None:
    flag = name.lower().replace("_", "-")
    for known, setting in settings.items():
        if any(f.lstrip("-").replace("_", "-") == flag for f in setting.cli or ()):
            return known
    return None


def _by_likeness(name: str, settings: Mapping[str, Setting]) -> str | None:
    from difflib import get_close_matches  # noqa: PLC0415 - rarely needed

    word = name.lower().replace("-", "_")
    return next(iter(get_close_matches(word, settings, n=1, cutoff=_LIKENESS)), None)
