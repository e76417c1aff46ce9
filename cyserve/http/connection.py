"""One client connection: gathers requests, holds what is sent, knows how it ends.

A state machine that never waits: it says what it waits for, and whoever schedules it (the loop of
a worker, a greenlet) calls `proceed` when that has come, `expire` when the deadline has passed,
and `answered` after having run a request. It runs no application and watches no descriptor.
"""

from typing import TYPE_CHECKING, Any

from cyserve._errors import (
    ForbiddenProxyRequest,
    InvalidProxyHeader,
    NoMoreData,
    ParseException,
    RequestTimeout,
    ServiceUnavailable,
)
from cyserve.http.body import NO_BODY, BodyCore
from cyserve.http.context import NEVER, Context
from cyserve.http.environ import Endpoint
from cyserve.http.errors import response_for
from cyserve.http.proxy_protocol import ABSENT, UNSURE, ProxyHeader, parse, take
from cyserve.http.refusal import report
from cyserve.http.request import Origin, Request
from cyserve.http.transport import PlainTransport, peer_name

if TYPE_CHECKING:
    from cyserve import _accel

# Steps: what the scheduler has to do next.
CLOSE = 0  # call `close`
READ = 1  # wait until there is something to read, or the deadline
RUN = 2  # run `request`, then call `answered`
WRITE = 4  # wait until something can be written, or the deadline

# States: what the bytes that come next belong to, or whose turn it is.
_HEAD, _BODY, _SENDING, _LINGERING, _PROXY, _HANDSHAKE = range(6)

RECEIVE_SIZE = 16384  # bytes to receive at once
LINGER_SECONDS = 5.0  # for a closing client to send something, or the end of its stream
LINGER_TOTAL = 30.0  # for a closing client to come to an end

# The same under names that are C's in a compiled build, where a public one has to be looked up.
_READ, _RUN, _NEVER = READ, RUN, NEVER


class Connection(Origin):
    """A client connection.

    transport: how its bytes travel; address: the peer; endpoint: the listener it came to;
    context: what the worker's connections share.
    """

    __slots__ = (
        "_trusted",
        "address",
        "compiled",
        "context",
        "deadline",
        "endpoint",
        "expect_continue",
        "fd",
        "idle_since",
        "interest",
        "keep",
        "lane",
        "lent",
        "over",
        "linger_until",
        "place",
        "proxy_header",
        "request",
        "requests",
        "signalled",
        "state",
        "step",
        "template",
        "transport",
        "unread",
    )

    def __init__(
        self, transport: PlainTransport, address: Any, endpoint: Endpoint, context: Context
    ) -> None:
        self.transport = transport
        self.context = context
        self.compiled = transport.compiled  # the kernel's objects are extension types
        self.begin(address, endpoint)

    def begin(self, address: Any, endpoint: Endpoint) -> None:
        """It is this client's; nothing has come yet."""
        self.address = address
        self.endpoint = endpoint
        self.template: dict[str, Any] | None = None  # of the environ; see Endpoint.template_of
        self.request: Request | None = None  # being gathered or run
        self.requests = 0
        self.state = _PROXY if self.context.expects_proxy else _HEAD
        self.proxy_header: ProxyHeader | None = None  # what a proxy said of its client
        self.deadline = self.linger_until = _NEVER  # by the monotonic clock
        self.idle_since = _NEVER  # not idle: a request has begun to come, or is under way
        self.expect_continue = False  # the client waits for "100 Continue"
        self.keep = False  # the connection goes on after what is being sent
        self.unread = False  # the client may still be sending a body that nobody wants
        self.over = False  # the client has said that nothing comes after what it sent
        self.lent = False  # the application may use the socket itself (Upgrade)
        self._trusted: bool | None = None
        # The scheduler's own notes.
        self.fd = self.transport.fd
        self.step = _READ
        self.interest = self.place = 0
        self.signalled = False  # something had come already when it was last told so
        self.lane = 0  # of the scoreboard: the number of the thread that runs the request

    def leave(self, pool: "_accel.Pool") -> bool:
        """`close`, if nobody has kept this object or a part of it, so that it can `begin` anew.

        Whoever runs the connection may have one reference. False: nothing has been done.
        """
        transport = self.transport
        if not (pool.alone(self, 1) and transport.leave(pool)):
            return False
        self.address = self.request = self.template = self.proxy_header = None
        return True

    # -- gunicorn's names, for who wraps or overrides `handle_request` --

    @property
    def sock(self) -> Any:
        """The client socket; no longer connected once the connection is closed."""
        return self.transport.sock

    @property
    def client(self) -> Any:
        """The address of the peer."""
        return self.address

    @property
    def server(self) -> Any:
        """The address of the listener."""
        return self.endpoint.address

    @property
    def cfg(self) -> Any:
        """The settings."""
        return self.context.cfg

    is_http2 = False

    @property
    def timeout(self) -> float | None:
        """When its client will have been waited for long enough, by the monotonic clock."""
        return None if self.deadline == _NEVER else self.deadline

    def trusted(self) -> bool:
        """True when the peer is a proxy whose word counts (forwarded_allow_ips)."""
        if self._trusted is None:
            self._trusted = self.context.policy.trusts(self.address)
        return self._trusted

    def lend_socket(self) -> None:
        """The application may take the socket over: it expects one that blocks."""
        self.lent = True

    # -- the scheduler's calls; each returns the next step. now: the monotonic clock --

    def start(self, now: float) -> int:
        """Right after it was accepted: its request may be there already."""
        self.idle_since = now
        self.deadline = now + self.context.header_timeout
        if self.state == _HEAD and self.transport.secure:
            self.state = _HANDSHAKE
            self.deadline = now + self.context.handshake_timeout
        return self.proceed(now)

    def proceed(self, now: float) -> int:
        """What it waited for has come, or seems to have."""
        state = self.state
        if state > _BODY:
            if state == _SENDING:
                return self._send(now)
            if state == _LINGERING:
                return self._linger(now)
            if state == _HANDSHAKE:
                return self._shake_hands(now)
            return self._read_proxy_header(now)
        try:
            got = self.transport.fill(RECEIVE_SIZE)
        except OSError:
            return CLOSE
        if got > 0:
            return self._advance(now)
        if got < 0:
            self.signalled = False
            return _READ
        if self.request is None:
            return CLOSE  # between requests, or within a head: nobody waits for an answer
        return self.refuse(NoMoreData(), now)

    def answered(self, now: float) -> int:
        """The request has been run: send what is left, then go on or come to an end."""
        if self.transport.waiting:
            return self._send(now)
        return self._sent(now)

    def expire(self, now: float) -> int:
        """The deadline has passed."""
        state = self.state
        if state == _LINGERING:
            return CLOSE
        if state == _SENDING:
            waiting = self.transport.waiting
            step = self._send(now)
            return CLOSE if step == WRITE and self.transport.waiting == waiting else step
        # What the client sent in time may have had to wait for us.
        step = self.proceed(now)
        if step == CLOSE or step == RUN or self.deadline > now:
            return step
        if self.request is None and not len(self.transport.input):
            return CLOSE  # it sent nothing at all
        if state == _PROXY:
            return self._refuse_plainly(RequestTimeout(), now)
        return self.refuse(RequestTimeout(), now)

    def dismiss(self, now: float) -> bool:
        """The worker leaves: a request that has begun to come is answered with 503.

        False: an answer is still on its way. True: close the connection.
        """
        if self.state in {_SENDING, _LINGERING}:
            return False
        if self.state in {_HEAD, _BODY}:
            try:
                self.transport.fill(RECEIVE_SIZE)
            except OSError:
                return True
            if self.request is not None or len(self.transport.input):
                self.refuse(ServiceUnavailable(), now)
        return True

    def close(self) -> None:
        """Let go of the client, whatever it still waits for."""
        self.transport.close()

    # -- receiving --

    def _read_proxy_header(self, now: float) -> int:
        """The first bytes of the connection may be a proxy's; never any later ones."""
        transport = self.transport
        context = self.context
        try:
            version = take(transport.fd, transport.input, context.proxy_protocol)
            if version == UNSURE:
                return _READ
            if version != ABSENT:
                if not context.policy.allows_proxy_header(self.address):
                    peer = peer_name(self.address)
                    if not peer:  # gone before accept could see who it was: a health check
                        return CLOSE
                    raise ForbiddenProxyRequest(peer)
                header = parse(transport.input, version)
                if header is None:
                    return _READ
                if transport.secure and len(transport.input):
                    raise InvalidProxyHeader("something else came before TLS")
                self.proxy_header = header
                self.endpoint.template_of(self).update(header.environ())
            elif transport.secure and len(transport.input):
                # Said in the clear, it must not become part of what is encrypted.
                raise InvalidProxyHeader("it breaks off")
        except ParseException as exc:
            return self._refuse_plainly(exc, now)
        except OSError:
            return CLOSE
        if transport.secure:
            self.state = _HANDSHAKE
            self.deadline = now + context.handshake_timeout
        else:
            self.state = _HEAD
        return self.proceed(now)

    def _shake_hands(self, now: float) -> int:
        """Go on with the TLS handshake; the request may come with its last message."""
        try:
            step = self.transport.handshake()
        except ParseException as exc:
            return self._refuse_plainly(exc, now)
        except ConnectionError as exc:
            self.context.log.debug("The client left during the TLS handshake: %s", exc)
            return CLOSE
        except OSError as exc:
            peer = peer_name(self.address)
            self.context.log.warning("Invalid request from ip=%s: %s", peer, exc)
            return CLOSE
        if step:
            return step
        self.state = _HEAD
        self.deadline = now + self.context.header_timeout
        return self.proceed(now)

    def _refuse_plainly(self, exc: ParseException, now: float) -> int:
        """Refuse a client with which no keys have been agreed upon."""
        if self.transport.secure:
            self.transport = PlainTransport(self.transport.sock, self.transport.waiter)
        return self.refuse(exc, now)

    def _advance(self, now: float) -> int:
        """Look how far the request is with the bytes at hand."""
        try:
            req = self.request
            if req is None:
                direct = self.context.direct_rules
                if direct is None:
                    head = self.context.rules.parse(self.transport.input)
                else:
                    head = direct.parse(self.transport.direct_input)  # type: ignore[arg-type]
                if head is None:
                    if self.idle_since != _NEVER:  # the idle time is over: now the head's begins
                        if self.requests:
                            self.deadline = now + self.context.header_timeout
                        self.idle_since = _NEVER
                    return _READ
                self.idle_since = _NEVER
                self.requests += 1
                req = self.context.requests.take()
                if req is None:
                    req = Request(head, self)
                else:
                    req.begin(head, self)
                self.request = req
                if self.compiled:
                    req.direct = head
                if not req.plain() and head.flags:
                    self.context.policy.decide(req)
                if not req.has_body():
                    self.expect_continue = False  # nothing will follow
                    return self._run()
                self._start_body(req)
            return self._gather(req, now)
        except ParseException as exc:
            return self.refuse(exc, now)
        except OSError:
            return CLOSE

    def _start_body(self, req: Request) -> None:
        head = req.head
        context = self.context
        req.body = context.bodies.open(head, req.direct, self.transport)
        if self.expect_continue:
            limit = context.body_buffer_size
            if head.chunked or head.content_length <= limit:
                self.send_continue()  # it is gathered here anyway
            else:
                req.body.reader.before_waiting = self.send_continue  # if the application wants it

    def send_continue(self) -> None:
        """RFC 9110 section 10.1.1: tell the client to go on with its body, at most once."""
        if self.expect_continue:
            self.expect_continue = False
            self.transport.output.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.transport.flush()

    def _run(self) -> int:
        """The request is complete enough; only now the socket may block."""
        self.deadline = _NEVER
        if self.lent:
            self.transport.lend(True)
        return _RUN

    def _gather(self, req: Request, now: float) -> int:
        """A small body is waited for by the scheduler, so that no slow client holds a thread."""
        body = req.body
        if self.expect_continue or body._has_come(self.context.body_buffer_size):
            return self._run()
        self.state = _BODY
        self.deadline = now + self.context.body_timeout
        return _READ

    def refuse(self, exc: BaseException, now: float) -> int:
        """Log a request that cannot be served, answer it, and come to an end."""
        answered = report(self, exc)
        self.keep = False
        self.unread = self.request is not None
        if not answered:
            self.transport.output.write(response_for(exc))
        return self._send(now)

    # -- after the response --

    def finish_request(self) -> None:
        """Called after the response: settle whether the connection can carry another request."""
        req = self.request
        body = req.body if req is not None else NO_BODY
        self.over = req is not None and body is NO_BODY and not (self.lent or req.persistent())
        self.request = None
        self.state = _HEAD
        if self.lent:
            self.lent = False
            self.transport.lend(False)
        if body is not NO_BODY:
            self.unread = True
            if isinstance(body, BodyCore):  # not something that a user has put in its place
                core = body
                self.unread = not core._drop()
            self.keep = self.keep and not self.unread

    def fail(self, exc: BaseException) -> None:
        """Whoever was to run the request has failed: the client gets an error if it got nothing."""
        self.keep = False
        if self.request is not None:  # it has not been run
            self.transport.discard()
            self.transport.output.write(response_for(exc))
            self.transport.waiting = len(self.transport.output)
            self.finish_request()

    def conclude(self) -> None:
        """Somebody else was to run the request, and has done so with a response of `wsgi.create`.

        If that did not come to a proper end, nothing more is sent and nothing more is run.
        """
        answer = self.request.answer if self.request is not None else None
        if answer is not None and answer.finished:
            self.keep = not answer.closes
        else:
            self.keep = False
            self.transport.discard()
            self.transport.broken = True
        self.finish_request()

    def _send(self, now: float) -> int:
        try:
            pending = self.transport.flush()
        except OSError:
            return CLOSE
        if pending:
            self.state = _SENDING
            self.deadline = now + self.context.send_timeout
            return WRITE
        return self._sent(now)

    def _sent(self, now: float) -> int:
        """Everything is on its way: the next request, or the end."""
        if self.keep:
            self.state = _HEAD
            self.idle_since = now
            self.deadline = now + self.context.idle_timeout
            transport = self.transport
            if len(transport.input):
                return self._advance(now)  # another request may be there already
            transport.rest()
            return _READ
        if self._must_linger():
            return self._start_linger(now)
        return CLOSE

    def _must_linger(self) -> bool:
        """True when closing at once could destroy the response (RFC 9112 section 9.6).

        Bytes that nobody read, or that come later, make the kernel reset the connection, and the
        reset may overtake the response; so the rest is read and dropped first. A client that has
        asked for the end of the connection must not send any more.
        """
        transport = self.transport
        if transport.broken:
            return False
        if self.unread or len(transport.input):
            return True
        if self.over:
            return False
        try:
            return transport.fill(512) > 0
        except OSError:
            return False

    def _start_linger(self, now: float) -> int:
        try:
            self.transport.shutdown_write()
        except OSError:
            return CLOSE
        self.state = _LINGERING
        self.request = None
        self.template = None  # nothing else is needed of it
        self.linger_until = now + LINGER_TOTAL
        return self._linger(now)

    def _linger(self, now: float) -> int:
        """Read and drop until the client ends, so that it can read our response first."""
        try:
            got = self.transport.drop_input()
        except OSError:
            return CLOSE
        if got == 0 or now >= self.linger_until:
            return CLOSE
        if got < 0:
            self.signalled = False
        self.deadline = min(now + LINGER_SECONDS, self.linger_until)
        return _READ
