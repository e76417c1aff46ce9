"""Requests from a socket or from bytes at hand, without a worker: `RequestParser`, as gunicorn's.

For tools, tests and servers of others. The grammar is the kernel's, the decisions are `policy`'s
and the body is read as a worker's is; only the source differs. Everything here may wait, so the
workers use none of it.
"""

import time
from collections.abc import Iterator
from typing import Any

from cyserve import _accel
from cyserve._errors import ForbiddenProxyRequest, NoMoreData
from cyserve.http.body import NO_BODY, Opener
from cyserve.http.policy import Policy
from cyserve.http.proxy_protocol import ABSENT, UNSURE, parse, recognise
from cyserve.http.request import Origin, Request, RequestCore
from cyserve.http.transport import peer_name
from cyserve.http.unreader import IterUnreader, SocketUnreader, Unreader

__all__ = ("Parser", "RequestParser")

_DRAIN_MAX_BYTES = 65536
_PIECE = 8192
_PROXY_SEEN = 107  # bytes of the first line of a connection that tell whether it is a proxy's


class Parser:
    """Iterates over the requests of a source until it ends, or one says that it is the last.

    cfg: the settings; source: a connected socket, or an iterable of bytes; source_addr: (host,
    port) of the client, or "" for a unix socket. A request's body is there until the next request
    is asked for. Raises ParseException for what is no request, NoMoreData where one breaks off.
    """

    #: The class of the requests; called as `Request` is.
    mesg_class: type[Request] | None = None

    def __init__(self, cfg: Any, source: Any, source_addr: Any) -> None:
        self.cfg = cfg
        self.unreader: Unreader
        if hasattr(source, "recv"):
            self.unreader = SocketUnreader(source)
        else:
            self.unreader = IterUnreader(source)
        self.mesg: Request | None = None
        self.source_addr = source_addr
        self.req_count = 0

    def __iter__(self) -> Iterator[Request]:
        return self

    def __next__(self) -> Request:
        if self.mesg is not None:
            if self.mesg.should_close():
                raise StopIteration
            while self.mesg.body.read(_PIECE):
                pass
        assert self.mesg_class is not None
        self.req_count += 1
        self.mesg = self.mesg_class(self.cfg, self.unreader, self.source_addr, self.req_count)
        return self.mesg

    next = __next__

    def finish_body(self, deadline: float | None = None, max_bytes: int | None = None) -> bool:
        """Read what is left of the last request's body and drop it; whether it came to its end.

        deadline: when to give up, by the monotonic clock; looked at between two pieces.
        max_bytes: how many bytes to read at most; None is no limit.
        """
        while self.mesg is not None:
            size = _PIECE if max_bytes is None else min(_PIECE, max_bytes)
            if not size or (deadline is not None and time.monotonic() >= deadline):
                return False
            data = self.mesg.body.read(size)
            if not data:
                break
            if max_bytes is not None:
                max_bytes -= len(data)
        return True


class RequestParser(Parser):
    mesg_class = Request


class Source(Origin):
    """What stands where a worker's `Connection` is: the client of requests from a source."""

    def __init__(self, cfg: Any, unreader: Unreader, address: Any, requests: int) -> None:
        self.context = self
        self.transport = None
        self.cfg = cfg
        self.unreader = unreader
        self.policy = Policy(cfg)
        self.address = address
        self.requests = requests
        self.endpoint: Any = self
        self.scheme = "https" if cfg.is_ssl else "http"
        self.proxy_header = unreader.proxy_header
        self.expect_continue = False
        self.keep = False
        self.lane = 0

    def trusted(self) -> bool:
        return self.policy.trusts(self.address)

    def lend_socket(self) -> None:
        """It is not ours."""

    def send_continue(self) -> None:
        """Tell a client that waits for it to go on with its body, where that can be done."""
        if self.expect_continue:
            self.expect_continue = False
            if isinstance(self.unreader, SocketUnreader):
                self.unreader.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def read_head(self) -> "_accel.RequestHead":
        """The next head. Raises StopIteration if the source has ended before it."""
        received = self.unreader.input
        if not len(received) and not self.unreader.fill():
            raise StopIteration
        if self.requests == 1 and self.cfg.proxy_protocol != "off":
            self._read_proxy_header()
        while True:
            head = _accel.parser.parse_head(received, self.policy.rules)
            if head is not None:
                return head
            self._more()

    def _read_proxy_header(self) -> None:
        received = self.unreader.input
        while True:
            version = recognise(received.peek(_PROXY_SEEN), self.cfg.proxy_protocol)
            if version == ABSENT:
                return
            if version != UNSURE:
                if not self.policy.allows_proxy_header(self.address):
                    raise ForbiddenProxyRequest(peer_name(self.address))
                self.proxy_header = self.unreader.proxy_header = parse(received, version)
                if self.proxy_header is not None:
                    return
            self._more()

    def _more(self) -> None:
        if not self.unreader.fill():
            raise NoMoreData(self.unreader.input.peek(_PIECE))


def read_request(
    request: RequestCore, cfg: Any, unreader: Unreader, peer_addr: Any, req_number: int
) -> None:
    """Read a request from a source: what `Request(cfg, unreader, peer_addr)` does.

    Raises StopIteration if the source has ended before it, NoMoreData if it ends within the head,
    and a ParseException for a request that must be refused.
    """
    source = Source(cfg, unreader, peer_addr, req_number)
    RequestCore.__init__(request, source.read_head(), source)
    if request.head.flags:
        source.policy.decide(request)  # type: ignore[arg-type]
    bodies = Opener(source.policy.rules, float("inf"), cfg.client_max_body_size)
    request.body = bodies.open(request.head, None, unreader)
    if request.body is not NO_BODY:
        request.body.reader.before_waiting = source.send_continue
