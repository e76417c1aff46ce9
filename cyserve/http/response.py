"""The response: start_response, the write callable, framing and file bodies (PEP 3333, RFC 9112).

The kernel checks and serialises the head; this class decides how the body is framed and whether the
connection goes on. It writes to a transport and never waits except for a client that does not read.
`ResponseCore` is an extension type in a compiled build (response.pxd); `Response` never is.
"""

from __future__ import annotations

import logging
import os

from cyserve import _accel
from cyserve.http.date import http_date
from cyserve.http.postponed import MOMENT, Postponed
from cyserve.http.request import AS_WRITTEN, Request
from cyserve.http.server_fields import ServerFields, own_name
from cyserve.http.transport import ForeignTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cyserve.http.environ import FileWrapper

_log = logging.getLogger("gunicorn.http.wsgi")

_START = {(1, 1): b"HTTP/1.1 ", (1, 0): b"HTTP/1.0 "}
_SPECIAL = {*range(100, 200), 204, 304}  # answers without a body
_SMALL_BODY = 16384  # up to this size one copy is cheaper than a second piece to send
_MOMENT = MOMENT  # C's in a compiled build

_clock = _accel.runtime.CLOCK
_server_fields = ServerFields()


class ResponseCore:
    """What `Response` is made of."""

    def __init__(self, req: Request, sock: Any, cfg: Any, send_timeout: float = 60.0) -> None:
        if req is None:  # C code would not notice
            raise TypeError("there is no response without a request")
        self.cfg = cfg
        self.send_timeout = send_timeout
        #: The head again if C calls can be made; before there is one, one to be used again.
        self.direct: _accel.ResponseHead | None = None
        #: `start_response` and `early_hints` of one that is to be used again.
        self.starter: Any = None
        self.hinter: Any = None
        self.begin(req, sock)

    def begin(self, req: Request, sock: Any) -> None:
        """It is the answer to this request, and nothing has been said yet."""
        self.req = req
        self.sock = sock
        transport: Any = req.connection.transport
        # None: the request was not read by a worker.
        self.transport = ForeignTransport(sock) if transport is None else transport
        self.status: str | None = None
        self.head: _accel.ResponseHead | None = None
        self.framed = False  # the three that follow have been settled
        self.response_length: int | None = None  # the announced Content-Length
        self.chunked = False
        self.bodyless = False  # no body belongs to this answer (RFC 9110 section 6.4.1)
        self.must_close = False
        self.closes = True  # the connection ends after this answer
        self.headers_sent = False
        self.finished = False  # the application has handed over its last byte
        self.sent = 0  # body bytes, without framing
        self.patched = False  # somebody has changed what `Response` does: ask its methods
        self.early: list[tuple[str, str]] | None = None  # fields from before start_response
        self.server: str | None = None  # in place of the Server field's value

    def reset(self, pool: _accel.Pool) -> bool:
        """Forget the request; False if somebody still knows this object or how to speak to it."""
        starter, hinter = self.starter, self.hinter
        known = starter is None or not (pool.alone(starter, 2) and pool.alone(hinter, 2))
        if known or not pool.alone(self, 3):
            self.starter = self.hinter = None  # it would keep itself alive
            return False
        self.req = self.transport = None  # type: ignore[assignment]
        self.sock = self.head = None
        direct = self.direct
        if direct is not None and not pool.alone(direct, 2):
            self.direct = None
        return True

    def __copy__(self) -> ResponseCore:
        """For the access log of a response that may still change."""
        made = type(self).__new__(type(self))  # a subclass may want other arguments
        ResponseCore.__init__(made, self.req, self.sock, self.cfg, self.send_timeout)
        made.head, made.status = self.head, self.status
        made.response_length, made.sent = self.response_length, self.sent
        made.framed, made.chunked, made.bodyless = self.framed, self.chunked, self.bodyless
        made.must_close, made.closes = self.must_close, self.closes
        made.headers_sent, made.finished = self.headers_sent, self.finished
        made.patched, made.early, made.server = self.patched, self.early, self.server
        vars(made).update(vars(self))  # what a hook has added
        return made

    @property
    def version(self) -> str:
        """The value of the Server field (gunicorn's name for it); may be set."""
        return own_name("SERVER") if self.server is None else self.server

    @version.setter
    def version(self, server: str) -> None:
        self.server = server
        self.patched = True

    @property
    def status_code(self) -> int | None:
        """The number in `status`, which may be an error page's and not the application's."""
        return None if self.status is None else int(self.status.split(None, 1)[0])

    @property
    def upgrade(self) -> bool:
        return self.head is not None and self.head.upgrade

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The application's fields that are sent: [(name, value)]; the list may be changed."""
        if self.head is not None:
            return self.head.headers
        if self.early is None:
            self.early = []
        return self.early

    @headers.setter
    def headers(self, headers: list[tuple[str, str]]) -> None:
        if self.head is not None:
            self.head.headers = headers
        else:
            self.early = headers

    def force_close(self) -> None:
        self.must_close = True

    def should_close(self) -> bool:
        """True when the connection ends after this answer."""
        head = self.head
        if self.must_close or head is None or head.close or self.req.should_close():
            return True
        self.frame()
        return self.response_length is None and not (self.chunked or self.bodyless)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Any:
        """PEP 3333's start_response; returns something to be called with pieces of the body.

        Raises AssertionError on a second call without exc_info, exc_info's own exception when the
        head has been sent, and what `ResponseHead` raises for a malformed status or field.
        """
        if exc_info:
            try:
                if self.headers_sent:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self.head is not None:
            raise AssertionError("Response headers already set!")
        transport = self.transport
        if self.early is not None or self.patched:
            self.direct = None
            self.head = head = transport.make_head(status, self.early or [])
            self.process_headers(headers)
            self.direct = head if transport.compiled else None
        elif self.direct is not None and self.head is None:
            self.direct.restart(status, headers)
            self.head = self.direct
        else:
            self.head = head = transport.make_head(status, headers)
            self.direct = head if transport.compiled else None
        self.status = status
        self.framed = False
        return self

    def __call__(self, data: bytes) -> None:
        """The response is its own write callable; hardly anybody uses it, so none is made."""
        self.write(data)

    def frame(self) -> None:
        """Settle how the body is framed (RFC 9112 section 6.3), once the head is known."""
        head = self.head
        if self.framed or head is None:
            return
        self.framed = True
        request = self.req.head
        code = head.status_code
        length = head.content_length
        self.bodyless = code in _SPECIAL or request.method == "HEAD"
        self.response_length = length if length >= 0 else None
        self.chunked = length < 0 and not self.bodyless and request.version > (1, 0)
        if self.patched:
            self.chunked = self.chunked and bool(self.is_chunked())

    def early_hints(self, headers: list[tuple[Any, Any]]) -> None:
        """`wsgi.early_hints`: send a 103 (RFC 8297) now; nothing for HTTP/1.0 or too late."""
        version = self.req.head.version
        if self.headers_sent or version < (1, 1):
            return
        fields = [(_text(name), _text(value)) for name, value in headers]
        hints = _accel.io.ResponseHead("103 Early Hints", fields)
        self.transport.output.write(hints.serialize(_START[1, 1], b"", length=False))
        self.transport.send(self.send_timeout)

    def head_bytes(self, body: bytes = b"") -> bytes:
        """The serialised head, with a small body behind it."""
        head = self.head
        if head is None:
            raise AssertionError("start_response() was not called")
        self.frame()
        connection = self.req.connection
        upgrade = head.upgrade
        if connection.expect_continue and not upgrade:
            # No "100 Continue" may follow now, so what the client does next is unknown.
            connection.expect_continue = False
            self.must_close = True
        self.closes = self.should_close()
        if self.patched:
            return self._patched_head() + body
        option = "upgrade" if upgrade else "close" if self.closes else "keep-alive"
        version = self.req.head.version
        return head.serialize(
            _START.get(version) or b"HTTP/%d.%d " % version,
            _server_fields.get(option, self.chunked),
            body,
            length=self._announces(),
        )

    def _announces(self) -> bool:
        """Whether a Content-Length belongs to the answer (RFC 9110 section 8.6)."""
        code = self.head.status_code  # type: ignore[union-attr]
        return not (100 <= code < 200 or code == 204)

    def send_headers(self) -> None:
        """Queue the head alone, unless it has been sent."""
        if not self.headers_sent:
            self.transport.output.write(self.head_bytes())
            self.headers_sent = True

    # -- gunicorn's steps, for who overrides or calls them --

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Take fields of the application's. Raises what `ResponseHead` raises for bad ones."""
        self.head.headers = [*self.headers, *headers]  # type: ignore[union-attr]
        self.framed = False

    def is_chunked(self) -> bool:
        """Whether the body is sent in chunks."""
        self.frame()
        return self.chunked

    def can_sendfile(self) -> bool:
        """Whether a file may be sent by sendfile(2)."""
        return bool(self.cfg.sendfile)

    def default_headers(self) -> list[str]:
        """The status line and the server's own fields, each with its CRLF."""
        head = self.head
        if head is None:
            raise AssertionError("start_response() was not called")
        self.frame()
        option = "upgrade" if head.upgrade else "close" if self.should_close() else "keep-alive"
        major, minor = self.req.head.version
        coding = ["Transfer-Encoding: chunked\r\n"] if self.chunked else []
        return [
            f"HTTP/{major}.{minor} {head.status}\r\n",
            f"Server: {self.version}\r\n",
            f"Date: {http_date()}\r\n",
            f"Connection: {option}\r\n",
            *coding,
        ]

    def _patched_head(self) -> bytes:
        """The head as `default_headers` wants it; the application's fields are the kernel's."""
        own = "".join(self.default_headers())
        if not own.endswith("\r\n") or "\n" in own.replace("\r\n", ""):
            raise ValueError(
                f"default_headers: each line must end with CRLF, and only there: {own!r}"
            )
        rest = self.head.serialize(b"", b"", length=self._announces())  # type: ignore[union-attr]
        return own.encode("latin-1") + rest.partition(b"\r\n")[2]

    def queue(self, data: bytes) -> None:
        """Queue a piece of the body, and before the first one the head."""
        if not isinstance(data, bytes):
            raise TypeError(f"body items must be bytes, not {type(data).__name__}")
        if self.head is None:
            raise AssertionError("start_response() was not called")
        piece = data if type(data) is bytes else bytes(memoryview(data))
        size = len(piece)
        if not self.framed:
            self.frame()
        if self.bodyless:
            if size:
                self._warn_body()
            piece = b""
            size = 0
        elif self.response_length is not None:
            left = self.response_length
            left -= self.sent
            if size > left:  # more would be taken for the next response
                size = left
                piece = piece[:size]
        self.sent += size
        if not self.headers_sent:
            if not self.chunked and size <= _SMALL_BODY:
                self.transport.write(self.head_bytes(piece))
                self.headers_sent = True
                return
            self.send_headers()
        if self.chunked:
            self.transport.write_chunk(piece)
        else:
            self.transport.write(piece)

    def write(self, data: bytes) -> None:
        """PEP 3333's write callable: the piece is on its way when this returns."""
        postponed = self.transport.postponed
        if postponed is not None:
            postponed.take_back(self.transport)
        self.queue(data)
        self.transport.send(self.send_timeout)

    def write_whole(self, data: bytes) -> None:
        """Send a body that is at hand as one piece, and end it."""
        self.queue(data)
        self.close()

    def write_usual(self, data: bytes) -> bool:
        """Send the usual answer, with nothing to cut, to frame or to decide; False if it is not.

        The long way, `queue` and `close`, would send the same.
        """
        if type(data) is not bytes or self.head is None or self.headers_sent or self.patched:
            return False
        size = len(data)
        req = self.req
        if not req.plain():
            return False
        direct = self.direct
        if not (self.head.whole(size) if direct is None else direct.whole(size)):
            return False
        self.closes = self.must_close or req.must_close or not req.persistent()
        fields = _server_fields.usual(self.closes)
        body = data if size <= _SMALL_BODY else b""
        if direct is None:
            answer = self.head.serialize(b"HTTP/1.1 ", fields, body)
        else:
            answer = direct.serialize(b"HTTP/1.1 ", fields, body)
        self.headers_sent = self.finished = True
        self.sent = size
        if size > _SMALL_BODY:
            self.transport.write(answer)
            self.transport.write(data)
            self.transport.flush()
        else:
            self.transport.answer(answer)
        return True

    def write_iterable(self, items: Any) -> None:
        """Send what the application returned; a list is at hand and leaves in one go."""
        if type(items) is list or type(items) is tuple:
            for item in items:
                self.queue(item)
            return
        transport = self.transport
        postponed = transport.postponed
        last = 0.0
        try:
            for item in items:
                # The usual iterable has one item: Flask's and Django's answers are made so.
                if not self.headers_sent and self.write_usual(item):
                    self.finished = False  # whatever else comes is cut
                    if transport.waiting:
                        transport.send(self.send_timeout)
                    continue
                if postponed is not None:
                    postponed.take_back(transport)
                self.queue(item)
                if postponed is None:
                    transport.send(self.send_timeout)
                elif not self._lend(postponed, last):
                    transport.send(self.send_timeout)
                    last = _clock.monotonic()
        except BaseException:
            if postponed is not None:
                postponed.settle(transport)  # the rest of the end may take its time
            raise
        if postponed is not None:
            postponed.take_back(transport)

    def _lend(self, postponed: Postponed, last: float) -> bool:
        """Let what is queued wait for the next piece, if that may come; last: of the sendings."""
        if _clock.monotonic() - last > _MOMENT:
            return False
        if self.response_length is not None and self.sent >= self.response_length:
            return False  # the answer is complete
        return postponed.lend(self.transport)

    def close(self) -> None:
        """End the body and send what is left without waiting; the loop sends what stays."""
        if not self.headers_sent:
            self.send_headers()
        if self.chunked:
            if self.transport.file is None:  # a file brings its last chunk itself
                self.transport.output.end_chunks()
        elif self.response_length is not None and not self.bodyless:
            if self.sent < self.response_length:
                self.closes = True  # cut short: only the end of the stream can tell
        self.finished = True
        self.transport.flush()

    def write_file(self, wrapper: FileWrapper) -> None:
        """Send a file body by sendfile(2) where that works, else piece by piece."""
        if not self.sendfile(wrapper):
            self.write_iterable(wrapper)

    def sendfile(self, wrapper: FileWrapper) -> bool:
        """Queue the rest of a file from its current offset; False if it is no plain file."""
        self.frame()
        if self.bodyless or not self.can_sendfile():
            return False
        try:
            fd = wrapper.filelike.fileno()
            offset = wrapper.filelike.tell()
            count = os.fstat(fd).st_size - offset
        except (AttributeError, OSError, ValueError):
            return False
        if self.response_length is not None:
            count = min(count, self.response_length - self.sent)
        if count <= 0:
            return False
        self.send_headers()
        tail = b""
        if self.chunked:
            self.transport.output.write(b"%X\r\n" % count)
            tail = b"\r\n0\r\n\r\n"
        self.transport.send_file(fd, offset, count, tail)
        self.sent += count
        return True

    def _warn_body(self) -> None:
        _log.warning(
            "WSGI app sent body bytes on a no-body response (method=%s status=%s); "
            "dropping per RFC 9110.",
            self.req.method,
            self.status_code,
        )


class Response(ResponseCore):
    """The answer to one request.

    req: the request; sock: the client socket, for subclasses; cfg: the settings; send_timeout:
    seconds that a client may leave a full socket unread.

    Which methods are replaced, in a subclass or on this class, is looked at when a worker begins to
    serve (`is_patched`); an answer for which none is takes a shorter way.
    """


#: What the shorter way does without asking. (start_response is called by the application anyway.)
_STEPS = (
    "can_sendfile", "close", "default_headers", "force_close", "is_chunked", "process_headers",
    "send_headers", "sendfile", "should_close", "write", "write_file",
)  # fmt: skip
_AS_WRITTEN = {name: getattr(Response, name) for name in _STEPS}


def is_made_otherwise() -> bool:
    """Whether somebody has changed how requests and responses come to be, or speak."""
    names = ("__init__", "__new__", "early_hints", "start_response")
    return any(name in vars(cls) for cls in (Request, Response) for name in names)


def is_patched(made: Any) -> bool:
    """Whether somebody has replaced a step of `Response`; made: the class that is used for it."""
    return any(
        getattr(owner, name) is not step
        for owner, steps in ((made, _AS_WRITTEN), (Request, AS_WRITTEN))
        for name, step in steps.items()
    )


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
