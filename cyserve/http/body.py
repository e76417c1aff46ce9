"""The request body: `wsgi.input` (PEP 3333) over a sized or a chunked stream.

A body that ends early or is malformed raises; it never looks complete (RFC 9112 section 8).
Waiting for bytes is the transport's business.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from cyserve import _accel
from cyserve._errors import ContentTooLarge, NoMoreData, RequestTimeout
from cyserve.http.transport import PlainTransport

_PIECE = 65536


class Reader(Protocol):
    """Gives the decoded bytes of a body in order."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, waiting for at least one; b"" when the body is complete."""

    def ready(self, limit: int) -> bool:
        """True when the body, or `limit` bytes of it, have come; never waits."""

    def skip_received(self) -> bool:
        """Drop what has come; True when the body is complete."""


class _Source:
    """What both readers share: waiting for more bytes."""

    def __init__(self, transport: PlainTransport, timeout: float) -> None:
        self.transport = transport
        self.input = transport.input
        self.timeout = timeout
        #: Called before the first wait: a client may want to be asked for its body.
        self.before_waiting: Callable[[], None] | None = None

    def more(self) -> None:
        """Wait until at least one more byte is in the input buffer.

        Raises NoMoreData when the client is gone, RequestTimeout when it is too slow.
        """
        transport = self.transport
        while True:
            try:
                if self.before_waiting is not None:
                    self.before_waiting()
                got = transport.fill(_PIECE)
            except OSError as exc:
                raise NoMoreData() from exc
            if got > 0:
                return
            if got == 0:
                raise NoMoreData()
            if not transport.waiter.readable(transport.fd, self.timeout):
                raise RequestTimeout()


class LengthReader(_Source):
    """A body of a known number of bytes."""

    def __init__(self, transport: PlainTransport, timeout: float, length: int) -> None:
        super().__init__(transport, timeout)
        self.left = length

    def ready(self, limit: int) -> bool:
        return len(self.input) >= min(self.left, limit)

    def read(self, size: int) -> bytes:
        if not self.left:
            return b""
        if not len(self.input):
            self.more()
        data = self.input.take(min(size, self.left))
        self.left -= len(data)
        return data

    def skip_received(self) -> bool:
        self.left -= self.input.skip(self.left)
        return not self.left


class ChunkedReader(_Source):
    """A body in chunks (RFC 9112 section 7.1); what is gathered early waits decoded.

    limit: most bytes of content; 0 is no limit.
    """

    def __init__(
        self,
        transport: PlainTransport,
        timeout: float,
        decoder: "_accel.ChunkedDecoder",
        limit: int = 0,
    ) -> None:
        super().__init__(transport, timeout)
        self.decoder = decoder
        self.limit = limit
        self.size = 0  # bytes decoded so far
        self.gathered: list[bytes] = []
        self.gathered_size = 0

    def ready(self, limit: int) -> bool:
        decoder = self.decoder
        while not decoder.done and self.gathered_size < limit:
            data = self._decode(limit)
            if not data:
                break
            self.gathered.append(data)
            self.gathered_size += len(data)
        return decoder.done or self.gathered_size >= limit

    def read(self, size: int) -> bytes:
        if self.gathered:
            data = self.gathered.pop(0)
            if len(data) > size:
                self.gathered.insert(0, data[size:])
                data = data[:size]
            return data
        decoder = self.decoder
        while not decoder.done:
            data = self._decode(size)
            if data:
                return data
            if not decoder.done:
                self.more()
        return b""

    def _decode(self, size: int) -> bytes:
        data = self.decoder.decode(self.input, size)
        self.size += len(data)
        if 0 < self.limit < self.size:
            raise ContentTooLarge(self.size, self.limit)
        return data

    def skip_received(self) -> bool:
        self.gathered.clear()
        while not self.decoder.done and self.decoder.decode(self.input, _PIECE):
            pass
        return self.decoder.done


def open_body(
    head: "_accel.RequestHead", transport: Any, rules: "_accel.HeadRules", timeout: float, most: int
) -> LengthReader | ChunkedReader | None:
    """The reader for the body that a request's head announces; None for a request without one.

    transport: has `input`, `fill` and a `waiter`; timeout: seconds without a byte; most: bytes of
    content, 0 is no limit. Raises ContentTooLarge.
    """
    if 0 < most < head.content_length:
        raise ContentTooLarge(head.content_length, most)
    if head.chunked:
        return ChunkedReader(transport, timeout, _accel.parser.ChunkedDecoder(rules), most)
    if head.content_length > 0:
        return LengthReader(transport, timeout, head.content_length)
    return None


class _NoBody:
    """The reader of a request without a body."""

    def read(self, size: int) -> bytes:
        return b""

    def ready(self, limit: int) -> bool:
        return True

    def skip_received(self) -> bool:
        return True


class BodyCore:
    """What `Body` is made of."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.rest = b""  # read ahead by readline, not yet handed out
        self.failed = False  # an error was raised: the connection cannot be used again

    def _next(self, size: int) -> bytes:
        try:
            return self.reader.read(size)
        except Exception:
            self.failed = True
            raise

    def read(self, size: int | None = None) -> bytes:
        """Up to `size` bytes, fewer only at the end of the body."""
        left = _bound(size)
        pieces: list[bytes] = []
        if self.rest:
            data, self.rest = self.rest[:left], self.rest[left:]
            pieces.append(data)
            left -= len(data)
        while left:
            data = self._next(min(left, 1 << 20))
            if not data:
                break
            pieces.append(data)
            left -= len(data)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readline(self, size: int | None = None) -> bytes:
        """One line with its LF, or `size` bytes of it, or the rest of the body."""
        left = _bound(size)
        pieces: list[bytes] = []
        while left:
            data = self.rest or self._next(_PIECE)
            self.rest = b""
            if not data:
                break
            end = data.find(b"\n", 0, left) + 1 or min(len(data), left)
            pieces.append(data[:end])
            self.rest = data[end:]
            left -= end
            if pieces[-1].endswith(b"\n"):
                break
        return b"".join(pieces)

    def readlines(self, hint: int | None = None) -> list[bytes]:
        """All lines that are left; `hint` is ignored, as PEP 3333 allows."""
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line


class Body(BodyCore):
    """`wsgi.input`: read, readline, readlines and iteration by line.

    Sizes are in bytes; None or a negative size means no bound. Every method raises NoMoreData
    (a ConnectionError) when the client ends the body early, a ParseException when its framing
    is malformed, and RequestTimeout when it takes too long.
    """


def _bound(size: int | None) -> int:
    if size is None:
        return 1 << 62
    if not isinstance(size, int):
        raise TypeError(f"size must be an integer or None, not {type(size).__name__}")
    return size if size >= 0 else 1 << 62


#: Shared by every request that has no body: it has no state to keep apart.
NO_BODY = Body(_NoBody())
