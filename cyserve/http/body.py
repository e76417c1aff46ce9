"""The request body: `wsgi.input` (PEP 3333) over a sized or a chunked stream.

A body that ends early or is malformed raises; it never looks complete (RFC 9112 section 8).
Waiting for bytes is the transport's business.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from cyserve import _accel
from cyserve._errors import ContentTooLarge, NoMoreData, ParseException, RequestTimeout
from cyserve.http.transport import PlainTransport

_PIECE = 65536
_STRAIGHT = 8192  # from this size on a read is worth a system call of its own, and no copy


class Reader(Protocol):
    """Gives the decoded bytes of a body in order."""

    before_waiting: Callable[[], None] | None  # called before it waits for the client

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, waiting for at least one; b"" when the body is complete."""

    def ready(self, limit: int) -> bool:
        """True when the body, or `limit` bytes of it, have come; never waits."""

    def skip_received(self) -> bool:
        """Drop what has come; True when the body is complete."""


class _Source:
    """What both readers share: waiting for more bytes."""

    def attach(self, transport: Any, timeout: float) -> None:
        """What each of them is made with."""
        self.transport = transport
        self.plain: PlainTransport | None = None
        self.direct: _accel.InputBuffer | None = None
        if isinstance(transport, PlainTransport):
            # A worker's: calls through these may be C calls.
            plain = transport
            self.plain = plain
            self.direct = plain.direct_input
            self.input = plain.input
        else:
            self.input = transport.input
        self.timeout = timeout
        #: Called before a wait: a client may want to be asked for its body.
        self.before_waiting: Callable[[], None] | None = None

    def more(self, straight: int = 0) -> bytes | None:
        """Wait until at least one more byte is in the input buffer.

        straight: return up to that many bytes instead, of which those that have come are the
        first; the transport must be a worker's. Raises NoMoreData when the client is gone,
        RequestTimeout when it is too slow.
        """
        plain = self.plain
        data = None
        got = -1
        while got < 0:
            try:
                if self.before_waiting is not None:
                    self.before_waiting()
                if plain is None:
                    got = self.transport.fill(_PIECE)
                elif not straight:
                    got = plain.fill(_PIECE)
                else:
                    data = plain.draw(straight)
                    got = -1 if data is None else len(data)
            except OSError as exc:
                raise NoMoreData() from exc
            if got < 0:
                self.wait()
        if got == 0:
            raise NoMoreData()
        return data

    def wait(self) -> None:
        """Wait until something has come. Raises RequestTimeout."""
        transport = self.transport
        if not transport.waiter.readable(transport.fd, self.timeout):
            raise RequestTimeout()


class LengthReader(_Source):
    """A body of a known number of bytes."""

    def __init__(self, transport: PlainTransport, timeout: float, length: int) -> None:
        self.begin(transport, timeout, length)

    def begin(self, transport: Any, timeout: float, length: int) -> None:
        self.attach(transport, timeout)
        self.left = length

    def ready(self, limit: int) -> bool:
        direct = self.direct
        have = len(self.input) if direct is None else len(direct)
        return have >= self.left or have >= limit

    def read(self, size: int) -> bytes:
        size = min(size, self.left)
        if not size:
            return b""
        direct = self.direct
        have = len(self.input) if direct is None else len(direct)
        if size >= _STRAIGHT and have < size and self.plain is not None:
            data = self.more(min(size, _PIECE))
        else:
            if not have:
                self.more()
            data = self.input.take(size) if direct is None else direct.take(size)
        self.left -= len(data)  # type: ignore[arg-type]
        return data  # type: ignore[return-value]

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
        decoder: "_accel.ChunkedDecoder",
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


class _NoBody:
    """The reader of a request without a body."""

    before_waiting: Callable[[], None] | None = None

    def read(self, size: int) -> bytes:
        return b""

    def ready(self, limit: int) -> bool:
        return True

    def skip_received(self) -> bool:
        return True


class BodyCore:
    """What `Body` is made of."""

    def __init__(self, reader: Reader) -> None:
        self._begin(reader)

    def _begin(self, reader: Reader) -> None:
        self.reader = reader
        self.rest = b""  # read ahead by readline, not yet handed out
        self.failed = False  # an error was raised: the connection cannot be used again

    def _has_come(self, limit: int) -> bool:
        """Whether all of it is here, or `limit` bytes; never waits."""
        reader = self.reader
        if type(reader) is LengthReader:  # C knows it
            sized = reader
            return sized.ready(limit)
        return reader.ready(limit)

    def _drop(self) -> bool:
        """Drop what has come; False when the client may be sending more."""
        if self.failed:
            return False
        reader = self.reader
        if type(reader) is LengthReader:
            sized = reader
            return sized.skip_received()
        try:
            return reader.skip_received()
        except ParseException:
            return False

    def _next(self, size: int) -> bytes:
        reader = self.reader
        try:
            if type(reader) is LengthReader:
                sized = reader
                return sized.read(size)
            return reader.read(min(size, 1 << 20))
        except Exception:
            self.failed = True
            raise

    def _at_end(self) -> bool:
        """Whether it is known that nothing comes any more."""
        reader = self.reader
        if type(reader) is LengthReader:
            sized = reader
            return not sized.left
        return False

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
        if not left or not data or self._at_end():
            return data
        pieces = [data]
        while left and not self._at_end():
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


class Opener:
    """Makes the bodies that requests announce.

    rules: of heads, and so of chunks; timeout: seconds without a byte; most: bytes of content, 0
    is no limit.
    """

    def __init__(self, rules: "_accel.HeadRules", timeout: float, most: int) -> None:
        self.rules = rules
        self.timeout = timeout
        self.most = most
        #: Nobody has replaced how a body is made, so it may be made faster.
        self.as_written = Body.__init__ is BodyCore.__init__

    def open(
        self, head: "_accel.RequestHead", direct: "_accel.RequestHead | None", transport: Any
    ) -> Body:
        """The body of the request with that head; NO_BODY if it announces none.

        direct: the head again if it is a compiled one, or None; transport: has `input`, `fill` and
        a `waiter`. Raises ContentTooLarge.
        """
        if direct is None:
            length, chunked = head.content_length, head.chunked
        else:
            length, chunked = direct.content_length, direct.chunked
        if 0 < self.most < length:
            raise ContentTooLarge(length, self.most)
        if chunked:
            decoder = _accel.parser.ChunkedDecoder(self.rules)
            return Body(ChunkedReader(transport, self.timeout, decoder, self.most))
        if length <= 0:
            return NO_BODY
        sized = LengthReader.__new__(LengthReader)
        sized.begin(transport, self.timeout, length)
        if not self.as_written:
            return Body(sized)
        body = _blank(Body)
        body._begin(sized)
        return body


def _blank(cls: type[Body]) -> Body:
    """For C, which calls what makes it and not the class."""
    return cls.__new__(cls)
