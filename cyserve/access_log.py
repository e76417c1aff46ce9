"""The access line: compiled from its format, written with one system call.

A format such as `%(h)s "%(r)s" %(s)s` is turned once into a Python function that computes only the
atoms it names. While nobody has customised logging, DirectAccessLog writes the line itself; the
logging package would cost ten times as much. The text must equal what the long way round
(Logger.atoms, SafeAtoms, logging) gives: a test compares them.

May not be done here: deciding what is logged, opening files, raising into a request. A value that
came from a client never reaches the log unescaped.
"""

import base64
import logging
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from types import FunctionType
from typing import Any, TextIO

__all__ = (
    "DirectAccessLog",
    "Line",
    "basic_user",
    "compile_format",
    "escape",
    "field_list",
    "printable",
    "status_code",
    "time_text",
)

_Logger = logging.Logger
Line = Callable[[Any, Any, Mapping[str, Any], timedelta], str]

# What would let a value forge or hide a log line: C0, DEL and C1 controls, line separators,
# bidirectional overrides, lone surrogates; and the quote, because formats put values in quotes.
_UNSAFE = re.compile('["\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]')
_UNSAFE_ASCII = bytes(range(32)) + b'"\x7f'


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


# Atom -> the expression that gives its value inside the generated function.
_ATOMS = {
    "h": 'environ.get("REMOTE_ADDR", "-")',
    "u": '(basic_user(environ) or "-") if "HTTP_AUTHORIZATION" in environ else "-"',
    "t": "stamp[1]",
    # "-" alone for a request that was refused before its line could be read.
    "r": "'-' if (method := environ['REQUEST_METHOD']) == '-' else"
    " f\"{method} {environ['RAW_URI']} {environ['SERVER_PROTOCOL']}\"",
    "s": 'resp.status.partition(" ")[0]',
    "m": 'environ.get("REQUEST_METHOD", "-")',
    "U": 'environ.get("PATH_INFO", "-")',
    "q": 'environ.get("QUERY_STRING", "-")',
    "H": 'environ.get("SERVER_PROTOCOL", "-")',
    "b": '"-" if (sent := resp.sent) is None else sent',
    "B": "resp.sent",
    "f": 'environ.get("HTTP_REFERER", "-")',
    "a": 'environ.get("HTTP_USER_AGENT", "-")',
    "T": "request_time.seconds",
    "M": "request_time.seconds * 1000 + request_time.microseconds // 1000",
    "D": "request_time.seconds * 1000000 + request_time.microseconds",
    "L": 'f"{request_time.seconds}.{request_time.microseconds:06d}"',
    "p": 'f"<{getpid()}>"',
}
# The text of atom `t` is made once a second. One tuple, so that threads never see half of it.
_STAMP = (
    "global stamp",
    "if stamp[0] != (second := now() // 1.0):",
    "    stamp = (second, time_text(second))",
)
_NUMBERS = frozenset("TMD")
_PIECE = re.compile(r"%%|%\((?P<atom>[^()]*)\)(?P<kind>[sd])|%")


def _expression(atom: str) -> str | None:
    """Return Python source for an atom's value; None for one that always reads `-`.

    Names of fields go in by repr(): they are data.
    """
    name, kind = atom[1:-2].lower(), atom[-2:]
    if atom[:1] != "{":
        return _ATOMS.get(atom)
    if kind == "}i":
        return f"str(last_field(field_list(req), {name!r}))"
    if kind == "}o":
        return f"str(last_field(field_list(resp), {name!r}))"
    if kind == "}e":
        return f"str(environ_value(environ, {name!r}))"
    return None


def _split(template: str) -> tuple[list[str], list[str | int]] | None:
    """Cut a format into expressions and pieces: literal text, or the index of an expression."""
    expressions: list[str] = []
    pieces: list[str | int] = []
    end = 0
    for match in _PIECE.finditer(template):
        pieces.append(template[end : match.start()])
        end = match.end()
        atom, kind = match["atom"], match["kind"]
        if match.group() == "%%":
            pieces.append("%")
            continue
        if atom is None or (kind == "d" and atom not in _NUMBERS):
            return None
        expression = _expression(atom)
        if expression is None:
            pieces.append("-")
            continue
        if expression not in expressions:
            expressions.append(expression)
        pieces.append(expressions.index(expression))
    pieces.append(template[end:])
    return expressions, pieces


def compile_format(template: str) -> Line | None:
    """Turn an access log format into a function (resp, req, environ, request_time) -> line.

    template: gunicorn's `access_log_format`: %-formatting over the atoms.
    Returns None when the format needs the whole of %-formatting (widths, flags, `%r`) or is
    malformed: the caller then goes by way of logging.
    """
    split = _split(template)
    if split is None:
        return None
    expressions, pieces = split
    text = " ".join(f"f'{{v{p}}}'" if isinstance(p, int) else repr(p) for p in pieces)
    literal = "".join(piece for piece in pieces if isinstance(piece, str))
    unsafe = sum(char in _UNSAFE_ASCII for char in literal.encode(errors="replace"))
    # One pass in C tells whether any value needs escaping: in a clean line the only quotes are
    # those of the format itself.
    source = "\n    ".join(
        [
            "def line(resp, req, environ, request_time):",
            *(_STAMP if _ATOMS["t"] in expressions else ()),
            *(f"v{n} = {expression}" for n, expression in enumerate(expressions)),
            f"text = ({text})",
            f"clean = len(text) - {unsafe}",
            "if text.isascii() and len(text.encode().translate(None, UNSAFE)) == clean:",
            "    return text",
            *(f"v{n} = printable(v{n})" for n in range(len(expressions))),
            f"return ({text})",
        ]
    )
    names: dict[str, Any] = {
        "UNSAFE": _UNSAFE_ASCII,
        "basic_user": basic_user,
        "environ_value": _environ_value,
        "field_list": field_list,
        "getpid": os.getpid,
        "last_field": _last_field,
        "now": time.time,
        "printable": printable,
        "stamp": (-1, ""),
        "time_text": time_text,
    }
    exec(source, names)  # noqa: S102 - made above of constants and repr()ed text only
    line: Line = names["line"]
    return line


class DirectAccessLog:
    """Writes access lines past the logging package for as long as that changes nothing.

    logger: the stdlib logger `gunicorn.access`.
    report: called with a text when lines could not be written, at most once a minute.

    A file is written through a private descriptor that is never closed while requests run, only
    moved (dup2) when the log is reopened: a thread in the middle of a write can thus never hit a
    descriptor that meanwhile belongs to a client's socket.
    """

    REPORT_EVERY = 60.0  # seconds

    def __init__(self, logger: logging.Logger, report: Callable[[str], None]) -> None:
        self.logger = logger
        self.report = report
        self.armed = False
        # What arm() found; write() goes by it only while it is still so.
        self.handlers: list[logging.Handler] = []
        self.handler: Any = None  # a StreamHandler once armed
        self.stream: Any = None
        self.formatter: logging.Formatter | None = None
        self.call_handlers: object = None
        self.to_file = False
        self.fd = -1
        self.lost = 0
        self.report_after = 0.0

    def write(self, line: Line, resp: Any, req: Any, environ: Any, request_time: timedelta) -> bool:
        """Write the line of one request; False when it has to go by way of logging.

        line: gives the text with its line end. Errors of the target (disk full, reader gone) cost
        the line and never raise.
        """
        logger, handler = self.logger, self.handler
        if (
            not self.armed
            or logger.handlers != self.handlers
            or logger.filters
            or logger.propagate
            or not logger.isEnabledFor(20)  # logging.INFO
            or _Logger.callHandlers is not self.call_handlers
            or handler.stream is not self.stream
            or handler.formatter is not self.formatter
            or handler.filters
            or handler.level > 20
        ):
            return False
        try:
            text = line(resp, req, environ, request_time)
        except Exception:  # an atom could not be had: the long way says so in the error log
            return False
        try:
            if self.to_file:
                data = text.encode()
                written = os.write(self.fd, data)
                while written < len(data):
                    data = data[written:]
                    written = os.write(self.fd, data)
            else:
                stream = self.stream
                # Flushed with what the app printed before, so that the order stays.
                stream.write(text)
                stream.flush()
        except (OSError, ValueError) as exc:
            self._count_lost(exc)
        return True

    def settled(self) -> bool:
        """Say whether what arm() found is still there, so that arming again would be no use."""
        return (
            self.armed
            and self.logger.handlers == self.handlers
            and self.handler.stream is self.stream
            and self.handler.formatter is self.formatter
            and _Logger.callHandlers is self.call_handlers
        )

    def disarm(self) -> None:
        """Let every line go by way of logging."""
        self.armed = False

    def arm(self) -> None:
        """Take over if logging is as Logger.setup left it.

        Called at setup and after every line that went by way of logging.
        """
        self.armed = False
        logger = self.logger
        handler = logger.handlers[0] if len(logger.handlers) == 1 else None
        if (
            type(logger) is not logging.Logger
            or not _is_stock(logging.Logger.callHandlers)
            or not _is_plain(handler)
        ):
            return
        assert isinstance(handler, logging.StreamHandler)
        stream: TextIO = handler.stream
        self.to_file = isinstance(handler, logging.FileHandler)
        if self.to_file:
            try:
                self._move_to(stream.fileno())
            except (OSError, ValueError):  # closed under our feet
                return
        self.handler = handler
        self.handlers = [handler]
        self.stream = stream
        self.formatter = handler.formatter
        self.call_handlers = logging.Logger.callHandlers
        self.armed = True

    def _move_to(self, fd: int) -> None:
        """Point the private descriptor at the file that `fd` is open on."""
        if self.fd == -1:
            self.fd = os.dup(fd)
        else:
            os.dup2(fd, self.fd, inheritable=False)

    def _count_lost(self, exc: Exception) -> None:
        self.lost += 1
        now = time.monotonic()
        if now >= self.report_after:
            self.report_after = now + self.REPORT_EVERY
            self.report(f"Access log: {exc} (lines lost so far: {self.lost})")


def _is_stock(function: object) -> bool:
    """Say whether a method of logging is still the standard library's (APM tools replace them)."""
    return type(function) is FunctionType and function.__globals__ is vars(logging)


def _is_plain(handler: logging.Handler | None) -> bool:
    """Say whether a handler is one of Logger.setup's own for a stream or file, unchanged."""
    if type(handler) not in {logging.StreamHandler, logging.FileHandler}:
        return False
    assert isinstance(handler, logging.StreamHandler)
    return (
        hasattr(handler, "_gunicorn")
        and handler.stream is not None
        and handler.terminator == "\n"
        and type(handler.formatter) is logging.Formatter
        and handler.formatter._fmt == "%(message)s"
        and (
            not isinstance(handler, logging.FileHandler)
            or handler.stream.encoding.lower() in {"utf-8", "utf8"}
        )
    )
