"""TLS under HTTP: a transport over an ssl.SSLSocket.

Imported only by workers that serve TLS, because it loads `ssl`. Like every transport it never
blocks, and after `fill` no byte waits unseen inside OpenSSL: a poller sees only the socket.
Contexts and certificates are the caller's business.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Callable
from functools import partial

from cyserve._errors import PlainHTTPRequest
from cyserve.http.transport import PlainTransport, _FileTail

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cyserve.http.transport import Waiter

# What `handshake` waits for, as pollers spell it.
READ = 1
WRITE = 4

#: Most bytes that one TLS record carries (RFC 8446 section 5.1), so the most that one read gives.
#: Written too: OpenSSL makes and sends one record at a time, more at once was measured dearer.
RECORD = 16384

#: Bytes of a file read at once, and how often for one client before it is the others' turn.
FILE_PIECE = 65536
FILE_TURN = 16

#: OpenSSL's reasons for a handshake that began with the line of an HTTP request.
_PLAIN = {"HTTP_REQUEST", "HTTPS_PROXY_REQUEST"}


class TLSSocket(ssl.SSLSocket):
    """A client's socket as the application gets it; as `ClientSocket`, for the same reason."""

    transport: TLSTransport | None = None

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


class TLSTransport(PlainTransport):
    """A connected stream socket with TLS over it.

    sock: the client socket; waiter: how to wait when a call must; context: the server's
    ssl.SSLContext; ragged: an end without close_notify is a normal end.

    `sock` becomes an ssl.SSLSocket. Raises OSError (ssl.SSLError is one) if the client has gone.
    """

    __slots__ = ("_begun", "_filler", "_lent", "_open")

    secure = True

    sock: ssl.SSLSocket

    def __init__(
        self, sock: socket.socket, waiter: Waiter, context: ssl.SSLContext, *, ragged: bool = True
    ) -> None:
        sock.setblocking(False)  # the descriptor may be so while the object does not know
        if context.sslsocket_class is ssl.SSLSocket:
            context.sslsocket_class = TLSSocket
        wrapped = context.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=False, suppress_ragged_eofs=ragged
        )
        super().__init__(wrapped, waiter)
        if isinstance(wrapped, TLSSocket):
            wrapped.transport = self
        self._filler: Callable[[int], int] = self._fill
        self._open = False  # from the handshake to our close_notify
        self._lent = False  # the socket blocks, for the application's sake
        self._begun = b""  # given to OpenSSL, which has not sent all of it

    def handshake(self) -> int:
        """Go on with the handshake as far as is possible now; what to wait for, 0 when it is done.

        Raises PlainHTTPRequest if the client speaks HTTP (another transport over `sock` can answer
        it), ConnectionError if it has gone, and ssl.SSLError if both could not agree.
        """
        try:
            self.sock.do_handshake()
        except ssl.SSLWantReadError:
            return READ
        except ssl.SSLWantWriteError:
            return WRITE
        except OSError as exc:
            self.broken = True
            if not isinstance(exc, ssl.SSLError) or isinstance(exc, ssl.SSLEOFError):
                raise ConnectionResetError(str(exc)) from None
            if exc.reason in _PLAIN:
                raise PlainHTTPRequest() from None
            raise
        self._open = True
        return 0

    def fill(self, size: int) -> int:
        return self._filler(size) if self.fd >= 0 else super().fill(size)

    def _fill(self, size: int) -> int:
        """As PlainTransport.fill, but `size` is a wish: records are taken in whole."""
        total = 0
        while True:
            try:
                data = self.sock.read(RECORD)
            except ssl.SSLWantReadError:
                return total or -1
            except ValueError as exc:  # the application has closed or unwrapped the socket
                raise OSError(errno.EBADF, str(exc)) from None
            except OSError:
                self._open = False
                self.broken = True  # OpenSSL has given up, or cannot say what it must: the end
                raise
            self.input.feed(data)
            total += len(data)
            # Only a full record makes it likely that there is another one already.
            if len(data) < RECORD or total >= size:
                return total

    def draw(self, size: int) -> bytes | None:
        if not len(self.input):
            got = self.fill(size)
            if got <= 0:
                return b"" if got == 0 else None
        return self.input.take(size)

    def lend(self, blocking: bool) -> None:
        super().lend(blocking)
        self._lent = blocking
        if self.fd >= 0:
            self._filler = partial(self._while_lent, self._fill) if blocking else self._fill

    def _while_lent(self, function: Callable[..., int], *args: int) -> int:
        """Call one of our own methods with the socket as those need it."""
        super().lend(False)
        try:
            return function(*args)
        finally:
            super().lend(True)

    def answer(self, data: bytes) -> None:
        self.output.write(data)
        self.flush()

    def flush(self) -> int:
        return self._while_lent(self._flush) if self._lent else self._flush()

    def _flush(self) -> int:
        try:
            if self.fd < 0:
                raise ValueError("the connection is closed")
            if self.file is None:
                pending = self._send_output()
            else:
                pending = self._send_file(self.file)
        except (OSError, ValueError) as exc:
            self._open = False
            self.broken = True
            self.discard()
            if isinstance(exc, ValueError):  # as in _fill
                raise OSError(errno.EBADF, str(exc)) from None
            if isinstance(exc, ssl.SSLError):
                raise BrokenPipeError(errno.EPIPE, str(exc)) from None
            raise
        self.waiting = pending
        return pending

    def _send_output(self) -> int:
        """Send what waits in `output`; returns the bytes that stay there.

        OpenSSL wants to be given again what it could not send, so that is kept apart.
        """
        output = self.output
        while piece := self._begun or output.peek(RECORD):
            try:
                output.skip(self.sock.write(piece))
            except ssl.SSLWantWriteError:
                self._begun = piece
                break
            self._begun = b""
        return len(output)

    def _send_file(self, file: _FileTail) -> int:
        """Send what waits and the file behind it, read in pieces; a large one in several turns."""
        output = self.output
        for _ in range(FILE_TURN):
            if len(output) < RECORD:  # the head, or nothing: a piece of the file goes with it
                data = os.pread(file.fd, min(file.count, FILE_PIECE), file.offset)
                if not data:  # the file is shorter than promised: the framing is broken
                    raise BrokenPipeError("file ended before the announced length")
                file.offset += len(data)
                file.count -= len(data)
                output.write(data)
                if not file.count:
                    output.write(file.tail)
                    self.file = None
                    os.close(file.fd)
                    return self._send_output()
            if self._send_output():
                break
        return len(output) + file.count + len(file.tail)

    def discard(self) -> None:
        if self._begun:  # half a record has gone: nothing else can follow it
            self._open = False
            self.broken = True
        super().discard()

    def shutdown_write(self) -> None:
        """Send close_notify and the end of our stream; what still comes is not decrypted."""
        self._say_goodbye()
        socket.socket.shutdown(self.sock, socket.SHUT_WR)  # SSLSocket's own would forget TLS first
        self._filler = partial(self.input.fill, self.fd)

    def close(self) -> None:
        self._say_goodbye()
        super().close()

    def release(self) -> None:
        self._open = False
        super().release()

    def _say_goodbye(self) -> None:
        """Send close_notify (RFC 8446 section 6.1) if the socket takes it; nobody waits for it."""
        if self._open and not self._begun:
            self._open = False
            try:
                self.sock.setblocking(False)
                self.sock.unwrap()
            except (OSError, ValueError):
                pass
