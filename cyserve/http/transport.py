"""How the bytes of one connection travel, and how a thread waits for them.

HTTP code calls a transport and never a socket: TLS is another transport with the same methods.
A transport never blocks by itself; where a request has to wait it asks its waiter, which is
poll(2) for a thread and may be an event hub for greenlets. Settings and logging stay outside.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import time
from collections.abc import Callable, Iterable

from cyserve import _accel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Waiter(Protocol):
        """Waits until a descriptor is ready; seconds bound the wait; False when they ran out."""

        def readable(self, fd: int, seconds: float) -> bool: ...
        def writable(self, fd: int, seconds: float) -> bool: ...


#: Bytes of a file sent at once, and how often for one client before it is the others' turn.
_FILE_PIECE = 1 << 20
_FILE_TURN = 16

_STREAM = int(socket.SOCK_STREAM)  # an enum member would cost more

#: Bytes that may wait in memory for a slow client before the application is made to wait.
HIGH_WATER = 65536
_HIGH_WATER = HIGH_WATER  # C's in a compiled build

_gate = _accel.runtime.GATE


class Allowance:
    """Seconds that waits may take together: `left` of `total`."""

    __slots__ = ("left", "total")

    def __init__(self, total: float) -> None:
        self.total = total
        self.left = total

    def restart(self) -> None:
        """Begin to count anew: another request."""
        self.left = self.total


class PollWaiter(Allowance):
    """Waits with poll(2), waking now and then to tell the master that the worker lives.

    notify: called while waiting, every `interval` seconds; total: seconds that all waits together
    may take until `restart`, so that a client that trickles cannot hold the thread for ever.
    """

    def __init__(
        self, notify: Callable[[], None], interval: float = 1.0, total: float = float("inf")
    ) -> None:
        super().__init__(total)
        self.notify = notify
        self.interval = interval

    def readable(self, fd: int, seconds: float) -> bool:
        return self._wait(fd, select.POLLIN, min(seconds, self.left))

    def writable(self, fd: int, seconds: float) -> bool:
        return self._wait(fd, select.POLLOUT, min(seconds, self.left))

    def _wait(self, fd: int, event: int, seconds: float) -> bool:
        poll = select.poll()
        poll.register(fd, event)
        now = start = time.monotonic()
        ready: list[tuple[int, int]] = []
        while not ready and now - start < seconds:
            ready = poll.poll(min(start + seconds - now, self.interval) * 1000)
            now = time.monotonic()
            if not ready:
                self.notify()
        self.left -= now - start
        return bool(ready)


class ClientSocket(socket.socket):
    """A client's socket as the application gets it (`gunicorn.socket`).

    When the application closes it, its number may be another client's at once; so the transport is
    told first.
    """

    __slots__ = ("transport",)

    transport: PlainTransport | None

    def __init__(self, family: int, fd: int) -> None:
        super().__init__(family, _STREAM, 0, fd)
        self.transport = None

    def close(self) -> None:
        self._tell()
        super().close()

    def detach(self) -> int:
        self._tell()
        return super().detach()

    def _tell(self) -> None:
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.release()


class UnusedSocket(ClientSocket):
    """A client's socket that nobody has looked at: a whole one takes long to make, few are used.

    At the first look at an attribute it becomes a `ClientSocket` of the transport's descriptor.
    It is made without a call of `__init__`; PlainTransport tells it its transport.
    """

    __slots__ = ()

    def __getattribute__(self, name: str) -> Any:
        transport: PlainTransport | None = _transport_of(self)
        fd = -1 if transport is None else transport.fd
        if fd >= 0:
            if transport.postponed is not None:  # type: ignore[union-attr]
                transport.postponed.settle(transport)  # type: ignore[union-attr]
            _init(self, -1, _STREAM, 0, fd)
            if transport.fd == fd:  # type: ignore[union-attr]
                self.__class__ = ClientSocket  # type: ignore[assignment]  # mypy: it is a base
                return getattr(self, name)
            _detach(self)  # closed meanwhile by another thread: it may be the next client's
        _init(self)  # it looks like one that has been closed
        self.__class__ = ClientSocket  # type: ignore[assignment]
        self.close()
        return getattr(self, name)


# Bound now: an application may put a class of its own in the place of socket.socket.
_init, _detach = socket.socket.__init__, socket.socket.detach
_transport_of: Callable[[ClientSocket], Any] = ClientSocket.__dict__["transport"].__get__


def accept(listener: Any, make: Callable[[int, int], Any] = ClientSocket) -> tuple[Any, Any] | None:
    """Take a client from a listener: its socket and its address; None if nobody waits.

    make: the socket's class, called with address family and descriptor. Never waits, whatever the
    listener's timeout. Raises OSError as accept(2) does.
    """
    fd = _gate.accept(listener.fileno())
    if fd < 0:
        return None
    address = _gate.address
    sock = make(int(listener.family), fd)
    return sock, address if address is not None else peer_of(sock)


def peer_of(sock: socket.socket) -> Any:
    """The address of a peer, as far as it is known."""
    try:
        return sock.getpeername()
    except OSError:  # it has gone already
        return "" if sock.family == socket.AF_UNIX else ("", 0)


class PlainTransport:
    """A connected stream socket without encryption.

    sock: the client socket, in non-blocking mode; waiter: how to wait when a call must; fd: its
    descriptor if it is an `UnusedSocket`, which does not know; postponed: a `Postponed` if pieces
    of a stream may wait.
    """

    secure = False  # what travels is not encrypted

    __slots__ = (
        "broken",
        "compiled",
        "direct_input",
        "direct_output",
        "fd",
        "file",
        "full",
        "input",
        "make_head",
        "output",
        "postponed",
        "sock",
        "told",
        "waiter",
        "waiting",
    )

    def __init__(
        self, sock: socket.socket, waiter: Waiter, fd: int = -1, postponed: Any = None
    ) -> None:
        self.sock = sock
        self.told = isinstance(sock, ClientSocket)  # by the socket when it is closed
        if isinstance(sock, ClientSocket):
            sock.transport = self
        self.fd = fd if fd >= 0 else sock.fileno()
        self.waiter = waiter
        self.postponed = postponed
        kernel = _accel.io
        self.input = kernel.InputBuffer()
        self.output = kernel.OutputBuffer()
        self.make_head: Callable[[str, Iterable[tuple[str, str]]], _accel.ResponseHead]
        self.make_head = kernel.ResponseHead
        self.compiled = _accel.is_compiled
        # The same two once more if they are compiled: calls through these are C calls.
        self.direct_input = self.input if self.compiled else None
        self.direct_output = self.output if self.compiled else None
        self.file: _FileTail | None = None
        self.full = False  # the last read has brought all that it could: there may be more
        self.waiting = 0  # bytes that the last flush could not send
        self.broken = False  # the client is gone: a send failed

    def handshake(self) -> int:
        """Go on with agreeing upon keys: 0 done, 1 wait until readable, 4 until writable."""
        return 0

    def fill(self, size: int) -> int:
        """Receive once, without blocking, up to that many bytes into `input`.

        Returns how many, 0 at the end of the stream, -1 if there is nothing yet. Raises OSError
        when the client is gone.
        """
        if self.fd < 0:
            raise _closed()
        direct = self.direct_input
        got = self.input.fill(self.fd, size) if direct is None else direct.fill(self.fd, size)
        self.full = got == size
        return got

    def draw(self, size: int) -> bytes | None:
        """Up to `size` bytes out of `input`, or straight from the socket; never waits.

        b"" at the end of the stream, None if there is nothing yet. Raises as `fill` does.
        """
        if self.fd < 0:
            raise _closed()
        direct = self.direct_input
        data = self.input.draw(self.fd, size) if direct is None else direct.draw(self.fd, size)
        self.full = data is not None and len(data) == size
        return data

    def flush(self) -> int:
        """Send what the socket takes without blocking; returns the bytes that still wait.

        Raises OSError when the client is gone, or the application has closed the socket.
        """
        direct = self.direct_output
        try:
            # Another client may have the number of a socket that is closed.
            if self.fd < 0 or not self.told and self.sock.fileno() != self.fd:
                raise _closed()
            if direct is None:
                pending = self.output.flush(self.fd)
            else:
                pending = direct.flush(self.fd)
            if self.file is not None and not pending:
                pending = self._flush_file(self.file)
        except OSError:
            self.broken = True
            self.discard()
            raise
        self.waiting = pending
        return pending

    def answer(self, data: bytes) -> None:
        """`write`, then `flush`."""
        direct = self.direct_output
        if direct is None or self.fd < 0 or not self.told or self.file is not None:
            self.write(data)
            self.flush()
            return
        try:
            self.waiting = direct.send_now(self.fd, data)
        except OSError:
            self.broken = True
            self.discard()
            raise

    def write(self, data: bytes) -> None:
        """Queue bytes; they are sent by the next flush."""
        direct = self.direct_output
        if direct is None:
            self.output.write(data)
        else:
            direct.write(data)

    def write_chunk(self, data: bytes) -> None:
        """Queue bytes as a chunk."""
        direct = self.direct_output
        if direct is None:
            self.output.write_chunk(data)
        else:
            direct.write_chunk(data)

    def rest(self) -> None:
        """Nothing is under way: give memory back if nothing has come."""
        direct = self.direct_input
        if direct is None:
            self.input.release()
        else:
            direct.release()

    def send(self, seconds: float) -> None:
        """Flush, and wait for a slow client only while more than HIGH_WATER bytes wait.

        seconds: how long the client may take to make room. Raises TimeoutError after that.
        """
        pending = self.flush()
        while pending > _HIGH_WATER:
            if not self.waiter.writable(self.fd, seconds):
                self.broken = True
                self.discard()  # else the loop would give it as much time again
                raise TimeoutError("the client did not read the response in time")
            pending = self.flush()

    def send_file(self, fd: int, offset: int, count: int, tail: bytes = b"") -> None:
        """Queue `count` bytes of a file by sendfile(2) behind what is queued, then `tail`.

        The descriptor is duplicated, so the caller may close the file at once.
        """
        self.lend(False)  # sendfile(2) would block with it
        self.file = _FileTail(os.dup(fd), offset, count, tail)

    def _flush_file(self, file: _FileTail) -> int:
        for _ in range(_FILE_TURN):
            if not file.count:
                break
            try:
                sent = os.sendfile(self.fd, file.fd, file.offset, min(file.count, _FILE_PIECE))
            except BlockingIOError:
                break
            if sent == 0:  # the file is shorter than promised: the framing is broken
                raise BrokenPipeError("file ended before the announced length")
            file.offset += sent
            file.count -= sent
        if file.count:
            return file.count + len(file.tail)
        self.file = None
        os.close(file.fd)
        self.output.write(file.tail)
        return self.output.flush(self.fd)

    def discard(self) -> None:
        """Forget everything that waits to be sent."""
        if len(self.output):
            self.output.clear()
        self.waiting = 0
        file, self.file = self.file, None  # first: the thread may be interrupted anywhere
        if file is not None:
            os.close(file.fd)

    def shutdown_write(self) -> None:
        """Send the end of our stream; the client may still be sending."""
        self.sock.shutdown(socket.SHUT_WR)

    def drop_input(self) -> int:
        """Throw away what has come; returns as `fill` does (for a lingering close)."""
        got = self.fill(65536)
        self.input.skip(len(self.input))
        return got

    def lend(self, blocking: bool) -> None:
        """Let the application have the socket in blocking mode, or take it back."""
        with contextlib.suppress(OSError):  # the application may have closed it
            self.sock.setblocking(blocking)

    def begin(self, fd: int) -> None:
        """It is another client's from now on, whose descriptor that is."""
        self.fd = fd
        self.full = self.broken = False

    def leave(self, pool: _accel.Pool) -> bool:
        """`close`, if nobody has kept this object or a part of it, so that it can `begin` anew.

        References there may be: to us of the connection, the socket and the caller; to the socket
        and to the buffers our own. False: nothing has been done.
        """
        sock = self.sock
        received: Any = self.direct_input
        queued: Any = self.direct_output
        if (
            type(sock) is not UnusedSocket
            or not (pool.alone(self, 3) and pool.alone(sock, 2))
            or not (pool.alone(received, 3) and pool.alone(queued, 3))
            or self.fd < 0
            or len(received)
        ):
            return False
        self.discard()
        received.release()
        fd, self.fd = self.fd, -1
        _gate.close(fd)
        return True

    def close(self) -> None:
        self.discard()
        sock, fd = self.sock, self.fd
        self.release()
        if type(sock) is not UnusedSocket:
            sock.close()
        elif fd >= 0:
            sock.transport = None
            _gate.close(fd)

    def release(self) -> None:
        """The descriptor is somebody else's from now on: the next client's, or the application's.

        An application may have kept `wsgi.input`, or have closed the socket itself.
        """
        self.fd = -1


class _NoDescriptor:
    def fileno(self) -> int:
        return -1


class ForeignTransport(PlainTransport):
    """A client socket that is not a worker's, of whatever kind: all goes out by its `sendall`."""

    def __init__(self, sock: Any) -> None:
        super().__init__(_NoDescriptor(), PollWaiter(lambda: None))  # type: ignore[arg-type]
        self.sock = sock

    def lend(self, blocking: bool) -> None:
        """It stays as it is."""

    def flush(self) -> int:
        try:
            self._send_output()
            file, self.file = self.file, None
            if file is not None:
                with open(file.fd, "rb") as source:
                    source.seek(file.offset)
                    self._send_file(source, file)
        except OSError:
            self.broken = True
            self.discard()
            raise
        return 0

    def _send_output(self) -> None:
        data = self.output.peek(len(self.output))
        self.output.clear()
        if data:
            self.sock.sendall(data)

    def _send_file(self, source: Any, file: _FileTail) -> None:
        while file.count:
            data = source.read(min(file.count, HIGH_WATER))
            if not data:  # the file is shorter than promised: the framing is broken
                raise BrokenPipeError("file ended before the announced length")
            file.count -= len(data)
            self.sock.sendall(data)
        self.output.write(file.tail)
        self._send_output()


def _closed() -> OSError:
    return OSError(errno.EBADF, "the connection is closed")


class _FileTail:
    """The rest of a response that is read from a file."""

    __slots__ = ("count", "fd", "offset", "tail")

    def __init__(self, fd: int, offset: int, count: int, tail: bytes) -> None:
        self.fd = fd
        self.offset = offset
        self.count = count
        self.tail = tail


def peer_name(address: Any) -> str:
    """The client's address as log lines show it; empty for a unix socket."""
    return address[0] if isinstance(address, tuple) else ""
