"""The helpers that gunicorn's users import from its `util`, under the same names.

What the server itself uses lives in the module whose subject it is and is only named here. The
rest is for configurations, workers and loggers of others: small, and called by nobody in cyserve.
Each socket function works on a socket as it is and knows nothing of our connections.
"""

import contextlib
import importlib.metadata
import io
import os
import pwd
import random
import re
import socket
import sys
import time
from collections.abc import Callable
from inspect import Parameter
from types import TracebackType
from typing import Any, NoReturn
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from cyserve.address import is_ipv6, parse_address
from cyserve.errors import AppImportError
from cyserve.http.date import http_date
from cyserve.http.errors import error_response
from cyserve.importer import get_arity, import_app, load_class
from cyserve.paths import getcwd
from cyserve.process import chown, close_on_exec, daemonize, set_non_blocking, set_owner_process
from cyserve.process import set_title as _setproctitle

__all__ = (
    "AppImportError",
    "GLOB_MAGIC_RE",
    "REDIRECT_TO",
    "SUPPORTED_WORKERS",  # noqa: F822 - see __getattr__
    "_setproctitle",
    "bytes_to_str",
    "check_is_writable",
    "chown",
    "close",
    "close_graceful",
    "close_on_exec",
    "daemonize",
    "get_arity",
    "get_username",
    "getcwd",
    "has_fileno",
    "hop_headers",
    "http_date",
    "import_app",
    "is_glob_pattern",
    "is_hoppish",
    "is_ipv6",
    "load_class",
    "load_entry_point",
    "make_fail_app",
    "parse_address",
    "positionals",
    "reraise",
    "seed",
    "set_non_blocking",
    "set_owner_process",
    "split_request_uri",
    "to_bytestring",
    "unlink",
    "unquote_to_wsgi_str",
    "warn",
    "write",
    "write_chunk",
    "write_error",
    "write_nonblock",
)

#: Where the standard streams of a daemon go.
REDIRECT_TO = os.devnull

#: What makes a file name a pattern.
GLOB_MAGIC_RE = re.compile("[*?[]")

#: Fields of one hop (RFC 9110 section 7.6.1) and those that the server itself sends.
hop_headers = set(
    """
    connection keep-alive proxy-authenticate proxy-authorization te trailers transfer-encoding
    upgrade server date
    """.split()
)

#: The kinds of parameters that `get_arity` counts.
positionals = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)

_PIECE = 8192  # bytes thrown away at once


def __getattr__(name: str) -> Any:
    if name == "SUPPORTED_WORKERS":  # of a higher floor: looked up when it is asked for
        return importlib.import_module("cyserve.workers").SUPPORTED_WORKERS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


# -- text --


def is_hoppish(header: str) -> bool:
    """Whether a field of this name belongs to the connection, or to the server."""
    return header.lower().strip() in hop_headers


def to_bytestring(value: str | bytes, encoding: str = "utf8") -> bytes:
    """`value` as bytes. Raises TypeError unless it is a str or bytes."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a string")
    return value.encode(encoding)


def bytes_to_str(b: bytes | str) -> str:
    """`b` as text, byte for character. Raises TypeError unless it is bytes or a str."""
    return b if isinstance(b, str) else str(b, "latin-1")


def unquote_to_wsgi_str(string: str) -> str:
    """A percent-encoded path as PEP 3333 wants it: a character for each byte."""
    return unquote_to_bytes(string).decode("latin-1")


def split_request_uri(uri: str) -> SplitResult:
    """The parts of a request target; one that begins with // is a path, not a host."""
    if not uri.startswith("//"):
        return urlsplit(uri)
    return urlsplit(f"/.{uri}")._replace(path=urlsplit(f"/.{uri}").path[2:])


def is_glob_pattern(value: str) -> bool:
    """Whether a file name is a pattern."""
    return GLOB_MAGIC_RE.search(value) is not None


def warn(msg: str) -> None:
    """Print a warning that stands out, to standard error."""
    lines = "".join(f"!!! {line}\n" for line in f"WARNING: {msg}".splitlines())
    print(f"!!!\n{lines}!!!\n", file=sys.stderr)


# -- processes and files --


def get_username(uid: int) -> str:
    """The name of a user. Raises KeyError if the number has none."""
    return pwd.getpwuid(uid).pw_name


def seed() -> None:
    """Let this process draw random numbers of its own."""
    random.seed()


def unlink(filename: str) -> None:
    """Remove a file; it is no error if it is not there. Raises OSError for anything else."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(filename)


def check_is_writable(path: str) -> None:
    """Open a file for appending, and close it. Raises RuntimeError if that cannot be done."""
    try:
        with open(path, "a"):
            pass
    except OSError as exc:
        raise RuntimeError(f"Error: {path!r} isn't writable [{exc!r}]") from None


def has_fileno(obj: Any) -> bool:
    """Whether an object stands for an open file of the system."""
    try:
        obj.fileno()
    except (AttributeError, OSError, io.UnsupportedOperation):
        return False
    return True


def load_entry_point(distribution: str, group: str, name: str) -> Any:
    """The object behind an entry point. Raises ImportError if there is none."""
    points = importlib.metadata.distribution(distribution).entry_points
    for point in points.select(group=group, name=name):
        return point.load()
    raise ImportError(f"Entry point {(group, name)!r} not found")


def reraise(
    tp: type[BaseException], value: BaseException | None, tb: TracebackType | None = None
) -> NoReturn:
    """Raise an exception again, as `sys.exc_info()` describes it."""
    try:
        raise (tp() if value is None else value).with_traceback(tb)
    finally:
        value = tb = None  # no cycle through this frame


def make_fail_app(msg: str | bytes) -> Callable[[Any, Any], list[bytes]]:
    """A WSGI application that answers everything with 500 and a text."""
    body = to_bytestring(msg)

    def app(environ: Any, start_response: Any) -> list[bytes]:
        fields = [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))]
        start_response("500 Internal Server Error", fields)
        return [body]

    return app


# -- sockets --


def write(sock: socket.socket, data: bytes, chunked: bool = False) -> None:
    """Send bytes, as a chunk (RFC 9112 section 7.1) if wanted. Raises OSError."""
    if chunked:
        write_chunk(sock, data)
    else:
        sock.sendall(data)


def write_chunk(sock: socket.socket, data: bytes | str) -> None:
    """Send one chunk; an empty one is the end of the body. Raises OSError."""
    data = to_bytestring(data)
    sock.sendall(b"%X\r\n%b\r\n" % (len(data), data))


def write_nonblock(sock: socket.socket, data: bytes, chunked: bool = False) -> None:
    """The same as `write` without waiting. Raises OSError, BlockingIOError if it would wait."""
    timeout = sock.gettimeout()
    if timeout == 0.0:
        write(sock, data, chunked)
        return
    try:
        sock.setblocking(False)
        write(sock, data, chunked)
    finally:
        sock.settimeout(timeout)


def write_error(sock: socket.socket, status_int: int, reason: str, mesg: str) -> None:
    """Send a whole error response and its page, without waiting. Raises OSError.

    status_int: code of three digits; reason: its phrase; mesg: text that is shown on the page.
    """
    write_nonblock(sock, error_response(status_int, reason, mesg))


def close(sock: socket.socket) -> None:
    """Close a socket; it is no error if that fails."""
    with contextlib.suppress(OSError):
        sock.close()


def close_graceful(sock: socket.socket, timeout: float = 2.0, max_drain: int = 65536) -> None:
    """Close a connection so that its client can read the response first.

    Waits up to `timeout` seconds for the client to end, and throws away up to `max_drain` bytes
    that it still sends: left unread they would make the system reset the connection.
    """
    try:
        sock.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + timeout
        while max_drain > 0 and (left := deadline - time.monotonic()) > 0:
            sock.settimeout(left)
            data = sock.recv(min(_PIECE, max_drain))
            if not data:
                break
            max_drain -= len(data)
    except (OSError, ValueError):
        pass
    close(sock)
