"""What the logs say of a request that is refused before the application sees it.

Parse errors, limits and time-outs get one line in the error log and, where there is an access log,
one line there. Loggers belong to users, so they get the objects of any other request: a Request, a
Response and an environ, filled as far as the request is known. Nothing here sends, closes or
decides; what cannot be shown safely is shown as "-"; no logger can end a worker here.
"""

from __future__ import annotations

from datetime import timedelta

from cyserve._errors import ServiceUnavailable
from cyserve._pattern import Pattern
from cyserve.http.errors import status_for
from cyserve.http.request import Request
from cyserve.http.response import Response
from cyserve.http.transport import peer_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyserve.http.connection import Connection

LINE_READ = 8192  # bytes of the input in which the request line is looked for
TARGET_SHOWN = 512  # bytes of a target that is longer, or has not ended

# Visible ASCII alone: loggers of users may escape nothing.
_LINE = Pattern(rb"(?:\r\n)?([!-~]+) ([!-~]+) ([!-~]+)\r?\n")
_BEGUN = Pattern(rb"(?:\r\n)?([!#$%%&'*+.^_`|~0-9A-Za-z-]{1,20}) ([!-~]{1,%d})" % TARGET_SHOWN)


class _UnreadHead:
    """Stands where the RequestHead of a parsed request is; received: the bytes at hand."""

    version = (1, 1)  # of the answer
    fragment = ""
    content_length = 0
    chunked = False
    keep_alive = False
    flags = 0

    def __init__(self, received: bytes) -> None:
        self.headers: list[tuple[str, str]] = []
        self.method = self.target = self.protocol = "-"
        if line := _LINE.match(received):
            self.method, self.target, self.protocol = (part.decode() for part in line.groups())
            if len(self.target) > TARGET_SHOWN:
                self.target = f"{self.target[:TARGET_SHOWN]}..."
        elif b"\n" not in received[2:] and (begun := _BEGUN.match(received)):
            self.method, self.target = begun[1].decode(), f"{begun[2].decode()}..."
        self.path, _, self.query = self.target.partition("?")

    def fill_environ(self, template: dict[str, Any]) -> dict[str, Any]:
        return {
            **template,
            "REQUEST_METHOD": self.method,
            "RAW_URI": self.target,
            "PATH_INFO": self.path,
            "QUERY_STRING": self.query,
            "SERVER_PROTOCOL": self.protocol,
        }


def access_function(log: Any) -> Any:
    """The method of `log` to call for each request; None if it would do nothing."""
    wanted = getattr(log, "access_wanted", None)
    if wanted is None:  # not derived from our Logger
        wanted = getattr(log, "access_log_enabled", True)
    return log.access if wanted else None


def is_own_access(log: Any) -> bool:
    """Whether access lines are made as we have written it, or not at all: nothing is kept."""
    access = access_function(log)
    if access is None:
        return True
    stock = getattr(type(log), "is_stock", None)
    return stock is not None and bool(stock(log)) and access.__module__.startswith("cyserve.")


def report(connection: Connection, exc: BaseException) -> bool:
    """Log that the request at hand is refused, or what has come of it; never raises.

    connection: its input still holds the bytes that could not be parsed; exc: the reason. Returns
    whether the client has been answered, which is so if the worker has a `handle_error` of its own.
    """
    context = connection.context
    answered = False
    req = connection.request
    if req is None and (context.access or context.handle_error) is not None:
        received = connection.transport.input.peek(LINE_READ)
        req = Request(_UnreadHead(received), connection)
    if context.handle_error is not None:
        try:
            context.handle_error(req, connection.transport.sock, connection.address, exc)
            answered = True
        except Exception:  # of a user's
            context.log.exception("Exception in handle_error")
    else:
        words = "Request from ip=%s not served: %s"
        if not isinstance(exc, ServiceUnavailable):
            words = "Invalid request from ip=%s: %s"
        context.log.warning(words, peer_name(connection.address), exc)
    if context.access is not None:
        _log_access(connection, req, exc)
    return answered


def _log_access(connection: Connection, req: Any, exc: BaseException) -> None:
    context = connection.context
    try:
        resp = Response(req, connection.transport.sock, context.cfg)
        resp.start_response(status_for(exc), [("Content-Type", "text/html")])
        resp.force_close()
        resp.headers_sent = True
        environ = req.head.fill_environ(connection.endpoint.template_of(connection))
        context.access(resp, req, environ, timedelta())
    except Exception:  # a logger of the user's that counts on the hook pre_request, perhaps
        context.log.debug("Exception while logging access", exc_info=True)
