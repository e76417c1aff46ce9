"""A source of bytes for requests that are not read by a worker: a socket, or pieces at hand.

What gunicorn's users give to a `RequestParser`. The bytes that are read and not yet used stand in
`input`, the kernel's buffer; waiting is the source's business. Nothing here knows HTTP.
"""

import socket
from collections.abc import Iterable, Iterator

from cyserve import _accel
from cyserve.http.proxy_protocol import ProxyHeader

__all__ = ("IterUnreader", "SocketUnreader", "Unreader")


class Unreader:
    """Bytes that can be put back. Subclasses say where they come from (`chunk`)."""

    def __init__(self) -> None:
        self.input = _accel.io.InputBuffer()
        self.proxy_header: ProxyHeader | None = None  # it speaks for all that comes from here

    def chunk(self) -> bytes:
        """The next bytes of the source, as many as come; b"" at its end."""
        raise NotImplementedError()

    def fill(self, size: int = 8192) -> int:
        """Let one more chunk come into `input`, whatever its size; how many bytes: 0 at the end."""
        data = self.chunk()
        self.input.feed(data)
        return len(data)

    def read(self, size: int | None = None) -> bytes:
        """`size` bytes, fewer only at the end; None or a negative size: what is at hand.

        Raises TypeError for a size that is no whole number.
        """
        if size is not None and not isinstance(size, int):
            raise TypeError("size parameter must be an int or long.")
        if size is None or size < 0:
            return self.take_buffered() or self.chunk()
        while len(self.input) < size and self.fill():
            pass
        return self.input.take(size)

    def unread(self, data: bytes) -> None:
        """Put bytes back, before those that are at hand."""
        rest = self.take_buffered()
        self.input.feed(bytes(data))
        self.input.feed(rest)

    def take_buffered(self) -> bytes:
        """The bytes at hand."""
        return self.input.take(len(self.input))


class SocketUnreader(Unreader):
    """The bytes of a connected socket, waited for as the socket's timeout says.

    max_chunk: most bytes to receive at once.
    """

    def __init__(self, sock: socket.socket, max_chunk: int = 8192) -> None:
        super().__init__()
        self.sock = sock
        self.mxchunk = max_chunk

    def chunk(self) -> bytes:
        return self.sock.recv(self.mxchunk)


class IterUnreader(Unreader):
    """The pieces of an iterable; an empty one ends a read, and the last is the end."""

    def __init__(self, iterable: Iterable[bytes]) -> None:
        super().__init__()
        self.iter: Iterator[bytes] | None = iter(iterable)

    def chunk(self) -> bytes:
        if self.iter is None:
            return b""
        try:
            return next(self.iter)
        except StopIteration:
            self.iter = None
            return b""
