"""The request body: `wsgi.input` (PEP 3333) over a sized or a chunked stream.

A body that ends early or is malformed raises; it never looks complete (RFC 9112 section 8).
Waiting for bytes is the transport's business.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cyserve import _accel
from cyserve._errors import ContentTooLarge, NoMoreData, RequestTimeout
from cyserve.http.transport import PlainTransport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol

    class Reader(Protocol):
        """Gives the decoded bytes of a body in order."""

        def read(self, size: int) -> bytes:
            """Up to `size` bytes, waiting for at least one; b"" when the body is complete."""

        def ready(self, limit: int) -> bool:
            """True when the body, or `limit` bytes of it, have come; never waits."""

        def skip_received(self) -> bool:
            """Drop what has come; True when the body is complete."""


_PIECE = 65536
_STRAIGHT = 8192  # from this size on a read is worth a system call of its own, and no copy


class _Source:
    """What both readers share: waiting for more bytes."""

    def attach(self, transport: Any, timeout: float) -> None:
        """What each of them is made with."""
        self.transport = transport
        self.input = transport.input
        # The same two if they are a worker's: calls through these may be C calls.
        self.plain: PlainTransport | None = None
        self.direct: _accel.InputBuffer | None = None
        if isinstance(transport, PlainTransport):
            self.plain = transport
            self.direct = self.plain.direct_input
        self.timeout = timeout
        #: Called before a wait: a client may want to be asked for its body.
        self.before_waiting: Callable[[], None] | None = None

    def more(self) -> None:
        """Wait until at least one more byte is in the input buffer.

        Raises NoMoreData when the client is gone, RequestTimeout when it is too slow.
        """
        plain = self.plain
        got = -1
        while got < 0:
            try:
                if self.before_waiting is not None:
                    self.before_waiting()
                got = self.transport.fill(_PIECE) if plain is None else plain.fill(_PIECE)
            except OSError as exc:
                raise NoMoreData() from exc
            if got < 0:
                self.wait()
        if got == 0:
            raise NoMoreData()

    def wait(self) -> None:
        """Wait until something has come. Raises RequestTimeout."""
        transport = self.transport
        if not transport.waiter.readable(transport.fd, self.timeout):
            raise RequestTimeout()


class LengthReader(_Source):
    """A body of a known number of bytes."""

    def __init__(self, transport: PlainTransport, timeout: float, length: int) -> None:
        self.attach(transport, timeout)
        self.left = length

    def ready(self, limit: int) -> bool:
        direct = self.direct
        have = len(self.input) if direct is None else len(direct)
        return have >= self.left or have >= limit

    def read(self, size: int) -> bytes:
        if not self.left or not size:
            return b""
        size = min(size, self.left)
        direct = self.direct
        have = len(self.input) if direct is None else len(direct)
        if size >= _STRAIGHT and have < size and self.plain is not None:
            data = self.draw(min(size, _PIECE))
        else:
            if not have:
                self.more()
            data = self.input.take(size) if direct is None else direct.take(size)
        self.left -= len(data)
        return data

    def draw(self, size: int) -> bytes:
        """As `more`, for the bytes that are returned; what has come is among them."""
        data = None
        while data is None:
            try:
                if self.before_waiting is not None:
                    self.before_waiting()
                data = self.plain.draw(size)  # type: ignore[union-attr]
            except OSError as exc:
                raise NoMoreData() from exc
            if data is None:
                self.wait()
        if not data:
            raise NoMoreData()
        return data

    def skip_received(self) -> bool:
        if self.left:
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
        decoder: _accel.ChunkedDecoder,
        limit: int = 0,
    ) -> None:
        self.attach(transport, timeout)
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
    head: _accel.RequestHead, transport: Any, rules: _accel.HeadRules, timeout: float, most: int
) -> LengthReader | ChunkedReader | None:
    """The reader for the body that a request's head announces; None for a request without one.

    transport: has `input`, `fill` and a `waiter`; timeout: seconds without a byte; most: bytes of
    content, 0 is no limit. Raises ContentTooLarge.
    """
    length = head.content_length
    if 0 < most < length:
        raise ContentTooLarge(length, most)
    if head.chunked:
        return ChunkedReader(transport, timeout, _accel.parser.ChunkedDecoder(rules), most)
    if length > 0:
        return LengthReader(transport, timeout, length)
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
        reader = self.reader
        try:
            if type(reader) is LengthReader:  # C knows it
                sized = reader
                return sized.read(size)
            return reader.read(min(size, 1 << 20))
        except Exception:
            self.failed = True
            raise

    def getsize(self, size: int | None) -> int:
        """`size`, or a number no body reaches for None and negative ones. Raises TypeError."""
        return _bound(size)

    def read(self, size: int | None = None) -> bytes:
        """Up to `size` bytes, fewer only at the end of the body."""
        left = _bound(size)
        if not left:
            return b""
        if self.rest:
            data, self.rest = self.rest[:left], self.rest[left:]
        else:
            data = self._next(left)
        left -= len(data)
        if not left or not data:
            return data
        pieces = [data]
        while left:
            data = self._next(left)
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

    def next(self) -> bytes:
        """The next line; raises StopIteration after the last."""
        return self.__next__()


def _bound(size: int | None) -> int:
    if size is None:
        return 1 << 62
    if not isinstance(size, int):
        raise TypeError(f"size must be an integer or None, not {type(size).__name__}")
    return size if size >= 0 else 1 << 62


#: Shared by every request that has no body: it has no state to keep apart.
NO_BODY = Body(_NoBody())
