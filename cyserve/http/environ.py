"""The WSGI environ (PEP 3333): what is fixed per listener, per connection, and per request.

An `Endpoint` holds a template with everything known before a request comes; the kernel copies it
and adds the request's own keys. Nothing here parses HTTP.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import sys

from cyserve._errors import ConfigurationProblem
from cyserve._grammar import READY_ENVIRON
from cyserve.http.body import NO_BODY
from cyserve.http.request import Request
from cyserve.http.server_fields import own_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class FileWrapper:
    """`wsgi.file_wrapper`: an iterable over a file that can be sent by sendfile(2).

    filelike: has read(); blksize: bytes per read when it is iterated.
    """

    def __init__(self, filelike: Any, blksize: int = 8192) -> None:
        self.filelike = filelike
        self.blksize = blksize
        if hasattr(filelike, "close"):
            self.close = filelike.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.blksize)
        if not data:
            raise StopIteration
        return data

    def __getitem__(self, _: object) -> bytes:
        """The next piece, whatever the index: PEP 333's way of iterating."""
        try:
            return next(self)
        except StopIteration:
            raise IndexError from None


class ErrorsWrapper(io.RawIOBase):
    """`wsgi.errors`: what the application writes goes where the error log goes, at once.

    cfg: the settings; reads `errorlog`.
    """

    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.to_stderr = cfg.errorlog == "-"

    @property
    def streams(self) -> list[Any]:
        """Where the error log goes now: its files are opened anew when they are rotated."""
        handlers = logging.getLogger("gunicorn.error").handlers
        found = [sys.stderr] if self.to_stderr else []
        for stream in (getattr(handler, "stream", None) for handler in handlers):
            if stream is not None and stream not in found:
                found.append(stream)
        return found

    def write(self, data: str) -> int:  # type: ignore[override]
        for stream in self.streams:
            stream.write(data)
            stream.flush()
        return len(data)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        for stream in self.streams:
            stream.flush()


_LATER = (  # keys of a connection, and of a request
    "gunicorn.socket",
    "REMOTE_ADDR",
    "REMOTE_PORT",
    "RAW_URI",
    "PATH_INFO",
    "wsgi.early_hints",
)


def base_environ(cfg: Any) -> dict[str, Any]:
    """What is the same for all requests that a server with these settings gets."""
    return {
        "wsgi.version": (1, 0),
        "wsgi.errors": ErrorsWrapper(cfg),
        "wsgi.multithread": False,
        "wsgi.multiprocess": cfg.workers > 1,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "wsgi.input_terminated": True,
        "SERVER_SOFTWARE": own_name("SERVER_SOFTWARE"),
    }


class Endpoint:
    """A listener as its requests see it.

    cfg: the settings; listener: a bound `cyserve.sock` socket; multithread: as PEP 3333 has it.
    """

    def __init__(self, cfg: Any, listener: Any, *, multithread: bool) -> None:
        self.listener = listener
        self.scheme = "https" if cfg.is_ssl else "http"
        self.address = listener.getsockname()
        self.is_unix = not isinstance(self.address, tuple)
        self.script_name = os.environ.get("SCRIPT_NAME", "").rstrip("/")
        host, port = ("", "") if self.is_unix else self.address[:2]
        self.template: dict[str, Any] = {}
        template = {
            **base_environ(cfg),
            "wsgi.url_scheme": self.scheme,
            "wsgi.multithread": multithread,
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "SCRIPT_NAME": "",
            "wsgi.input": NO_BODY,
            **READY_ENVIRON,
        }
        # The keys that come later make room: a copy that has to grow costs more than copying it.
        for name in (*template, *_LATER):
            self.template[name] = template.get(name)

    def connection_template(self, address: Any, sock: Any) -> dict[str, Any]:
        """The template with the keys of one connection added."""
        template = self.template.copy()
        _name_peer(template, address, sock)
        return template

    def template_of(self, connection: Any) -> dict[str, Any]:
        """The template of a connection; it is made when it is wanted for the first time."""
        template: dict[str, Any] | None = connection.template
        if template is None:
            sock = connection.transport.sock
            template = self.connection_template(connection.address, sock)
            connection.template = template
        return template

    def make_environ(self, req: Request, early_hints: Any) -> dict[str, Any]:
        """The environ of one request; raises ConfigurationProblem if SCRIPT_NAME does not fit."""
        connection = req.connection
        template = connection.template
        if template is None and connection.requests == 1:  # it may be the only one
            environ = req.fill_environ(self.template)
            _name_peer(environ, connection.address, connection.transport.sock)
        else:
            environ = req.fill_environ(self.template_of(connection))
        if req.body is not NO_BODY:
            environ["wsgi.input"] = req.body
        environ["wsgi.early_hints"] = early_hints
        if req.forwarded_scheme is not None:
            environ["wsgi.url_scheme"] = req.forwarded_scheme
        script_name = req.script_name or self.script_name
        if script_name:
            environ["SCRIPT_NAME"] = script_name
            environ["PATH_INFO"] = path_below(script_name, req.path)
        if self.is_unix:
            environ["SERVER_NAME"], environ["SERVER_PORT"] = _name_from_host(environ, self)
        return environ


def _name_peer(environ: dict[str, Any], address: Any, sock: Any) -> None:
    environ["gunicorn.socket"] = sock
    if isinstance(address, tuple):
        port = address[1]
        environ["REMOTE_ADDR"] = address[0]
        environ["REMOTE_PORT"] = _decimal(port) if type(port) is int else str(port)
    else:
        environ["REMOTE_ADDR"] = ""
        environ.pop("REMOTE_PORT", None)


def _decimal(number: int) -> str:
    """For C's numbers: Python's take five times as long."""
    return f"{number}"


def path_below(script_name: str, path: str) -> str:
    """PATH_INFO for a raw path below a mount point, which ends at a path boundary."""
    rest = path[len(script_name) :]
    if not path.startswith(script_name) or rest[:1] not in {"", "/"}:
        raise ConfigurationProblem(
            f"Request path {path!r} does not start with SCRIPT_NAME {script_name!r}"
        )
    return _unquoter()(rest).decode("latin-1")


@functools.cache
def _unquoter() -> Callable[[str], bytes]:
    from urllib.parse import unquote_to_bytes  # noqa: PLC0415 - only behind a prefix

    return unquote_to_bytes


def _name_from_host(environ: dict[str, Any], endpoint: Endpoint) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT behind a unix socket: only the client can say."""
    host = environ.get("HTTP_HOST")
    if not host:
        return os.fsdecode(endpoint.address).replace("\0", "@"), ""
    name, colon, port = host.rpartition(":")
    if not colon or port.endswith("]"):
        return host, "443" if environ["wsgi.url_scheme"] == "https" else "80"
    return name, port
