"""The text of the access line: what the atoms of a format are, and what may stand in a line.

A format such as `%(h)s "%(r)s" %(s)s` is turned once into a FormatLine (the kernel's, `_lines`)
that computes only the atoms it names. The text must equal what the long way round (Logger.atoms,
SafeAtoms, logging) gives: a test compares them.

May not be done here: deciding what is logged, writing. A value that came from a client never
reaches the log unescaped.
"""

import base64
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cyserve import _accel

__all__ = (
    "basic_user",
    "compile_format",
    "escape",
    "field_list",
    "is_json",
    "printable",
    "status_code",
    "time_text",
)

# What would let a value forge or hide a log line: C0, DEL and C1 controls, line separators,
# bidirectional overrides, lone surrogates; and the quote, because formats put values in quotes.
_UNSAFE = re.compile('["\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]')


def _escape_one(match: re.Match[str]) -> str:
    char = match.group()
    if char == '"':
        return '\\"'
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def escape(text: str) -> str:
    """Return `text` fit for one log line: `"` as `\\"`, controls as `\\x1b` or `\\u2028`."""
    return _UNSAFE.sub(_escape_one, text)


def printable(value: object) -> object:
    """Return an atom's value fit for a log line; numbers and None stay what they are."""
    if isinstance(value, str):
        return escape(value)
    if value is None or isinstance(value, (int, float)):
        return value
    return escape(str(value))


def basic_user(environ: Mapping[str, Any]) -> str | None:
    """Return the user name of a Basic Authorization field (RFC 7617), None when there is none."""
    scheme, _, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user = base64.b64decode(credentials.strip()).decode().partition(":")[0]
    except ValueError:  # not base64, or not UTF-8
        return None
    return user or None


def _last_field(fields: Iterable[tuple[str, Any]], name: str) -> Any:
    """Return the value of the last field called `name` (lower case), `-` when there is none."""
    found = "-"
    for field, value in fields:
        if field.lower() == name:
            found = value
    return found


def field_list(message: Any) -> Iterable[tuple[str, Any]]:
    """Return the (name, value) pairs of a request or response, or of bare header fields."""
    fields: Any = getattr(message, "headers", message)
    return fields.items() if hasattr(fields, "items") else fields or ()


def _environ_value(environ: Mapping[str, Any], name: str) -> Any:
    """Return the value of the environ key that is `name` (lower case) in any case."""
    upper = name.upper()
    return environ[upper] if upper in environ else _last_field(environ.items(), name)


def status_code(resp: Any) -> Any:
    """Return what the atom `s` shows: the first word of the status line."""
    status = resp.status
    return status.split(None, 1)[0] if isinstance(status, str) else status


def time_text(second: float) -> str:
    """Return a time (seconds since the epoch) as the atom `t` shows it, local time."""
    return time.strftime("[%d/%b/%Y:%H:%M:%S %z]", time.localtime(second))


# Atom -> what FormatLine does for it, and the key or expression that it needs for that. Those that
# most formats name are known to FormatLine; an expression is made a function.
_ATOMS: dict[str, tuple[str, str]] = {
    "h": ("field", "REMOTE_ADDR"),
    "u": ("user", 'basic_user(environ) or "-"'),
    "t": ("time", ""),
    "r": ("request", ""),
    "s": ("status", ""),
    "m": ("field", "REQUEST_METHOD"),
    "U": ("field", "PATH_INFO"),
    "q": ("field", "QUERY_STRING"),
    "H": ("field", "SERVER_PROTOCOL"),
    "b": ("sent", ""),
    "B": ("call", "resp.sent"),
    "f": ("field", "HTTP_REFERER"),
    "a": ("field", "HTTP_USER_AGENT"),
    "T": ("seconds", ""),
    "M": ("milliseconds", ""),
    "D": ("microseconds", ""),
    "L": ("decimal", ""),
    "p": ("call", 'f"<{getpid()}>"'),
}
_NUMBERS = frozenset("TMD")
_PIECE = re.compile(r"%%|%\((?P<atom>[^()]*)\)(?P<kind>[sd])|%")


def is_json(template: str | None) -> bool:
    """Whether an access log format asks for JSON."""
    return template is not None and (template == "json" or template.startswith("json:"))


def _step(atom: str) -> tuple[str, str] | None:
    """Return what gives an atom's value, as in _ATOMS; None for one that always reads `-`.

    Names of fields go in by repr(): they are data.
    """
    name, kind = atom[1:-2].lower(), atom[-2:]
    if atom[:1] != "{":
        return _ATOMS.get(atom)
    if kind == "}i":
        return "call", f"last_field(field_list(req), {name!r})"
    if kind == "}o":
        return "call", f"last_field(field_list(resp), {name!r})"
    if kind == "}e":
        return "call", f"environ_value(environ, {name!r})"
    return None


def _function(expression: str) -> Callable[..., Any]:
    source = f"def value(resp, req, environ):\n    return {expression}"
    names: dict[str, Any] = {
        "basic_user": basic_user,
        "environ_value": _environ_value,
        "field_list": field_list,
        "getpid": os.getpid,
        "last_field": _last_field,
    }
    exec(source, names)  # noqa: S102 - made above of constants and repr()ed text only
    value: Callable[..., Any] = names["value"]
    return value


def compile_format(template: str) -> "_accel.FormatLine | None":
    """Turn an access log format into a function (resp, req, environ, request_time) -> line.

    template: gunicorn's `access_log_format`: %-formatting over the atoms.
    Returns None when the format needs the whole of %-formatting (widths, flags, `%r`) or is
    malformed: the caller then goes by way of logging.
    """
    texts: list[str] = [""]
    steps: list[tuple[str, Any]] = []
    end = 0
    for match in _PIECE.finditer(template):
        texts[-1] += template[end : match.start()]
        end = match.end()
        atom, kind = match["atom"], match["kind"]
        if match.group() == "%%":
            texts[-1] += "%"
            continue
        if atom is None or (kind == "d" and atom not in _NUMBERS):
            return None
        step = _step(atom)
        if step is None:
            texts[-1] += "-"
            continue
        code, what = step
        steps.append((code, _function(what) if code in {"call", "user"} else what))
        texts.append("")
    texts[-1] += template[end:]
    try:
        return _accel.lines.FormatLine(texts, steps, escape, time_text)
    except UnicodeEncodeError:  # what cannot be written in UTF-8 is for the stream to judge
        return None
