"""Checks of values. Each takes a value from any source and returns it in its normal form.

A refused value raises TypeError (wrong kind) or ValueError, with a text that says what is allowed;
Config.set puts the names of the source and of the setting and the value before it. No validator
changes anything outside itself.
"""

from __future__ import annotations

import functools
import grp
import os
import pwd
from collections.abc import Callable

from cyserve.errors import ConfigError
from cyserve.importer import find_object, get_arity
from cyserve.paths import launch_directory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = (
    "auto_int",
    "validate_access_log_format",
    "validate_bool",
    "validate_callable",
    "validate_chdir",
    "validate_choice",
    "validate_class",
    "validate_dict",
    "validate_file_exists",
    "validate_group",
    "validate_list_string",
    "validate_pos_int",
    "validate_post_request",
    "validate_seconds",
    "validate_string",
    "validate_string_to_addr_list",
    "validate_string_to_list",
    "validate_user",
)

_WHOLE_NUMBER = "allowed is a whole number, 0 or more"
_LISTS = (list, tuple, set, frozenset)
_SECONDS = "allowed is a number of seconds, 0 or more"


def auto_int(_: Any, text: str) -> int:
    """A number from the command line: decimal, 0x, 0o, or octal with a leading 0.

    It is a method, for the attribute `type` of a Setting.
    """
    if text[:1] == "0" and text.isdigit():
        return int(text, 8)
    return int(text, 0)


def validate_bool(val: Any) -> bool | None:
    """None, a bool, or the text true or false."""
    if val is None or isinstance(val, bool):
        return val
    if not isinstance(val, str):
        raise TypeError("allowed are True and False")
    text = val.strip().lower()
    if text not in {"true", "false"}:
        raise ValueError("allowed are True and False")
    return text == "true"


def validate_dict(val: Any) -> dict[Any, Any]:
    """A dict, which is copied."""
    if not isinstance(val, dict):
        raise TypeError("allowed is a dict")
    return dict(val)


def validate_pos_int(val: Any) -> int:
    """A whole number, 0 or more; also as text, with 0x and 0o."""
    if isinstance(val, str):
        try:
            val = int(val, 0)
        except ValueError:
            raise ValueError(_WHOLE_NUMBER) from None
    if not isinstance(val, int):
        raise TypeError(_WHOLE_NUMBER)
    if val < 0:
        raise ValueError(_WHOLE_NUMBER)
    return int(val)


def validate_seconds(val: Any) -> int | float:
    """A number of seconds, 0 or more; also as text."""
    if isinstance(val, str):
        try:
            val = int(val) if val.strip().isdecimal() else float(val)
        except ValueError:
            raise ValueError(_SECONDS) from None
    if isinstance(val, bool) or not isinstance(val, int | float):
        raise TypeError(_SECONDS)
    if not 0 <= val < float("inf"):
        raise ValueError(_SECONDS)
    return val


def validate_string(val: Any) -> str | None:
    """None or text, stripped."""
    if val is None:
        return None
    if not isinstance(val, str):
        raise TypeError("allowed is a string")
    return val.strip()


def validate_access_log_format(val: Any) -> str | None:
    """A %-format, `json`, or `json:` and a list of fields that exist."""
    text = validate_string(val)
    if text is not None and text.startswith("json:"):
        from cyserve.access_json import parse  # noqa: PLC0415 - rarely needed

        parse(text)
    return text


def validate_choice(*choices: str) -> Callable[[Any], str]:
    """A validator for one of a few words, in any case; None stands for the first."""

    def validate(val: Any) -> str:
        allowed = f"allowed are {', '.join(choices)}"
        if val is None:
            return choices[0]
        if not isinstance(val, str):
            raise TypeError(allowed)
        word = val.strip().lower()
        if word not in choices:
            raise ValueError(allowed)
        return word

    return validate


def validate_file_exists(val: Any) -> Any:
    """None, or the path of something that exists."""
    if val is not None and not os.path.exists(val):
        raise ValueError("allowed is the path of an existing file")
    return val


def validate_list_string(val: Any) -> list[str]:
    """A list of strings; one string is a list of one; nothing is an empty list."""
    if not val:
        return []
    items = [val] if isinstance(val, str) else val
    if not isinstance(items, _LISTS) or not all(isinstance(v, str) for v in items):
        raise TypeError("allowed is a string or a list of strings")
    return [item.strip() for item in items]


def validate_string_to_list(val: Any) -> list[str]:
    """Strings separated by commas, or a list of strings; empty ones are left out."""
    if val is not None and not isinstance(val, str | list | tuple):
        raise TypeError("allowed is a string with commas or a list of strings")
    items = validate_list_string(val.split(",") if isinstance(val, str) else val)
    return [item for item in items if item]


def validate_string_to_addr_list(val: Any) -> list[str]:
    """IP addresses and networks separated by commas, or a list of them; `*` means all."""
    items = validate_string_to_list(val)
    for item in items:
        if item in {"*", "127.0.0.1", "::1"}:
            continue
        from ipaddress import ip_network  # noqa: PLC0415 - rarely needed

        try:
            ip_network(item)
        except ValueError as exc:
            raise ValueError(f"allowed are IP addresses, networks and *: {exc}") from None
    return items


def validate_class(val: Any) -> Any:
    """A class, the name of one, or a function without parameters that returns one of these."""
    if callable(val) and not isinstance(val, type):
        val = val()
    if isinstance(val, type):
        return val
    if not isinstance(val, str):
        raise TypeError("allowed is a class, its name, or a function that returns one")
    return val.strip()


def _callable_named(val: Any) -> Any:
    if isinstance(val, str):
        try:
            val = find_object(val.strip())
        except LookupError as exc:
            raise TypeError(f"allowed is a function or the path of one: {exc}") from None
        except Exception as exc:  # the user's module
            raise ConfigError(f"importing it failed: {type(exc).__name__}: {exc}") from exc
    if not callable(val):
        raise TypeError("allowed is a function or the path of one, MODULE.NAME")
    return val


def _arity(function: Any) -> int:
    try:
        return get_arity(function)
    except (TypeError, ValueError):
        raise TypeError("cannot read which parameters it takes") from None


def validate_callable(arity: int) -> Callable[[Any], Callable[..., Any]]:
    """A validator for a function with that many positional parameters (-1: any number)."""

    def validate(val: Any) -> Callable[..., Any]:
        function: Callable[..., Any] = _callable_named(val)
        if arity != -1 and (found := _arity(function)) != arity:
            raise TypeError(
                f"allowed is a function with {arity} positional parameters, this has {found}"
            )
        return function

    return validate


def validate_post_request(val: Any) -> Callable[..., Any]:
    """A function with 2, 3 or 4 positional parameters, made into one that takes 4."""
    function: Callable[..., Any] = _callable_named(val)
    found = _arity(function)
    if found not in {2, 3, 4}:
        raise TypeError(
            f"allowed is a function with 2, 3 or 4 positional parameters, this has {found}"
        )
    if found == 4:
        return function

    @functools.wraps(function)
    def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> Any:
        return function(*(worker, req, environ, resp)[:found])

    del post_request.__wrapped__  # whoever asks how many parameters this takes is told 4
    return post_request


def validate_user(val: Any) -> int:
    """A user id or name; None is the user the server runs as."""
    if val is None:
        return os.geteuid()
    if isinstance(val, int):
        return val
    if not isinstance(val, str):
        raise TypeError("allowed is the name or number of a user")
    if val.isdecimal():
        return int(val)
    try:
        return pwd.getpwnam(val).pw_uid
    except KeyError:
        raise ConfigError("no such user") from None


def validate_group(val: Any) -> int:
    """A group id or name; None is the group the server runs as."""
    if val is None:
        return os.getegid()
    if isinstance(val, int):
        return val
    if not isinstance(val, str):
        raise TypeError("allowed is the name or number of a group")
    if val.isdecimal():
        return int(val)
    try:
        return grp.getgrnam(val).gr_gid
    except KeyError:
        raise ConfigError("no such group") from None


def validate_chdir(val: Any) -> str:
    """An existing directory; relative to the one the server was started in."""
    text = validate_string(val)
    if text is None:
        raise TypeError("allowed is a directory")
    path = os.path.normpath(os.path.join(launch_directory(), text))
    if not os.path.isdir(path):
        raise ConfigError(f"can't chdir to {path!r}, there is no such directory")
    return path
