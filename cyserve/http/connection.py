"""One client connection: gathers a request, holds what is sent, knows how it ends.

A state machine without waiting: the loop calls `receive` when bytes can be read and acts on the
step that it returns. Nothing here runs the application (see `cycle`) or watches descriptors.
"""

from typing import Any

from cyserve import _accel
from cyserve._errors import ContentTooLarge, NoMoreData, ParseException, RequestTimeout
from cyserve.http.body import NO_BODY, Body, ChunkedReader, LengthReader
from cyserve.http.environ import Endpoint
from cyserve.http.errors import response_for
from cyserve.http.policy import Policy
from cyserve.http.refusal import report
from cyserve.http.request import Request
from cyserve.http.transport import PlainTransport

# What the loop has to do next.
MORE = 0  # wait until more can be read
READY = 1  # `request` is complete enough to run
REFUSED = 2  # an error response is queued: send it, then close
CLOSED = 3  # the client is gone: close

HEAD_SIZE = 16384  # bytes to receive at once while no request is at hand


class Context:
    """What all connections of a worker share, read once from the settings.

    cfg: the settings; log: the error log. Sizes are in bytes, timeouts in seconds.
    """

    def __init__(self, cfg: Any, log: Any) -> None:
        self.cfg = cfg
        self.log = log
        self.access = log.access if log.access_log_enabled else None
        self.policy = Policy(cfg)
        self.rules = self.policy.rules
        self.parse_head = _accel.parser.parse_head
        self.body_buffer_size: int = cfg.client_body_buffer_size
        self.body_timeout: float = cfg.client_body_timeout
        self.max_body_size: int = cfg.client_max_body_size


class Connection:
    """A client connection.

    transport: how its bytes travel; address: the peer; endpoint: the listener it came to;
    context: what the worker's connections share.
    """

    __slots__ = (
        "_trusted",
        "address",
        "context",
        "deadline",
        "endpoint",
        "expect_continue",
        "interest",
        "keep",
        "linger_until",
        "lingering",
        "request",
        "requests",
        "template",
        "transport",
        "unread",
    )

    def __init__(
        self, transport: PlainTransport, address: Any, endpoint: Endpoint, context: Context
    ) -> None:
        self.transport = transport
        self.address = address
        self.endpoint = endpoint
        self.context = context
        self.template = endpoint.connection_template(address, transport.sock)
        self.request: Request | None = None  # being gathered or run
        self.requests = 0
        self.expect_continue = False  # the client waits for "100 Continue"
        self.keep = False  # the connection goes on after what is being sent
        self.unread = False  # the client may still be sending a body that nobody wants
        self._trusted: bool | None = None
        # For the loop: what it watches this connection for, and until when (monotonic seconds).
        self.interest = 0
        self.deadline = 0.0
        self.lingering = False
        self.linger_until = 0.0

    def trusted(self) -> bool:
        """True when the peer is a proxy whose word counts (forwarded_allow_ips)."""
        if self._trusted is None:
            self._trusted = self.context.policy.trusts(self.address)
        return self._trusted

    def receive(self) -> int:
        """Take in what has come and look how far the request is; returns the next step."""
        try:
            got = self.transport.fill(HEAD_SIZE)
        except OSError:
            return CLOSED
        if got > 0:
            return self.advance()
        if got < 0:
            return MORE
        return self._end_of_stream()

    def advance(self) -> int:
        """Look how far the request is with the bytes at hand; returns the next step."""
        try:
            req = self.request
            if req is None:
                head = self.context.parse_head(self.transport.input, self.context.rules)
                if head is None:
                    return MORE
                self.requests += 1
                req = self.request = Request(head, self)
                if head.flags:
                    self.context.policy.decide(req)
                if not (head.content_length or head.chunked):
                    self.expect_continue = False  # nothing will follow
                    return READY
                self._start_body(req)
            return self._gather(req)
        except ParseException as exc:
            return self.refuse(exc)
        except OSError:
            return CLOSED

    def _start_body(self, req: Request) -> None:
        head = req.head
        context = self.context
        reader: LengthReader | ChunkedReader
        most = context.max_body_size
        if 0 < most < head.content_length:
            raise ContentTooLarge(head.content_length, most)
        if head.chunked:
            decoder = _accel.parser.ChunkedDecoder(context.rules)
            reader = ChunkedReader(self.transport, context.body_timeout, decoder, most)
        else:
            reader = LengthReader(self.transport, context.body_timeout, head.content_length)
        req.body = Body(reader)
        limit = context.body_buffer_size
        if self.expect_continue:
            if head.chunked or head.content_length <= limit:
                self.send_continue()  # it is gathered here anyway
            else:
                reader.before_waiting = self.send_continue  # if the application wants it

    def send_continue(self) -> None:
        """RFC 9110 section 10.1.1: tell the client to go on with its body, at most once."""
        if self.expect_continue:
            self.expect_continue = False
            self.transport.output.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.transport.flush()

    def _gather(self, req: Request) -> int:
        """A small body is waited for by the loop, so that no slow client holds a worker."""
        if self.expect_continue or req.body.reader.ready(self.context.body_buffer_size):
            return READY
        return MORE

    def _end_of_stream(self) -> int:
        if self.request is None:
            return CLOSED  # between requests, or within a head: nobody waits for an answer
        return self.refuse(NoMoreData())

    def refuse(self, exc: BaseException) -> int:
        """Log a request that cannot be served and queue the error response; ends REFUSED."""
        report(self, exc)
        self.keep = False
        self.unread = self.request is not None
        self.transport.output.write(response_for(exc))
        self.transport.waiting = len(self.transport.output)
        return REFUSED

    def time_out(self) -> int:
        """The client took too long to send a request; returns the next step."""
        if self.request is None and not len(self.transport.input):
            return CLOSED  # it sent nothing at all
        return self.refuse(RequestTimeout())

    def finish_request(self) -> None:
        """Called after the response: settle whether the connection can carry another request."""
        body = self.request.body if self.request is not None else NO_BODY
        self.request = None
        if body is not NO_BODY:
            try:
                self.unread = body.failed or not body.reader.skip_received()
            except ParseException:
                self.unread = True
            self.keep = self.keep and not self.unread

    def must_linger(self) -> bool:
        """True when closing at once could destroy the response (RFC 9112 section 9.6).

        Bytes that nobody read, or that come later, make the kernel reset the connection, and the
        reset may overtake the response; so the rest is read and dropped first.
        """
        transport = self.transport
        if transport.broken:
            return False
        if self.unread or len(transport.input):
            return True
        try:
            return transport.fill(512) > 0
        except OSError:
            return False
