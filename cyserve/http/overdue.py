"""A request that ran out of time: its exception, and how its connection is taken away from it.

The application may run on in another thread, so what it writes from now on must reach neither the
client nor a later connection with the same descriptor. What is overdue, and how a thread is
interrupted, is decided elsewhere: this room knows no clock, no thread and no log.
"""

import contextlib
import os
import socket
from functools import cache

from cyserve.http.body import NO_BODY
from cyserve.http.errors import error_response
from cyserve.http.response import Response

STATUS = "504 Gateway Timeout"
_ANSWER = error_response(504, "Gateway Timeout")


class RequestOverdue(BaseException):
    """Raised in the application when its request has run out of time (`request_timeout`).

    Not an Exception: the many `except Exception` of applications must not keep the request alive.
    """


class Seizure:
    """The connection of an overdue request, taken away from its application.

    resp: the answer that the application is making. parallel: whether the application can run
    while the methods do, as threads can and greenlets cannot.

    begun: a part of another answer has been sent, so the connection was cut. answered: the client
    got 504. pending: it gets it when the application lets go (see `take`).
    """

    def __init__(self, resp: Response, *, parallel: bool) -> None:
        self.resp = resp
        self.transport = resp.transport
        self.parallel = parallel
        self.begun = resp.headers_sent
        self.answered = self.pending = False
        self._client: socket.socket | None = None  # the client's socket while it is held

    def take(self) -> None:
        """Answer 504 or cut the connection; the application has lost it in either case.

        TLS cannot be used by two threads at once: there the answer waits for `give_back`.
        """
        transport = self.transport
        if transport.fd < 0 or transport.sock.fileno() != transport.fd:
            return  # the application has closed it
        exclusive = not self.parallel or self._exchange()
        # Looked at after the exchange: what the application begins now is not sent any more.
        self.begun = self.resp.headers_sent
        if exclusive and not self.begun:
            if self.parallel and transport.secure:
                self.pending = True
                return
            self._answer()
        if not self.answered:
            self.cut()

    def cut(self) -> None:
        """Nothing more comes from us, and nobody reads what still comes."""
        self.pending = False
        with contextlib.suppress(OSError):
            (self._client or self.transport.sock).shutdown(socket.SHUT_RDWR)

    def give_back(self) -> None:
        """The application has come to its end: the connection is ready to be closed properly."""
        transport, resp = self.transport, self.resp
        transport.discard()
        client, self._client = self._client, None
        if client is not None:
            if transport.fd >= 0:
                os.dup2(client.fileno(), transport.fd, inheritable=False)
            client.close()
        if self.pending and not transport.broken:
            self._answer()
        transport.broken = not self.answered  # nobody reads it; an answered client is lingered for
        if not self.begun:
            resp.status = STATUS
        if resp.req.body is not NO_BODY:
            resp.req.body.failed = True

    def _exchange(self) -> bool:
        """Put a dead socket in the place of the client's, atomically; False if that fails."""
        sock = self.transport.sock
        try:
            dead = _dead_end()
            fd = os.dup(sock.fileno())
            self._client = socket.socket(sock.family, sock.type, sock.proto, fileno=fd)
            self._client.setblocking(False)
            os.dup2(dead, sock.fileno(), inheritable=False)
        except OSError:
            return False
        return True

    def _answer(self) -> None:
        transport, client = self.transport, self._client
        with contextlib.suppress(OSError):
            if client is not None:
                self.answered = client.send(_ANSWER) == len(_ANSWER)
                client.shutdown(socket.SHUT_WR)
            else:
                transport.discard()
                transport.output.write(_ANSWER)
                self.answered = not transport.flush()
                transport.shutdown_write()


@cache
def _dead_end() -> int:
    """A socket whose other end is closed: reading meets the end, writing EPIPE. Its descriptor."""
    ours, other = socket.socketpair()
    other.close()
    ours.setblocking(False)
    return ours.detach()
