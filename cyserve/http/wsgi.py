"""WSGI under gunicorn's names: what users subclass, replace and overwrite, and `create`.

`Response`, `create`, `default_environ`, SERVER and SERVER_SOFTWARE may be replaced in this module
before a worker begins to serve; `cycle` looks here then, and for SERVER also later. The
server itself makes environs by `environ.Endpoint`; what is made here costs more and is the same.
"""

from __future__ import annotations

import re

from cyserve import SERVER, SERVER_SOFTWARE
from cyserve._errors import ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName
from cyserve._grammar import TOKEN, VALUE
from cyserve.http.environ import Endpoint, ErrorsWrapper, FileWrapper, base_environ
from cyserve.http.request import Request
from cyserve.http.response import Response, ResponseCore, is_patched
from cyserve.http.response import _log as log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    HEADER_VALUE_RE: re.Pattern[str]
    STATUS_RE: re.Pattern[str]
    TOKEN_RE: re.Pattern[str]

__all__ = (
    "BLKSIZE",
    "HEADER_VALUE_RE",
    "SERVER",
    "SERVER_SOFTWARE",
    "STATUS_RE",
    "TOKEN_RE",
    "ConfigurationProblem",
    "FileWrapper",
    "InvalidResponseHeader",
    "InvalidResponseHeaderName",
    "Response",
    "WSGIErrorsWrapper",
    "base_environ",
    "create",
    "default_environ",
    "log",
    "proxy_environ",
)

WSGIErrorsWrapper = ErrorsWrapper

#: gunicorn's bytes per call of sendfile(2); changing it changes nothing.
BLKSIZE = 0x3FFFFFFF

_value = f"[{re.escape(VALUE.decode('latin-1'))}]*"
_PATTERNS = {
    "TOKEN_RE": f"[{re.escape(TOKEN.decode())}]+",
    "HEADER_VALUE_RE": _value,
    "STATUS_RE": f"[0-9]{{3}}(?: {_value})?",
}


def __getattr__(name: str) -> re.Pattern[str]:
    """gunicorn's patterns are made when somebody asks: the kernel does without."""
    if name not in _PATTERNS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = globals()[name] = re.compile(_PATTERNS[name])
    return made


class _Listener:
    """A listener of which only the address is known."""

    def __init__(self, address: Any) -> None:
        self.address = address

    def getsockname(self) -> Any:
        return self.address


def default_environ(req: Request, sock: Any, cfg: Any) -> dict[str, Any]:
    """What the request line says, the body, and what is the same for all requests."""
    major, minor = req.version
    return {
        **base_environ(cfg),
        "wsgi.input": req.body,
        "gunicorn.socket": sock,
        "REQUEST_METHOD": req.method,
        "QUERY_STRING": req.query,
        "RAW_URI": req.uri,
        "SERVER_PROTOCOL": f"HTTP/{major}.{minor}",
    }


def proxy_environ(req: Request) -> dict[str, str]:
    """What the PROXY header of the connection says; empty without one."""
    header = req.connection.proxy_header
    return header.environ() if header is not None else {}


def create(
    req: Request,
    sock: Any,
    client: Any,
    server: Any,
    cfg: Any,
    response_class: Any = None,
    response_args: tuple[Any, ...] = (),
) -> tuple[Any, dict[str, Any]]:
    """The response to a request, to be written to, and the environ for the application.

    sock: the client socket; client: the address of the peer; server: that of the listener, (host,
    port), or a path or a text HOST:PORT; response_class: called with req, sock, cfg and
    response_args. Raises ConfigurationProblem if SCRIPT_NAME does not fit.
    """
    connection: Any = req.connection
    made = response_class or Response
    resp = made(req, sock, cfg, *response_args)
    own = isinstance(resp, ResponseCore)
    if own:
        req.answer = resp
        resp.patched = is_patched(made)
    address = tuple(server.rsplit(":", 1)) if _is_host_and_port(server) else server
    endpoint = connection.endpoint
    known = isinstance(endpoint, Endpoint)  # not if the request is from a `RequestParser`
    if not known or endpoint.address != address:
        multithread = known and endpoint.template["wsgi.multithread"]
        endpoint = Endpoint(cfg, _Listener(address), multithread=multithread)
    connection.template = template = endpoint.connection_template(client, sock)
    template.update(proxy_environ(req))
    environ = endpoint.make_environ(req, resp.early_hints if own else None)
    shared = environ["wsgi.multithread"]
    environ.update(default_environ(req, sock, cfg))
    environ["wsgi.multithread"] = shared
    return resp, environ


def _is_host_and_port(server: Any) -> bool:
    return isinstance(server, str) and ":" in server and not server.startswith(("/", "\0"))


def is_create_patched() -> bool:
    """Whether somebody has replaced how response and environ are made."""
    return (create, default_environ) != _AS_WRITTEN


_AS_WRITTEN = (create, default_environ)
