"""A request as hooks, loggers and the request cycle see it.

The compiled `RequestHead` holds what the client said; this object adds what the server makes of it.
It decides nothing: `policy` does. `RequestCore` is an extension type in a compiled build (its C
types: request.pxd), `Request` a Python class in any: what users subclass and patch.
"""

from __future__ import annotations

from cyserve.http.body import NO_BODY, Body

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyserve import _accel
    from cyserve.http.connection import Connection


class Origin:
    """What a request has to do with of its `Connection`, which adds no state but its own."""

    __slots__ = ()


class RequestCore:
    """What `Request` is made of; the first methods are for the engine alone."""

    def __init__(
        self, head: Any, connection: Any, peer_addr: Any = ..., req_number: int = 1
    ) -> None:
        if peer_addr is not ...:  # from somebody who has settings and a source instead
            from cyserve.http.parser import read_request  # noqa: PLC0415 - not for workers

            read_request(self, head, connection, peer_addr, req_number)
            return
        self.begin(head, connection)

    def begin(self, head: Any, connection: Any) -> None:
        """It is this request; what has been made of it is forgotten."""
        self.head: _accel.RequestHead = head
        self.connection: Connection = connection
        #: The head again if both kernel and engine are compiled: calls through it are C calls.
        self.direct: _accel.RequestHead | None = None
        self.req_number = self.connection.requests
        self.script_name = ""  # from a trusted SCRIPT_NAME field
        self.forwarded_scheme: str | None = None  # what a trusted proxy says
        self.must_close = False
        self.lent = False  # to somebody who calls `Cycle.serve`, so it is not used again
        self.body: Body = NO_BODY
        self.failure: Exception | None = None  # what ended it
        self.answer: Any = None  # the response that somebody has made by `wsgi.create`

    def reset(self) -> None:
        """Forget the request; nobody else knows this object."""
        self.head = self.direct = self.connection = None  # type: ignore[assignment]
        self.body = NO_BODY
        self.answer = None

    def plain(self) -> bool:
        """Whether nothing about the request is unusual but, perhaps, its body."""
        direct = self.direct
        return self.head.plain() if direct is None else direct.plain()

    def persistent(self) -> bool:
        """Whether the client wants the connection kept."""
        direct = self.direct
        return self.head.keep_alive if direct is None else direct.keep_alive

    def has_body(self) -> bool:
        direct = self.direct
        if direct is None:
            return self.head.chunked or self.head.content_length > 0
        return direct.chunked or direct.content_length > 0

    def fill_environ(self, template: dict[str, Any]) -> dict[str, Any]:
        """The environ, from a template that holds READY_ENVIRON."""
        direct = self.direct
        if direct is None:
            return self.head.fill_environ(template, True)
        return direct.fill_environ(template, True)

    @property
    def scheme(self) -> str:
        return self.forwarded_scheme or self.connection.endpoint.scheme

    @property
    def method(self) -> str:
        return self.head.method

    @property
    def uri(self) -> str:
        """The request target as it was sent."""
        return self.head.target

    @property
    def path(self) -> str:
        return self.head.path

    @property
    def query(self) -> str:
        return self.head.query

    @property
    def fragment(self) -> str:
        return self.head.fragment

    @property
    def version(self) -> tuple[int, int]:
        return self.head.version

    @property
    def headers(self) -> list[tuple[str, str]]:
        """[(UPPER-CASE name, value)]; a hook may change the list, the environ follows it."""
        return self.head.headers

    @headers.setter
    def headers(self, headers: list[tuple[str, str]]) -> None:
        self.head.headers = headers

    @property
    def trailers(self) -> list[tuple[str, str]]:
        decoder = getattr(self.body.reader, "decoder", None)
        return decoder.trailers if decoder is not None else []

    @property
    def peer_addr(self) -> Any:
        """The socket peer: (host, port), or "" for a unix socket."""
        return self.connection.address

    @property
    def remote_addr(self) -> Any:
        return self.connection.address

    @property
    def proxy_protocol_info(self) -> dict[str, Any] | None:
        """What the connection's PROXY header says; None without one."""
        header = self.connection.proxy_header
        return header._asdict() if header is not None else None

    def force_close(self) -> None:
        self.must_close = True

    def should_close(self) -> bool:
        """True when the connection ends after this request (RFC 9112 section 9.3)."""
        return self.must_close or not self.head.keep_alive


class Message(RequestCore):
    """gunicorn's base class of requests: what has fields and a body."""

    @property
    def cfg(self) -> Any:
        """The settings."""
        return self.connection.context.cfg

    @property
    def unreader(self) -> Any:
        """The source that it was read from. AttributeError for a request that a worker has read."""
        return self.connection.unreader  # type: ignore[attr-defined]


class Request(Message):
    """One request.

    head: what was parsed; connection: where it came from. `body` is a `Body`, `scheme` the URL
    scheme, `trailers` the fields after a chunked body, `req_number` counts from 1 on a connection.

    `Request(cfg, unreader, peer_addr, req_number=1)` reads one from a source, see `parser`.
    """


#: What `response` asks a request for only if somebody has replaced it.
AS_WRITTEN = {name: getattr(Request, name) for name in ("force_close", "should_close")}
