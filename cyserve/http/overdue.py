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
    while `take` does, as threads can and greenlets cannot. `begun` says whether a part of another
    answer has been sent; if not, the client gets 504, and `answered` says whether it did.
    """

    def __init__(self, resp: Response, *, parallel: bool) -> None:
        self.resp = resp
        self.transport = resp.transport
        self.parallel = parallel
        self.begun = resp.headers_sent
        self.answered = False
        self._client: socket.socket | None = None  # the client's socket while it is held

    def take(self) -> None:
        """Answer 504 or cut the connection; the application has lost it in either case."""
        transport = self.transport
        if transport.sock.fileno() != transport.fd:
            return  # the application has closed it
        client, exclusive = transport.sock, not self.parallel
        if self.parallel:
            with contextlib.suppress(OSError):  # no descriptor may be left
                client, exclusive = self._exchange(), True
        # Looked at after the exchange: what the application begins now is not sent any more.
        self.begun = self.resp.headers_sent
        if exclusive and not self.begun:
            with contextlib.suppress(OSError):
                self.answered = client.send(_ANSWER) == len(_ANSWER)
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR if self.answered else socket.SHUT_RDWR)

    def _exchange(self) -> socket.socket:
        """Put a dead socket in the place of the client's: atomic, whatever the application does."""
        sock = self.transport.sock
        fd = os.dup(sock.fileno())
        self._client = socket.socket(sock.family, sock.type, sock.proto, fileno=fd)
        self._client.setblocking(False)
        os.dup2(_dead_socket().fileno(), sock.fileno(), inheritable=False)
        return self._client

    def give_back(self) -> None:
        """The application has come to its end: the connection is ready to be closed properly."""
        transport, resp = self.transport, self.resp
        transport.discard()
        transport.broken = not self.answered  # nobody reads it; an answered client is lingered for
        if self.answered:
            resp.status = STATUS
        if resp.req.body is not NO_BODY:
            resp.req.body.failed = True
        client, self._client = self._client, None
        if client is not None:
            if transport.sock.fileno() == transport.fd:
                os.dup2(client.fileno(), transport.fd, inheritable=False)
            client.close()


@cache
def _dead_socket() -> socket.socket:
    """A socket whose other end is closed: reading meets the end, writing EPIPE."""
    ours, other = socket.socketpair()
    other.close()
    ours.setblocking(False)
    return ours
